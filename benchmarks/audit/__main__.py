"""How well the audit finds what is false, on composed scenes with exact truth.

    python -m benchmarks.audit SOURCES                 (500 held-out scenes, which nothing was chosen on)
    python -m benchmarks.audit SOURCES --development   (other scenes, to choose thresholds and questions on)

SOURCES is what `training.pocket.sources` filled. Each scene gives pocket's own description, and the same with one, two
and four falsehoods planted in it. A claim counts where the scene's truth decides it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from sklearn.metrics import roc_auc_score

from agents.audit.auditor import THRESHOLD, Audited, PictureClaims, audit_claims
from agents.audit.rewrite import without
from agents.claims.extract import extract_claims
from benchmarks.audit.falsehoods import CLAIMS, FalseCaption, overlaps, plant
from benchmarks.audit.truth import holds
from core.registry import get_registry
from core.vision import VisualQuestion
from training.pocket.evaluate import DETAIL, picture
from training.pocket.features import truth as truth_of
from training.pocket.foundation import known_names
from training.pocket.scenes import Composer

FIRST: Final = {"held out": 5_000_000, "development": 3_000_000}
COUNTS: Final = (1, 2, 4)  # falsehoods in one caption
THRESHOLDS: Final = tuple(round(step / 20, 2) for step in range(1, 20))
CHUNK: Final = 25  # scenes at a time


@dataclass(frozen=True, slots=True)
class Measured:
    """One audited caption, with the truth of its claims."""

    planted: int
    caption: FalseCaption
    audited: Audited
    true: tuple[bool | None, ...]
    left_false: int  # claims of the rewritten caption that are false
    truth: dict[str, Any]


class Counter:
    """Counts the language model's forward passes and the encoded pictures of pocket."""

    def __init__(self, vision: Any) -> None:
        self.passes = self.pictures = 0
        vision.engine.model.language_model.model["layers"][0].register_forward_hook(self._count)
        encode = vision.encode

        def counted(pictures: Sequence[Any]) -> Any:
            self.pictures += len(pictures)
            return encode(pictures)

        vision.encode = counted

    def _count(self, *_: Any) -> None:
        self.passes += 1


def measure(vision: Any, composer: Composer, first: int, scenes: int) -> tuple[list[Measured], dict[str, float]]:
    """Every caption of every scene, audited, and what that took."""
    names, found = known_names(), list[Measured]()
    cost = {"describe": 0.0, "describe passes": 0.0, "audit": 0.0, "audit passes": 0.0, "questions": 0.0}
    counter = Counter(vision)
    for start in range(0, scenes, CHUNK):
        seeds = range(first + start, first + min(start + CHUNK, scenes))
        composed = [composer.scene(seed) for seed in seeds]
        began, passes = time.perf_counter(), counter.passes
        encoded = vision.encode(
            [picture(one.image, f"scene {seed}") for one, seed in zip(composed, seeds, strict=True)]
        )
        texts = vision.answer([VisualQuestion(image, DETAIL) for image in encoded])
        cost["describe"] += time.perf_counter() - began
        cost["describe passes"] += counter.passes - passes
        captions = []
        for image, scene, text, seed in zip(encoded, composed, texts, seeds, strict=True):
            truth = truth_of(scene)
            captions.append((0, truth, image, FalseCaption(text)))
            for count in COUNTS:
                if (false := plant(text, truth, names, count, str(seed))) is not None:
                    captions.append((count, truth, image, false))
        for own in (True, False):
            some = [one for one in captions if (one[0] == 0) == own]
            began, passes = time.perf_counter(), counter.passes
            audits = audit_claims(vision, [PictureClaims(one[2], extract_claims(one[3].text)) for one in some])
            if own:
                cost["audit"] += time.perf_counter() - began
                cost["audit passes"] += counter.passes - passes
                cost["questions"] += sum(audit.questions for audit in audits)
            for (count, truth, _, caption), audited in zip(some, audits, strict=True):
                true = tuple(holds(number, audited.claims, truth) for number in range(len(audited.claims)))
                left = extract_claims(without(caption.text, audited.claims))
                false_left = sum(holds(number, left, truth) is False for number in range(len(left)))
                found.append(Measured(count, caption, audited, true, false_left, truth))
        print(f"{start + len(seeds)} scenes", flush=True)
    cost["encoded pictures"] = counter.pictures
    return found, {name: value / scenes for name, value in cost.items()}


def table(found: Sequence[Measured]) -> dict[str, Any]:
    """All figures at the default threshold, and the curve."""
    decided = [
        (claim, true)
        for one in found
        for claim, true in zip(one.audited.claims, one.true, strict=True)
        if true is not None
    ]
    scores = [claim.score or 0.0 for claim, _ in decided]
    truths = [true for _, true in decided]
    figures: dict[str, Any] = {
        "captions": len(found),
        "claims with a truth": len(decided),
        "AUROC": roc_auc_score(truths, scores),
    }
    for kind in sorted({claim.kind for claim, _ in decided}):
        own = [(claim.score or 0.0, true) for claim, true in decided if claim.kind == kind]
        flagged = [true for score, true in own if score <= THRESHOLD]
        false = [score for score, true in own if not true]
        figures[f"{kind}: precision"] = flagged.count(False) / max(len(flagged), 1)
        figures[f"{kind}: recall"] = sum(score <= THRESHOLD for score in false) / max(len(false), 1)
        figures[f"{kind}: n false, n true"] = [len(false), len(own) - len(false)]
    figures.update(_planted(found))
    for name, some in (
        ("pocket's own", [one for one in found if not one.planted]),
        ("with falsehoods", [one for one in found if one.planted]),
    ):
        before = sum(one.true.count(False) for one in some) / len(some)
        after = sum(one.left_false for one in some) / len(some)
        figures[f"false claims per caption, {name}: before, after"] = [before, after]
    figures["curve: threshold, falsehoods found, true claims lost"] = [
        [
            threshold,
            sum(score <= threshold for score, true in zip(scores, truths, strict=True) if not true)
            / truths.count(False),
            sum(score <= threshold for score, true in zip(scores, truths, strict=True) if true) / truths.count(True),
        ]
        for threshold in THRESHOLDS
    ]
    return figures


def _planted(found: Sequence[Measured]) -> dict[str, Any]:
    """The share of planted falsehoods that are marked by a claim of their kind, and of true claims lost."""
    total: dict[str, list[bool]] = {}
    for one in found:
        for falsehood in one.caption.planted:
            caught = any(
                claim.kind == CLAIMS[falsehood.kind]
                and claim.verdict != "supported"
                and overlaps(falsehood, claim.start, claim.end)
                for claim in one.audited.claims
            )
            for name in (falsehood.kind, f"{one.planted} in a caption", "all"):
                total.setdefault(name, []).append(caught)
    true = [
        claim.verdict == "supported"
        for one in found
        for claim, holds_ in zip(one.audited.claims, one.true, strict=True)
        if holds_
    ]
    shares = {f"planted, found: {name}": sum(caught) / len(caught) for name, caught in sorted(total.items())}
    return {**shares, "true claims lost": true.count(False) / max(len(true), 1)}


def draw(curve: Sequence[Sequence[float]], path: Path) -> None:
    """The curve of the threshold, as PNG or SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([row[0] for row in curve], [row[1] for row in curve], label="false claims found")
    axes.plot([row[0] for row in curve], [row[2] for row in curve], label="true claims lost")
    axes.axvline(THRESHOLD, color="grey", linestyle=":")
    axes.set(xlabel="threshold", ylabel="share", ylim=(0, 1))
    axes.legend()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument(
        "--development", action="store_true", help="scenes that questions and thresholds may be chosen on"
    )
    parser.add_argument("--vision", default="pocket", help="pocket, or pocket:DIRECTORY")
    parser.add_argument("--figure", type=Path, help="write the curve of the threshold")
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    composer = Composer(options.sources, held_out=True)
    first = FIRST["development" if options.development else "held out"]
    found, cost = measure(get_registry().create_vision(options.vision), composer, first, options.scenes)
    figures = table(found) | {f"per own caption: {name}": value for name, value in cost.items()}
    for name, value in figures.items():
        several = value if isinstance(value, list) else [value]
        print(f"| {name} | {', '.join(f'{one:.3f}' if isinstance(one, float) else str(one) for one in several)} |")
    if options.figure:
        draw(figures["curve: threshold, falsehoods found, true claims lost"], options.figure)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
