"""Measure the descriptions of held-out pictures: failures as in the paper, recall, inventions, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agents.text import text_metrics
from benchmarks.pocket_small.truth import is_repeating, judge
from core.registry import get_registry
from core.vision import EncodedImage
from plugins.pocket.engine import GeneratedIds, PocketPrompt
from plugins.pocket.speech.tidy import sentences
from training.pocket.evaluate import DETAIL, picture
from training.pocket.features import truth
from training.pocket.scenes import ComposedScene, Composer

ROOM: Final = 160  # tokens of an answer: twice the longest true description
BATCH: Final = 25
MANNERS: Final[dict[str, dict[str, Any]]] = {
    "greedy": {"temperature": 0.0},
    "sampled": {"temperature": 1.0, "top_p": 0.9},  # as the original generates
}
HELD_OUT_FROM: Final = 1_000_000  # the seeds of the pocket table


@dataclass(frozen=True, slots=True)
class Said:
    """One description, and how it came to its end."""

    text: str
    raw: str  # with the marks that an answer does not show
    ended: bool
    marks: int  # among its tokens

    @property
    def failures(self) -> list[str]:
        """The paper's: broken off, repeating, foreign symbols (other languages and marks of templates among them)."""
        found = text_metrics.failures(self.raw)
        broken = not self.ended or "broken off" in found or "empty" in found
        foreign = self.marks > 0 or "foreign symbols" in found or "other language" in found
        named = {"broken off": broken, "repeating": is_repeating(self.text), "foreign symbols": foreign}
        return [name for name, failed in named.items() if failed]


def held_out(sources: Path, number: int) -> list[ComposedScene]:
    """The first scenes of the pocket table: known cut-outs, compositions and photographs never seen."""
    composer = Composer(sources, held_out=True)
    return [composer.scene(HELD_OUT_FROM + seed) for seed in range(number)]


def measure(spec: str, scenes: Sequence[ComposedScene]) -> dict[str, Any]:
    """What the backend `spec` (one of pocket's) says of `scenes`, in figures; with all texts."""
    vision: Any = get_registry().create_vision(spec)
    images = vision.encode([picture(scene.image, f"scene {i}") for i, scene in enumerate(scenes)])
    facts = [truth(scene) for scene in scenes]
    report: dict[str, Any] = {"vision": vision.describe()}
    for manner, options in MANNERS.items():
        said = describe(vision.engine, images, options)
        report[manner] = {**figures(said, facts), "texts": [one.raw for one in said]}
    return report


def describe(engine: Any, images: Sequence[EncodedImage], options: dict[str, Any]) -> list[Said]:
    """A description of each picture; the seed of a batch is its place, so that every projection draws alike."""
    said: list[Said] = []
    for start in range(0, len(images), BATCH):
        prompts = [PocketPrompt(image.data.tokens, DETAIL) for image in images[start : start + BATCH]]
        said += [_said(engine, one) for one in engine.write(prompts, max_new_tokens=ROOM, seed=start, **options)]
    return said


def _said(engine: Any, written: GeneratedIds) -> Said:
    ids = list(written.ids)
    special = {number for number, token in engine.tokenizer.get_added_tokens_decoder().items() if token.special}
    raw = engine.tokenizer.decode(ids, skip_special_tokens=False).strip()
    return Said(sentences(engine.decode(ids)), raw, written.ended, sum(token in special for token in ids))


def figures(said: Sequence[Said], facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Shares and means over all pictures."""
    verdicts = [judge(one.text, fact) for one, fact in zip(said, facts, strict=True)]
    failures = [one.failures for one in said]
    kinds = ("broken off", "repeating", "foreign symbols")
    wanted, claims = sum(one.wanted for one in verdicts), sum(one.claims for one in verdicts)
    return {
        "pictures": len(said),
        "failure rate": _share(sum(map(bool, failures)), len(said)),
        **{kind: _share(sum(kind in found for found in failures), len(said)) for kind in kinds},
        "recall": _share(sum(one.named for one in verdicts), wanted),
        "invented per picture": _share(sum(one.invented for one in verdicts), len(said)),
        "wrong place or colour": _share(sum(one.wrong for one in verdicts), claims),
        "words": _share(sum(len(text_metrics.words_of(one.text)) for one in said), len(said)),
    }


def _share(part: float, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
