"""Write further styles of interviews that are complete: no vision model is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from agents.interview.calls import Session, follows_rules
from agents.interview.options import InterviewOptions
from agents.interview.prompts import Prompts
from agents.interview.protocol import Interview
from agents.styles.options import StyleOptions
from core.records import Caption

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

T = TypeVar("T")


def restyle(caption: Caption, styles: StyleOptions, prompts: Prompts, questioner: BaseChatModel) -> Caption:
    """`caption` with the texts of `styles`; those that it has stay. Raises QuestionerError."""
    kept = {name: caption.options[name] for name in ("language", "fallback", "audit") if name in caption.options}
    interview = Interview.resumed(caption, prompts, InterviewOptions(**kept))
    interview.asking.by_rules = follows_rules(questioner)
    about = (caption.vision, caption.questioner)
    session = Session(interview, caption.picture, caption.seed, lambda: about, dict(caption.options), styles=styles)
    session.resume(caption)
    if not session.needs_styles:
        return caption
    return caption.model_copy(update={"styles": session.all_styles(questioner)})


def restyle_many(
    captions: Iterable[tuple[T, Caption]],
    styles: StyleOptions,
    prompts: Prompts,
    questioner: BaseChatModel,
    *,
    concurrency: int = 1,
) -> Iterator[tuple[T, Caption]]:
    """Yield each caption with its styles, in order. Raises QuestionerError at the first one that fails."""
    waiting = iter(captions)
    with ThreadPoolExecutor(concurrency, thread_name_prefix="styles") as pool:

        def begin(some: Iterable[tuple[T, Caption]]) -> list[tuple[T, Future[Caption]]]:
            return [(tag, pool.submit(restyle, one, styles, prompts, questioner)) for tag, one in some]

        under_way = begin(islice(waiting, 2 * concurrency))
        try:
            while under_way:
                tag, future = under_way.pop(0)
                yield tag, future.result()
                under_way += begin(islice(waiting, 1))
        finally:
            for _, future in under_way:
                future.cancel()
