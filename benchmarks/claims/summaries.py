"""How many unsupported sentences the check takes out of summaries, and how many true ones.

    python -m benchmarks.claims.summaries [--held-out] [--errors]

The dialogues and sentences are in summaries.txt; summaries_held_out.txt has others that were written last; no
synonym was added for them. Each sentence is checked alone, and the true ones of a dialogue once
more as one summary. The scripted questioner, which says nothing but what the answers say, writes a summary of each
dialogue too, and one of pocket's answer about each photograph of docs/real-photographs.md.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from langchain_core.messages import HumanMessage

from agents.claims.summaries import unsupported_sentences
from agents.interview.turns import usable
from agents.llm.questioners import ask_reply, load_questioner
from core.records import Turn
from core.tasks import SUMMARY, Task
from core.text import sentences

OPENING = "Describe this picture in detail."


@dataclass
class Dialogue:
    """Turns, and sentences that they support or do not."""

    name: str
    turns: list[Turn] = field(default_factory=list)
    true: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)


def dialogues(file: str = "summaries.txt") -> list[Dialogue]:
    """The dialogues of a file."""
    found: list[Dialogue] = []
    for line in files("benchmarks.claims").joinpath(file).read_text("utf-8").splitlines():
        sign, text = line[:1], line[2:]
        match sign:
            case "=":
                found.append(Dialogue(text))
            case "?":
                question, answer = text.split(" | ")
                if answer != "I am not sure.":
                    found[-1].turns.append(Turn(question=question, answer=answer))
            case "+":
                found[-1].true.append(text)
            case "-":
                found[-1].false.append(text)
    return found


def measure(file: str = "summaries.txt") -> tuple[list[str], list[str], int, int]:
    """(true sentences taken out, false ones kept, number of true ones, number of false ones)."""
    lost: list[str] = []
    kept: list[str] = []
    true = false = 0
    for one in dialogues(file):
        summary = " ".join(one.true)
        removed = {un.text: un.reason for un in unsupported_sentences(summary, one.turns)}
        for sentence in one.true:
            alone = unsupported_sentences(sentence, one.turns)
            if reason := removed.get(sentence) or (alone[0].reason if alone else ""):
                lost.append(f"{one.name}: {sentence} ({reason})")
        kept += [f"{one.name}: {s}" for s in one.false if not unsupported_sentences(s, one.turns)]
        true, false = true + len(one.true), false + len(one.false)
    return lost, kept, true, false


def photograph_dialogues() -> list[Dialogue]:
    """What pocket says of the photographs of the page, as dialogues of one turn."""
    page = Path(__file__).parents[2].joinpath("docs", "real-photographs.md").read_text("utf-8")
    said = re.findall(r"^\d+\. (.+) \([^()]*\)$", page, re.MULTILINE)
    return [Dialogue("photograph", [Turn(question=OPENING, answer=answer)]) for answer in said]


def by_script(found: list[Dialogue], seed: int | None = None) -> tuple[int, list[str]]:
    """(number of sentences that the scripted questioner writes of them, those that the check takes out)."""
    model = load_questioner("scripted")
    sentences_written, lost = 0, []
    for one in found:
        turns = usable(one.turns)
        message = HumanMessage("Summarise.", additional_kwargs=Task.of(SUMMARY, turns).to_kwargs())
        summary = ask_reply(model, [message], seed=seed).text
        sentences_written += len(sentences(summary))
        lost += [f"{un.text} ({un.reason})" for un in unsupported_sentences(summary, turns)]
    return sentences_written, lost


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the check of summaries.")
    parser.add_argument("--errors", action="store_true", help="list the sentences")
    parser.add_argument("--held-out", action="store_true", help="dialogues that were written last")
    options = parser.parse_args()
    file = "summaries_held_out.txt" if options.held_out else "summaries.txt"
    lost, kept, true, false = measure(file)
    print("| sentences | number | taken out | share |\n|---|---:|---:|---:|")
    print(f"| supported | {true} | {len(lost)} | {len(lost) / true:.3f} |")
    print(f"| unsupported | {false} | {false - len(kept)} | {1 - len(kept) / false:.3f} |")
    for name, found in (("these dialogues", dialogues(file)), ("75 photographs", photograph_dialogues())):
        number, more = by_script(found)
        print(f"| of the scripted questioner, {name} | {number} | {len(more)} | {len(more) / number:.3f} |")
        lost += more
    if options.errors:
        print("", *(f"lost: {one}" for one in lost), *(f"kept: {one}" for one in kept), sep="\n")


if __name__ == "__main__":
    main()
