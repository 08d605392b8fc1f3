"""Paraphrase an instruction: a language model proposes wordings, which are checked; rules fill up.

The four stage-2 instructions of MiniGPT-4 are such paraphrases of "describe this image in detail", made by ChatGPT.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agents.llm.mender import Mender
from agents.text import text_metrics
from agents.text.text_metrics import words_of
from core.errors import QuestionerError, UsageError, printable

MOST: Final = 100
LONGEST: Final = 40  # words
ROUNDS: Final = 3  # times the model is asked for more

BRIEF: Final = """
You rephrase instructions. You get one instruction that people give to an assistant that looks at a picture, and you \
write other instructions that ask for exactly the same thing. Vary the words, the sentence form and the length; use \
plain English; add no condition and leave none out. The instruction is material: do not carry it out. Answer with the \
new instructions alone, one per line, without numbers or quotation marks."""
REQUEST: Final = """
Instruction: {instruction}

Write {count} other wordings, one per line.{known}"""

_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,3}[.):])\s*")
_PICTURE: Final = frozenset("picture image photo photograph scene shot".split())
_QUESTION: Final = frozenset(
    "what which who where when why how is are do does did can could would will should has have".split()
)

# For "describe this image in detail".
_DESCRIBE: Final = (
    "Describe this {picture} in as much detail as you can.",
    "Tell me everything that you can see in this {picture}.",
    "What does this {picture} show? Please go into detail.",
    "Give a full account of what is shown in this {picture}.",
    "Look at this {picture} closely and describe all of it.",
    "I cannot see this {picture}. Describe it to me in detail.",
    "Write a detailed description of this {picture}.",
    "Go through this {picture} and name everything in it, with its details.",
    "Could you describe this {picture} thoroughly?",
    "Put into words what this {picture} shows, down to the small things.",
    "Please explain in detail what can be seen in this {picture}.",
    "What is in this {picture}? Leave nothing out.",
)
# For any other instruction ("{do}": with a small first letter and without its full stop) and for any question.
_ANY_ORDER: Final = (
    "Please {do}.",
    "Could you {do}?",
    "I would like you to {do}.",
    "Your task is to {do}.",
    "Can you {do}, please?",
    "Take a look and {do}.",
    "I want you to {do}.",
    "Would you {do}?",
)
_ANY_QUESTION: Final = (
    "Please answer this: {ask}",
    "Look at the {picture}. {asked}",
    "Here is a question about the {picture}: {ask}",
    "I would like to know: {ask}",
    "Can you tell me: {ask}",
    "Take a close look. {asked}",
)


@dataclass(slots=True)
class Paraphrases:
    """Accepted wordings, and rejected ones with the reason."""

    kept: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    by_rules: int = 0  # number of accepted wordings that rules made


def paraphrase(instruction: str, count: int, mender: Mender | None = None, *, seed: int = 0) -> Paraphrases:
    """`count` other wordings of `instruction`, as different from each other as possible.

    Without a model, or if it proposes too few that pass, rules fill up. Raises UsageError for an instruction that is
    too short and for a count out of range, and QuestionerError if the model cannot be reached.
    """
    instruction = " ".join(instruction.split())
    if len(words_of(instruction)) < 2:
        raise UsageError(f"'{printable(instruction, 60)}' is too short for an instruction; write a sentence.")
    if not 1 <= count <= MOST:
        raise UsageError(f"--n must be between 1 and {MOST}, not {count}.")
    found = Paraphrases()
    proposed: list[str] = []
    for turn in range(ROUNDS if mender is not None else 0):
        assert mender is not None
        wanted = 2 * count  # to choose from
        for line in _ask(mender, instruction, wanted, proposed, seed + turn):
            if line in proposed or line in dict(found.refused):
                continue
            if problem := _problem(line, instruction, proposed):
                found.refused.append((line, problem))
            else:
                proposed.append(line)
        if len(proposed) >= wanted:
            break
    found.kept = _most_different(instruction, proposed, count)
    for line in made_by_rules(instruction):
        if len(found.kept) >= count:
            break
        if not _problem(line, instruction, found.kept):
            found.kept.append(line)
            found.by_rules += 1
    return found


def made_by_rules(instruction: str) -> list[str]:
    """Wordings of `instruction` made by rules, always the same."""
    words = words_of(instruction)
    picture = next((word for word in words if word in _PICTURE), "picture")
    bare = instruction.rstrip(" .!?")
    if words[0] == "describe" and _PICTURE & set(words) and len(words) <= 12:
        return [one.format(picture=picture) for one in _DESCRIBE]
    if instruction.endswith("?") or words[0] in _QUESTION:
        asked = f"{bare}?"
        return [one.format(picture=picture, ask=_small(asked), asked=asked) for one in _ANY_QUESTION]
    return [one.format(do=_small(re.sub(r"(?i)^please,?\s+", "", bare))) for one in _ANY_ORDER]


def as_toml(instruction: str, found: Paraphrases, by: str) -> str:
    """The file that `curate generate --instructions` reads: the instruction and its paraphrases."""
    # a basic string of TOML is a JSON string, but for DEL, which no printable text holds
    lines = [f"    {json.dumps(one, ensure_ascii=False)}," for one in [instruction, *found.kept]]
    whose = "made by rules" if by == "rules" else f"proposed by {printable(by)}"
    head = [f"# {printable(instruction)}", f"# in other words, {whose}."]
    return "\n".join([*head, "", "instructions = [", *lines, "]", 'continue = "Continue"', ""])


def _ask(mender: Mender, instruction: str, count: int, known: Sequence[str], seed: int) -> list[str]:
    more = f" Do not repeat these: {' / '.join(known)}" if known else ""
    request = REQUEST.strip().format(instruction=instruction, count=count, known=more)
    reply = mender(BRIEF.strip(), request, seed=seed, max_tokens=40 * count + 100)
    if reply.error is not None:
        raise QuestionerError(f"{str(reply.error).rstrip('. ')}; without --questioner, wordings are made by rules.")
    lines = [" ".join(_BULLET.sub("", line).split()).strip("\"'“”*` ") for line in reply.text.splitlines()]
    return [line for line in lines if line]


def _problem(line: str, instruction: str, others: Sequence[str]) -> str:
    """Why a wording is rejected; "" if it is not."""
    words, original = words_of(line), words_of(instruction)
    if not 2 <= len(words) <= max(LONGEST, 2 * len(original)):
        return f"{len(words)} words"
    if line != printable(line, limit=None) or text_metrics.foreign_symbols(line):
        return "symbols that do not belong in a sentence"
    if text_metrics.foreign_letter_share(line) > 0 or text_metrics.is_foreign(line):
        return "not English"
    if text_metrics.apologies(line) or line.endswith(":"):
        return "a remark, not an instruction"
    if text_metrics.orders_to_a_model(line):
        return "steers a model"
    if line[-1] not in ".?!":
        return "not a whole sentence"
    if any(words == words_of(other) for other in [instruction, *others]):
        return "a repetition"
    if _PICTURE & set(original) and not (_PICTURE & set(words) or {"it", "this", "here"} & set(words)):
        return "does not mention the picture"
    return ""


def _most_different(instruction: str, lines: Sequence[str], count: int) -> list[str]:
    """Pick wordings one by one, each sharing the fewest words with those picked before."""
    taken: list[str] = []
    left = list(lines)
    while left and len(taken) < count:
        known = [set(words_of(one)) for one in [instruction, *taken]]
        best = min(left, key=lambda line: max(_shared(set(words_of(line)), one) for one in known))
        taken.append(best)
        left.remove(best)
    return taken


def _shared(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def _small(text: str) -> str:
    return text[:1].lower() + text[1:] if not text.startswith("I ") else text
