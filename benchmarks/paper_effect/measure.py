"""Describe held-out scenes and photographs with one model and count failures; goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from benchmarks.paper_effect.said import Judged, figures, judge_photograph, judge_scene
from core.files.journal import Record, SharedJournal
from core.images.picture import Picture
from core.vision import GenerationOptions
from plugins.minigpt4.runtime.conversation import ImageTokens, Part, PromptTurns
from plugins.smol.vision import TOKENS
from training.pocket.evaluate import DETAIL, picture
from training.pocket.features import truth

ROOM: Final = 160
BATCH: Final = 40
EXAMPLES: Final = 4  # texts that the page shows
WIDTH: Final = 696  # numbers of a visual token
Shows = Literal["picture", "nothing", "words"]
MANNERS: Final[dict[str, dict[str, Any]]] = {
    "sampled": {"temperature": 1.0, "top_p": 0.9},  # as the original generates; with its top_k and repetition penalty
    "greedy": {"temperature": 0.0},
}
TELL: Final = "The picture shows {things}."


@dataclass(frozen=True, slots=True)
class Shown:
    """One held-out picture, what is true of it, and how a text about it is judged."""

    key: str
    picture: Picture
    told: str  # the truth in words, for a language model that sees nothing
    judge: Callable[..., Judged]


def scenes(sources: Path, number: int) -> list[Shown]:
    """The first held-out scenes of the pocket table: compositions and backgrounds never seen."""
    from functools import partial

    from benchmarks.pocket_small.measure import held_out
    from benchmarks.pocket_small.world import described

    found = []
    for place, scene in enumerate(held_out(sources, number)):
        facts = truth(scene)
        told = described(facts)
        key = f"scene {place}"
        found.append(Shown(key, picture(scene.image, key), told, partial(judge_scene, facts=facts)))
    return found


def photographs(folder: Path, number: int) -> list[Shown]:
    """The held-out half of the labelled photographs."""
    from functools import partial

    from training.photographs.labels import labelled_pictures

    found = []
    for labels, shown in labelled_pictures(folder, "held-out"):
        told = TELL.format(things=", ".join(thing.name for thing in labels.things) or "nothing")
        found.append(Shown(labels.id, shown, told, partial(judge_photograph, labels=labels)))
    return found[:number]


def describe(vision: Any, shown: Sequence[Shown], journal: Path, manner: str, shows: Shows) -> list[Record]:
    """A description of each picture, kept in `journal`."""
    kept = SharedJournal(journal)
    done = {row["key"]: row for row in kept.read() if row["manner"] == manner}
    for start in range(0, len(shown), BATCH):
        group = shown[start : start + BATCH]
        if all(one.key in done for one in group):
            continue
        options = GenerationOptions(max_new_tokens=ROOM, seed=start, **MANNERS[manner])
        asked = [PromptTurns().ask(*parts) for parts in _parts(vision, group, shows)]
        replies = vision.engine.answer(asked, vision._decoding(options))
        rows = [
            {"key": one.key, "manner": manner, "text": reply.text, "limit": reply.truncated}
            for one, reply in zip(group, replies, strict=True)
        ]
        kept.append(*rows)
        done |= {row["key"]: row for row in rows}
    return [done[one.key] for one in shown]


def _parts(vision: Any, group: Sequence[Shown], shows: Shows) -> Iterator[tuple[Part, ...]]:
    """What the model is asked about each picture."""
    if shows == "words":
        yield from ((f"{one.told} {DETAIL}",) for one in group)
    elif shows == "nothing":
        projection = vision.engine.model.language_projection
        weight = next(projection.parameters())
        tokens = ImageTokens("nothing", projection(nothing().to(weight)))
        yield from ((tokens, DETAIL) for _ in group)
    else:
        images = vision.encode([one.picture for one in group])
        yield from ((*image.data, DETAIL) for image in images)


def nothing() -> Tensor:
    """Features (5, width) of no picture: what is learned from them is a soft prompt of five tokens."""
    return torch.eye(TOKENS, WIDTH)


def measure(
    vision: Any, shown: Sequence[Shown], journal: Path, manner: str, shows: Shows = "picture"
) -> dict[str, Any]:
    """Figures of one manner of decoding, with the failures of each text and the first texts as examples."""
    rows = describe(vision, shown, journal, manner, shows)
    judged = [one.judge(row["text"], reached_limit=row["limit"]) for one, row in zip(shown, rows, strict=True)]
    return {
        **figures(judged),
        "failures": ["+".join(one.failures) for one in judged],
        "examples": [row["text"] for row in rows[:EXAMPLES]],
    }
