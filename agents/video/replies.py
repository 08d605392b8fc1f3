"""Parse a questioner's replies about a video: the frame of a question, and frames mentioned in a summary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from agents.text.cleaning import clean_question, plain_text
from core.net.reasoning import answer_in
from core.text import sentences

_COUNTED: Final = "zero one two three four five six seven eight nine ten eleven twelve".split()
_NUMBER: Final = rf"(?P<minus>[-−])?(?P<digits>\d{{1,9}}|(?:{'|'.join(_COUNTED)})\b)"
# "Frame-3" and "Frame - 3" are frame 3; "frame -3" is not.
_FRAME = re.compile(
    rf"(?:\b(?:in|of|at|on|about|for)\s+)?(?:\bthe\s+)?\bframe(?:[\s_#*]|(?<=\w)-|-(?=\s))*(?:(?:number|no\.?|nr\.?)\s*)?"
    rf"{_NUMBER}(?P<more>[*_\])]*\s*[:：.,)\]\-–—]+)?",
    re.IGNORECASE,
)
_WRAPPING: Final = " \t\"'`“”*_[](){}>#-–—:,.;"
_EMPTY_BRACKETS = re.compile(r"[(\[{]\s*(?:[)\]}]|(?=[?.!]|$))")


@dataclass(frozen=True, slots=True)
class ParsedQuestion:
    """The frame that a reply names (None: none or several) and its question without the frame ("": none)."""

    frame: int | None
    question: str


def read_question(text: str) -> ParsedQuestion:
    """Parse "Frame_3: What is it?", "In frame 3, what is it?", "What is it (frame three)?" and similar."""
    text = plain_text(answer_in(text), keep_lines=True)
    found = list(_FRAME.finditer(text))
    labels = [match for match in found if match["more"] and not _line_before(text, match).strip(_WRAPPING)]
    if len(labels) > 1:  # several questions: the first one counts
        text = text[labels[0].start() : labels[1].start()]
        found = list(_FRAME.finditer(text))
    frames = {_value(match) for match in found}
    if len(frames) > 1:  # the vision model sees one frame and cannot compare
        return ParsedQuestion(None, "")
    rest = text[found[0].end() :] if labels else text
    rest = _EMPTY_BRACKETS.sub(" ", _FRAME.sub(" ", rest))
    rest = re.sub(r"(?<!\s)\s++([?!.,？])", r"\1", rest).lstrip(_WRAPPING + "\n")
    question = clean_question(rest)
    return ParsedQuestion(frames.pop() if frames else None, _capital(question))


def _line_before(text: str, match: re.Match[str]) -> str:
    return text[text.rfind("\n", 0, match.start()) + 1 : match.start()]


def _value(match: re.Match[str]) -> int:
    digits = match["digits"].lower()
    value = int(digits) if digits.isdigit() else _COUNTED.index(digits)
    return -value if match["minus"] else value


def _capital(question: str) -> str:
    return question[:1].upper() + question[1:]


# --- summaries ------------------------------------------------------------------------------------------------------

_ORDINAL: Final = (
    "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last|final|next|previous|opening|closing|initial|"
    "middle|later|earlier|following|subsequent|preceding|remaining"
)
_SPEAKS_OF_FRAMES = re.compile(
    rf"\b(?:video|still|key)[\s-]?frames?\b|"
    rf"\bframes?[\s_#*-]*+(?:(?:numbers?|nos?\.?)[\s_#*-]*+)?(?:\d|(?:{'|'.join(_COUNTED)})\b)|"
    rf"\b(?:{_ORDINAL})\s+(?:(?:\w+|\d+)\s+)?frames?\b|"
    r"\b(?:each|every|all|both|several|these|those|different|across|throughout|between|among)\s+(?:of\s+)?"
    r"(?:the\s+)?frames?\b|"
    r"\b(?:in|of|by|at|from)\s+the\s+frames\b|\bframe[\s-]by[\s-]frame\b|\bthe frames?\s+(?:shows?|depicts?)\b|"
    r"\b(?:bild|einzelbild|fotograma|fotogramma|quadro|кадр\w*|フレーム|帧|幀)\s*\d+|第\s*[\d一二三四五六七八九十]+\s*[帧幀]",
    re.IGNORECASE,
)
_SET_OFF = re.compile(
    rf"(?:^|(?<=\s))(?:in|at|by|from|on)\s+(?:the\s+)?(?:(?P<place>{_ORDINAL})\s+(?:\w+\s+)?frames?|"
    rf"frames?[\s_#*-]*(?:\d+|{'|'.join(_COUNTED)})"
    rf"(?:\s*(?:,|and|to|through|-|–)\s*(?:frame[\s_]*)?(?:\d+|{'|'.join(_COUNTED)}))*)"
    r"\s*[,:]?\s*",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"(?<!\s)\s*+[(\[][^()\[\]]*+[)\]]")
_FRAMES = re.compile(r"\bframes?\b", re.IGNORECASE)
_WHEN: Final = {"first": "At first", "opening": "At first", "initial": "At first"} | dict.fromkeys(
    ("last", "final", "closing"), "At the end"
)


def speaks_of_frames(text: str) -> bool:
    """Whether a summary mentions video frames; a picture frame on a wall does not count."""
    return bool(_SPEAKS_OF_FRAMES.search(text))


def without_frames(text: str) -> str:
    """`text` without mentions of frames; drops sentences that still mention one. May return ""."""
    kept: list[str] = []
    for sentence in sentences(_BRACKETS.sub(lambda found: "" if _FRAMES.search(found[0]) else found[0], text)):
        if speaks_of_frames(sentence):
            began = _SET_OFF.match(sentence)
            rest = _SET_OFF.sub("", sentence).strip()
            if began and rest:
                when = _WHEN.get((began["place"] or "").lower(), "Then" if kept else "At first")
                rest = f"{when}, {rest[:1].lower()}{rest[1:]}"
            sentence = _capital(rest)
        if sentence and not speaks_of_frames(sentence):
            kept.append(sentence)
    return " ".join(kept)
