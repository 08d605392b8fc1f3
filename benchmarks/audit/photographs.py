"""How well the audit tells true things from invented ones on real photographs, whose truth was written by hand.

    python -m benchmarks.audit.photographs PHOTOGRAPHS                  (the half to develop on)
    python -m benchmarks.audit.photographs PHOTOGRAPHS --half held-out

PHOTOGRAPHS is what `training.photographs.fetch` filled. Each caption names the largest true things of a photograph, as
a person would, and as many that are on other photographs only. Names are compared as in training.pocket.sight.measure;
what the truth calls uncertain is not asked about. pocket's own descriptions are audited as well.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from sklearn.metrics import roc_auc_score

from agents.audit.auditor import Audited, PictureClaims, audit_claims
from agents.audit.rewrite import without
from agents.claims.extract import extract_claims
from agents.witnesses.choice import chosen
from agents.witnesses.examination import examine_pictures
from core.nouns import is_mass, is_plural, with_article
from core.registry import get_registry
from core.vision import VisualQuestion
from training.pocket.sight.measure import DETAIL, PRESENCES, Labelled, Names, encode, photographs
from training.pocket.sight.said import names_in

SIZES: Final = ("large", "medium", "small")


def invented(shown: Sequence[Labelled], names: Names) -> list[tuple[list[str], list[str]]]:
    """For each photograph its largest things, and as many that are not on it."""
    rng, everywhere = random.Random(11), [name for one in shown for name in one.things]
    found = []
    for one in shown:
        there = sorted(one.things, key=lambda name: SIZES.index(one.things[name]["size"]))[:PRESENCES]
        away: list[str] = []
        while len(away) < len(there):
            name = rng.choice(everywhere)
            if not any(names.match(name, other) for other in [*one.things, *one.maybe, *one.scene, *away]):
                away.append(name)
        found.append((there, away))
    return found


def sentence(name: str) -> str:
    """ "There is a dog."."""
    if is_plural(name):
        return f"There are {name}."
    return f"There is {name if is_mass(name) else with_article(name)}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder filled by training.photographs.fetch")
    parser.add_argument("--half", choices=("development", "held-out"), default="development")
    parser.add_argument("--vision", default="pocket")
    parser.add_argument("--witness", default="auto", help="witnesses, or none [auto]")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    vision, names = get_registry().create_vision(options.vision), Names(options.wordnet)
    shown = photographs(options.folder, options.half)
    images = encode(vision, [one.picture for one in shown])
    findings = [one.findings for one in examine_pictures(chosen(options.witness), [one.picture for one in shown])]

    def audit(texts: Sequence[str]) -> list[Audited]:
        asked = [PictureClaims(*one) for one in zip(images, map(extract_claims, texts), findings, strict=True)]
        return audit_claims(vision, asked)

    things = invented(shown, names)
    audits = audit([" ".join(map(sentence, [*there, *away])) for there, away in things])
    scores: list[float] = []
    truths: list[bool] = []
    for (there, away), audited in zip(things, audits, strict=True):
        ends = [sum(len(sentence(name)) + 1 for name in [*there, *away][: n + 1]) for n in range(len(there + away))]
        for claim in audited.claims:
            if claim.kind == "thing" and claim.parent is None:
                scores.append(claim.score or 0.0)
                truths.append(next(n for n, end in enumerate(ends) if claim.start < end) < len(there))
    own = vision.answer([VisualQuestion(image, DETAIL) for image in images])
    before, after, named, kept = 0, 0, 0, 0
    for one, text, audited in zip(shown, own, audit(own), strict=True):
        said, left = names_in(text), names_in(without(text, audited.claims))
        for found, counts in ((said, "before"), (left, "after")):
            right = sum(any(names.match(thing.name, true) for true in one.things) for thing in found)
            wrong = sum(
                not any(names.match(thing.name, known) for known in [*one.things, *one.maybe]) for thing in found
            )
            if counts == "before":
                before, named = before + wrong, named + right
            else:
                after, kept = after + wrong, kept + right
    true, false = truths.count(True), truths.count(False)
    pairs = list(zip(scores, truths, strict=True))
    print(f"{len(shown)} photographs, {options.half}\n")
    print("| figure | value |\n|---|---:|")
    print(f"| AUROC, {true} true and {false} invented things | {roc_auc_score(truths, scores):.3f} |")
    print(f"| invented things found | {sum(s <= 0.5 for s, t in pairs if not t) / false:.3f} |")
    print(f"| true things lost | {sum(s <= 0.5 for s, t in pairs if t) / true:.3f} |")
    print(f"| wrong things in the descriptions of {options.vision}: before, after | {before}, {after} |")
    print(f"| right things in them: before, after | {named}, {kept} |")


if __name__ == "__main__":
    main()
