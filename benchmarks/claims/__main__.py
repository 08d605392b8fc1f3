"""How many of a person's claims of captions the rules or a questioner find, and how many of theirs are right.

    python -m benchmarks.claims [--held-out] [--errors] [--questioner NAME]

The captions and their claims are in captions.txt; captions_held_out.txt has others, for which the rules were not
changed. A claim is found where its kind, its subject and what is said of it
agree, without articles; an action may name more than the person wrote ("looking at the camera").
"""

from __future__ import annotations

import argparse
from collections import Counter
from importlib.resources import files

from agents.claims.extract import extract_claims
from agents.claims.words import DETERMINERS
from agents.interview.calls import read_claims
from agents.llm.questioners import load_questioner
from core.records import Claim

Fact = tuple[str, str, str]


def captions(file: str = "captions.txt") -> list[tuple[str, list[Fact]]]:
    """Each caption with its claims: (kind, about, value)."""
    found: list[tuple[str, list[Fact]]] = []
    for line in files("benchmarks.claims").joinpath(file).read_text("utf-8").splitlines():
        if line.startswith("= "):
            found.append((line[2:], []))
        elif line and not line.startswith("#"):
            kind, about, *value = line.split(" ")
            found[-1][1].append((kind, about, " ".join(word for word in value if word not in DETERMINERS)))
    return found


def fact(claim: Claim) -> Fact:
    value = claim.value if claim.kind == "text" else claim.value.lower()
    return claim.kind, claim.about, " ".join(word for word in value.split() if word not in DETERMINERS)


def compare(truth: list[Fact], found: list[Fact]) -> tuple[list[Fact], list[Fact], list[Fact]]:
    """(found and true, missed, wrong); every claim counts once."""
    right, missed, left = [], [], list(found)
    for one in truth:
        same = [other for other in left if other == one]
        if one[0] == "action":
            same += [other for other in left if other[:2] == one[:2] and f"{other[2]} ".startswith(f"{one[2]} ")]
        if one[0] == "attribute":
            same += [other for other in left if other[:2] == one[:2] and set(one[2].split()) > {other[2]}]
        if same:
            left.remove(same[0])
            right.append(one)
        else:
            missed.append(one)
    return right, missed, left


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the claims that rules find in captions.")
    parser.add_argument("--errors", action="store_true", help="list missed and wrong claims")
    parser.add_argument("--held-out", action="store_true", help="captions for which the rules were not changed")
    parser.add_argument("--questioner", help="a language model that finds the claims, helped by the rules")
    options = parser.parse_args()
    model = load_questioner(options.questioner) if options.questioner else None
    counts: dict[str, Counter[str]] = {"right": Counter(), "missed": Counter(), "wrong": Counter()}
    for text, truth in captions("captions_held_out.txt" if options.held_out else "captions.txt"):
        claims = read_claims(text, model, seed=1).claims if model else extract_claims(text)
        results = compare(truth, [fact(claim) for claim in claims])
        for name, facts in zip(counts, results, strict=True):
            counts[name].update(kind for kind, _, _ in facts)
            counts[name].update(all=len(facts))
        if options.errors and (results[1] or results[2]):
            print(text)
            for name, facts in zip(("missed", "wrong"), results[1:], strict=True):
                print(*(f"  {name}: {' | '.join(one)}" for one in facts), sep="\n")
    print("| kind | claims | found | recall | precision |\n|---|---:|---:|---:|---:|")
    for kind in ("thing", "attribute", "number", "place", "relation", "action", "text", "all"):
        right, missed, wrong = (counts[name][kind] for name in counts)
        print(f"| {kind} | {right + missed} | {right} | {right / max(1, right + missed):.3f} | "
              f"{right / max(1, right + wrong):.3f} |")  # fmt: skip


if __name__ == "__main__":
    main()
