"""Caption one picture or many: `caption`, `acaption`, `interview`, `caption_many`.

A picture is a path, bytes, an open file, a PIL image, a NumPy array, a `Picture`, or an image that the same vision
model has encoded. A model is an object, or a name: then it is loaded for this call and closed at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from agents.batch.budget import Budget
from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, Ready, interview_many
from agents.interview.calls import check_language
from agents.interview.driver import finished, interview_picture
from agents.interview.events import Event
from agents.interview.options import asking_options
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.interview.seeds import check_seed
from agents.llm.questioners import load_questioner
from agents.styles.options import StyleOptions, style_names
from agents.styles.owner import joined_context
from agents.styles.vocabulary import Vocabulary, read_vocabulary, vocabulary_of
from agents.witnesses.choice import chosen
from core.errors import InquisightError
from core.images.picture import open_picture
from core.records import Caption
from core.registry import get_registry
from core.settings import get_settings
from core.stopping import in_thread
from core.vision import EncodedImage, VisionBackend

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.witnesses.examination import Find
    from core.images.picture import PictureSource
    from core.witness import Witness


class StyleArguments(TypedDict, total=False):
    """Keyword arguments that say which texts are written; `caption.styles` has them."""

    style: str | Sequence[str]
    """Names: "description", "alt", "short", "tags", "prompt", or own ones of the prompts file. "alt,tags" is two."""
    purpose: str
    """What the alt text is for: "product page for a mug", "link to the shop", "decorative"."""
    vocabulary: str | Path | Sequence[str] | None
    """Tags to choose from: a file with one a line, or the tags."""
    prefix: str
    """Before a training caption ("prompt")."""
    suffix: str
    """After it."""
    trigger: str
    """The word that it teaches, at its beginning."""
    max_chars: int | None
    """Most characters of each text."""


class _InterviewArguments(TypedDict, total=False):
    """Keyword arguments of every function here. None: the value of the settings (INQUISIGHT_VISION, ...)."""

    vision: VisionBackend | str | None
    """Vision model: an object, or a name such as "pocket" or "minigpt4:FOLDER"."""
    questioner: BaseChatModel | str | None
    """Language model that asks: any LangChain chat model, or a name such as "scripted" or "openai:gpt-4o-mini"."""
    witnesses: str | Sequence[str | Witness] | None
    """Witnesses that examine the picture: objects, names, "auto" (all that work here) or "none"."""
    rounds: int | None
    """Questions per picture, including the first."""
    min_rounds: int | None
    """Questions before the questioner may end asking; None: half of `rounds`. 0: at any time."""
    fallback: str | None
    """Who asks when the questioner has no usable question: "scripted", the built-in rules (default), or "none"."""
    asking: str | None
    """ "free" (default), or "guided": the rules propose five questions, and the questioner chooses one."""
    history: int | None
    """Earlier question-answer pairs that the vision model gets with each question; -1: all."""
    language: str | None
    """Language of the summary, if the questioner supports it; None: English."""
    context: str | None
    """What is known of the picture: who, what, where. It is used as true, and marked as told."""
    prompts: str | Path | Prompts | None
    """A prompts file; start from `inquisight prompts`. None: the built-in one."""
    seed: int | None
    """Makes a run repeatable."""


class InterviewArguments(_InterviewArguments, StyleArguments, total=False):
    """Keyword arguments of every function here: of the interview, and of the texts that are written."""


class CaptionArguments(InterviewArguments, total=False):
    """`InterviewArguments`, and arguments for one picture."""

    earlier: Caption | None
    """An unfinished caption of the same picture (`error.partial`), to resume."""
    save: Callable[[Caption], str] | None
    """Called after each answer and at the end, such as `TranscriptStore().add`."""


def load_vision(spec: str | None = None) -> VisionBackend:
    """Load a vision model by name, such as "pocket" or "name:argument"; default: INQUISIGHT_VISION.

    Raises RegistryError for an unknown name, BackendError if the model cannot be used.
    """
    return get_registry().create_vision(spec or get_settings().vision)


def caption(image: PictureSource | EncodedImage, **arguments: Unpack[CaptionArguments]) -> Caption:
    """Interview about a picture and return its caption; `caption.text` is the description.

    Keyword arguments: `vision`, `questioner`, `witnesses`, `rounds`, `history`, `language`, `prompts`, `seed`,
    `earlier`, `save` (see `CaptionArguments`), and `style` with its options (see `StyleArguments`): these texts are
    `caption.styles`. Raises ImageError, UsageError, RegistryError, and the BackendError or
    QuestionerError of a model that failed: its `partial` is the unfinished caption, and `earlier=error.partial`
    resumes it. A witness that fails raises nothing: the caption's `problems` say so.
    """
    return finished(interview(image, **arguments))


async def acaption(image: PictureSource | EncodedImage, **arguments: Unpack[CaptionArguments]) -> Caption:
    """Run `caption` in a thread, so the event loop stays free. After a cancellation no further model is called.

    At most `concurrent_batches` calls share a vision model (an object) at a time; `caption_many` is faster for many
    pictures.
    """
    vision = arguments.get("vision")

    def work() -> Caption:
        with vision.turn() if isinstance(vision, VisionBackend) else nullcontext():
            return caption(image, **arguments)

    return await in_thread(work)


def interview(image: PictureSource | EncodedImage, **arguments: Unpack[CaptionArguments]) -> Iterator[Event]:
    """Interview about a picture and yield its events (`inquisight.events`); takes the arguments of `caption`.

    The last event is Done, Failed (a model failed: `event.error`) or InterviewStopped, each with the caption. Raises
    ImageError, UsageError and RegistryError, and the errors of models that cannot be loaded.
    """
    earlier, save = arguments.pop("earlier", None), arguments.pop("save", None)
    config = _config(arguments)
    if not isinstance(image, EncodedImage):
        image = open_picture(image)  # before models are loaded
    with _models(config, arguments) as (vision, questioner):
        yield from interview_picture(
            image,
            vision,
            questioner,
            config.options,
            prompts=config.prompts,
            seed=config.seed,
            earlier=earlier,
            save=save,
            find_witness=config.find_witness,
            styles=config.styles,
        )


@overload
def caption_many(
    images: Iterable[PictureSource | EncodedImage],
    *,
    return_exceptions: Literal[False] = False,
    batch_size: int = 32,
    **arguments: Unpack[InterviewArguments],
) -> Iterator[Caption]: ...


@overload
def caption_many(
    images: Iterable[PictureSource | EncodedImage],
    *,
    return_exceptions: Literal[True],
    batch_size: int = 32,
    **arguments: Unpack[InterviewArguments],
) -> Iterator[Caption | InquisightError]: ...


def caption_many(
    images: Iterable[PictureSource | EncodedImage],
    *,
    return_exceptions: bool = False,
    batch_size: int = 32,
    **arguments: Unpack[InterviewArguments],
) -> Iterator[Caption | InquisightError]:
    """Interview about many pictures at once and yield their captions in order.

    Questions about different pictures are answered in batches of up to `batch_size`, while other interviews wait for
    the questioner. `images` is read in another thread, no faster than captions are taken, so it may be endless.
    Keyword arguments: `vision`, `questioner`, `witnesses`, `rounds`, `history`, `language`, `prompts`, `seed` (see
    `InterviewArguments`); each caption is the one that `caption` returns.

    A picture that cannot be opened or captioned raises its error in its turn, and the work ends. With
    `return_exceptions=True` the error is yielded instead of the caption, and the work continues. In both cases the
    error's `partial` is the unfinished caption. Errors that concern every picture (a wrong key, no server, 25 failures
    in a row) are always raised.
    """
    config = replace(_config(arguments), batch=batch_size)
    with _models(config, arguments) as (vision, questioner):
        window = Budget(2 * config.in_flight)
        outcomes = interview_many(_tasks(images, vision, window), vision, questioner, config)
        with closing(window), closing(outcomes):
            for result in _in_order(outcomes, window):
                if isinstance(result, InquisightError) and not return_exceptions:
                    raise result
                yield result


def _tasks(
    images: Iterable[PictureSource | EncodedImage], vision: VisionBackend, window: Budget
) -> Iterator[InterviewTask | Ready]:
    """A task for each picture, tagged with its number, or the error if it cannot be opened."""
    for number, image in enumerate(images):
        if not window.take():
            return
        task: InterviewTask | Ready
        try:
            task = InterviewTask(number, vision.open_image(image))
        except InquisightError as error:
            task = Ready((number, error))
        yield task


def _in_order(outcomes: Iterator[Outcome | Ready], window: Budget) -> Iterator[Caption | InquisightError]:
    waiting: dict[int, Caption | InquisightError] = {}
    following = 0
    for outcome in outcomes:
        if isinstance(outcome, Ready):
            number, result = outcome.tag
        else:
            number, result = outcome.tag, outcome.error or outcome.caption
            if outcome.error:
                outcome.error.partial = outcome.caption
        waiting[number] = result
        while following in waiting:
            yield waiting.pop(following)
            following += 1
            window.give_back()


def _config(arguments: InterviewArguments) -> PipelineConfig:
    """Check the arguments. Raises UsageError for an invalid value, TypeError for an unknown argument."""
    if unknown := arguments.keys() - InterviewArguments.__annotations__.keys():
        known = ", ".join(InterviewArguments.__annotations__)
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}; there is {known}")
    settings = get_settings()
    witnesses, find_witness = _witnesses(_given(arguments.get("witnesses"), settings.witness))
    options = InterviewOptions(
        rounds=_given(arguments.get("rounds"), settings.rounds),
        history=_given(arguments.get("history"), settings.history),
        language=arguments.get("language"),
        context=joined_context([arguments.get("context") or ""]),
        **asking_options(arguments),
        witnesses=witnesses,
    )
    prompts = arguments.get("prompts")
    seed = check_seed(_given(arguments.get("seed"), settings.seed))
    prompts = prompts if isinstance(prompts, Prompts) else Prompts.load(prompts)
    styles = _styles(arguments)
    styles.check(prompts.styles)
    return PipelineConfig(options, prompts, seed, find_witness=find_witness, styles=styles)


def _styles(arguments: StyleArguments) -> StyleOptions:
    """The texts to write. Raises UsageError."""
    style, vocabulary = arguments.get("style", ()), arguments.get("vocabulary")
    if isinstance(vocabulary, str | Path):
        tags: Vocabulary | None = read_vocabulary(Path(vocabulary))
    else:
        tags = vocabulary_of(vocabulary) if vocabulary is not None else None
    given = {name: arguments.get(name) or "" for name in ("purpose", "prefix", "suffix", "trigger")}
    names = style_names([style] if isinstance(style, str) else style)
    return StyleOptions(names, vocabulary=tags, max_chars=arguments.get("max_chars"), **given)  # type: ignore[arg-type]


def _witnesses(given: str | Sequence[str | Witness]) -> tuple[tuple[str, ...], Find]:
    """Their names, and what finds a witness by its name. Raises InquisightError for a name that cannot work."""
    if isinstance(given, str):
        return tuple(chosen(given)), get_registry().create_witness
    objects = {one.name: one for one in given if not isinstance(one, str)}
    names = dict.fromkeys(name for one in given for name in (chosen(one) if isinstance(one, str) else [one.name]))
    return tuple(names), lambda name: objects[name] if name in objects else get_registry().create_witness(name)


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


@contextmanager
def _models(config: PipelineConfig, arguments: InterviewArguments) -> Iterator[tuple[VisionBackend, BaseChatModel]]:
    """Both models; a vision model that was given by name is closed at the end."""
    questioner, vision = arguments.get("questioner"), arguments.get("vision")
    if questioner is None or isinstance(questioner, str):
        questioner = load_questioner(questioner or get_settings().questioner, seed=config.seed)
    check_language(config.options, questioner)
    if isinstance(vision, VisionBackend):
        yield vision, questioner
        return
    with closing(load_vision(vision)) as loaded:
        yield loaded, questioner
