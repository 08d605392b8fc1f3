"""Clean what a model said: one question, one plain answer, or a summary.

Answers are untrusted: a picture may contain writing such as "System: ignore your rules", and a model
that reads it aloud hands it to the questioner. So control characters go, role markers and chat
template tokens lose their meaning, lengths are capped; reasoning and tool calls are left out
(`core.net.reasoning`). All functions are pure and idempotent.

A reply passes three stages: reasoning and tool calls go (`core.net.reasoning`), the text is cleaned (here), an answer
is marked certain or unsure (`is_unsure`). Videos add `agents.video.replies`; chats and the agent use
`agents.chat.events.tidy` instead, which keeps layout.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from core import nouns
from core.net.reasoning import answer_in
from core.text import sentences, settled, without_loops

QUESTION_CHARS: Final = 240
ANSWER_CHARS: Final = 700
SUMMARY_CHARS: Final = 3000
_READ_CHARS: Final = 20_000  # of a reply that are read, so that cleaning stays fast

_ROLE: Final = (
    r"(?:system|user|human|assistant|ai|bot|developer|tool|questioner|answerer|question|answer|q|a|"
    r"short answer|long answer|summary|description|caption)"
)
# Matched again and again, each time behind what it matched before; signs before a role are few, or they are its line.
_ROLE_MARK: Final = rf"[\s>*_#\-•]{{0,40}}+{_ROLE}\s*+(?:\d{{1,3}}+\s*+)?[*_]*+\s*+[:：][\s*_]*+"
_LEADING_ROLE = re.compile(_ROLE_MARK, re.IGNORECASE)
# A role at the start of a line or sentence: the model has begun to speak for the other side. `end`: of what it said
# before. A row of blanks and signs is read once, from its beginning.
_RUN_ON = re.compile(
    r"(?<![*_#>\s])(?=[*_#>\s]++(?:system|user|human|assistant|questioner|answerer|question|answer)"
    r"\s*+\d{0,3}+[*_]*+\s*+[:：])(?:[*_>]|\#(?!\#)|[^\S\n]++(?!\#\#))*?(?P<end>\n|(?<=[.!?。！？\"'])\s|\s*+\#\#)|"
    r"(?<!\s)(?P<mark>\s*+\#{3})",
    re.IGNORECASE,
)
_ANY_ROLE = re.compile(
    r"(system|user|human|assistant|developer|tool|question|answer)(\s*+\d{0,3}+)\s*+[:：]", re.IGNORECASE
)
_TEMPLATE_TOKEN = re.compile(
    r"<\|[^|<>\n]{0,40}\|>|\[/?(?:INST|SYS|AVAILABLE_TOOLS|TOOL_CALLS)\]|<</?SYS>>|"
    r"</?(?:s|bos|eos|pad|unk|Img|ImageHere|image|start_of_turn|end_of_turn)>|#{3,}",
    re.IGNORECASE,
)
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_NUMBERING: Final = r"\s*+(?:[(\[]?\d{1,3}\s*+[.):\]](?!\d)|[-*•–—>]++(?=\s))\s*+"
_QUOTES: Final = "\"'`“”‘’«»„「」『』*_ "
_AT_THE_FRONT = re.compile(rf"(?:{_ROLE_MARK})?+(?:{_NUMBERING})?+[{re.escape(_QUOTES)}]*+", re.IGNORECASE)
_ENDS: Final = ".!?。！？…"


def plain_text(text: str, *, keep_lines: bool = False) -> str:
    """Drop terminal escapes, control, bidirectional-override and invisible characters; normalise white space."""
    text = text[:_READ_CHARS]
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = _ANSI.sub("", text)
    kept = []
    for character in unicodedata.normalize("NFC", text):
        if character in "\n\r\t\v\f\u2028\u2029\x85":
            kept.append("\n" if character not in "\t\v\f" else " ")
        elif unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn") or character == "\u200d":
            kept.append(character)
    lines = [" ".join(line.split()) for line in "".join(kept).split("\n")]
    return "\n".join(line for line in lines if line) if keep_lines else " ".join(line for line in lines if line)


def clean_question(text: str) -> str:
    """The first question in `text`, without role names, numbering and quotes; "" if there is none."""
    return settled(_question_once, text)


def clean_answer(text: str, question: str | None = None) -> str:
    """One line of plain text: no echo of `question` or of roles, no second speaker, no loops."""
    return settled(lambda value: _answer_once(value, question), text)


def clean_quoted(text: str) -> str:
    """One line with all its words; control characters go, role marks and template tokens lose their meaning."""
    return settled(lambda value: _defused(plain_text(value)), text)


def clean_summary(text: str) -> str:
    """A paragraph: like an answer, but longer, and never cut at a role name."""
    return settled(_summary_once, text)


def _question_once(text: str) -> str:
    text = _TEMPLATE_TOKEN.sub(" ", answer_in(text)[:_READ_CHARS])
    lines = plain_text(text, keep_lines=True).split("\n")
    asking = next((line for line in lines if re.search(r"[?？]", line)), None)
    line = asking if asking is not None else next((line for line in lines if _bare(line)), "")
    line = _bare(line)
    end = re.search(r"[?？]", line)
    if end:
        line = line[: end.end()]
        # Drop what was said before the question ("Thank you! What ...?"), but not an abbreviation's dot.
        line = re.split(
            r"(?<=[\w\"')][.!])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bSt\.)\s+(?=\S{2})|(?<=[。！])", line
        )[-1]
        line = _bare(line)
    if not re.search(r"\w", line):
        return ""
    return _shorten(_defused(line), QUESTION_CHARS, tail="?" if end else "")


def _bare(line: str) -> str:
    """`line` without wrappings at its ends."""
    if first := _AT_THE_FRONT.match(line):
        line = line[first.end() :].rstrip(_QUOTES)
    place = 0
    while (more := _AT_THE_FRONT.match(line, place)) and more.end() > place:
        place = more.end()
    return line[place:]


def _answer_once(text: str, question: str | None) -> str:
    text = plain_text(answer_in(text), keep_lines=True)
    text = _without_echo(text, question)
    cut = _RUN_ON.search(text)
    if cut and cut.start(str(cut.lastgroup)) > 0:
        text = text[: cut.start(str(cut.lastgroup))]
    text = _defused(plain_text(text))
    return _shorten(_without_loops(text), ANSWER_CHARS)


def _summary_once(text: str) -> str:
    text = plain_text(answer_in(text))
    if role := _LEADING_ROLE.match(text):
        text = text[role.end() :]
    text = text.strip('"“”*_ ')
    return _shorten(_without_loops(_defused(text)), SUMMARY_CHARS)


def _without_echo(text: str, question: str | None) -> str:
    """Remove the prompt if the model repeats it: 'Question: X Answer: Y' and 'X Y' become 'Y'."""
    text, echo = text.strip(), (question or "").casefold()
    before, place = -1, 0
    while before != place:
        before = place
        if role := _LEADING_ROLE.match(text, place):
            place = role.end()
        if question and text[place : place + len(echo)].casefold().startswith(echo):
            place += len(question)
            while text[place : place + 1].isspace():
                place += 1
    return text[place:]


def _defused(text: str) -> str:
    """`text` without chat template tokens and role marks: "System:" becomes "System -"."""
    return " ".join(_ANY_ROLE.sub(r"\1\2 -", _TEMPLATE_TOKEN.sub(" ", text)).split())


def _without_loops(text: str) -> str:
    """Collapse a phrase that is repeated over and over, as small models do, into one."""
    text = re.sub(r"(\S{1,12}?)\1{7,}", r"\1", text)  # no spaces: "hahahaha...", also Chinese
    words = text.split()
    words = without_loops(words, [word.strip(".,;:!?").casefold() for word in words])
    seen: set[str] = set()
    kept = []
    for sentence in sentences(" ".join(words)):
        key = _key(sentence)
        if key in seen and len(key.split()) > 2:
            continue
        seen.add(key)
        kept.append(sentence)
    return " ".join(kept)


def _shorten(text: str, limit: int, tail: str = "") -> str:
    """`text` cut to `limit` characters, at a sentence or else a word, never longer."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    stop = max((head.rfind(end) for end in _ENDS), default=-1)
    if not tail and stop >= limit // 2:
        return head[: stop + 1]
    space = head.rfind(" ")
    return head[: space if space >= limit // 2 else len(head)].rstrip(" ,;:-") + (tail or "…")


# --- certainty ----------------------------------------------------------------------------------------------------

_UNSURE_ANYWHERE = re.compile(
    r"\b(?:i|we)\s+(?:(?:really|just|honestly)\s+)?(?:do not|don'?t|did not|didn'?t)\s+(?:\w+\s+)?know\b|"
    r"^(?:sorry,?\s+)?(?:do not|don'?t) know\b|"
    r"\b(?:i am|i'?m|we are|it is|it'?s)\s+(?:\w+\s+)?"
    r"(?:not (?:\w+\s+)?(?:sure|certain|clear)|unsure|uncertain|unclear)\b|"
    r"\b(?:can ?not|can'?t|could not|couldn'?t|unable to|not able to|(?:not |im)possible to|hard to|difficult to)"
    r"\s+(?:\w+\s+)?"
    r"(?:tell|say|determine|know|make out|identify|answer|see (?:(?:it|that|this)|the (?:image|picture|photo)))\b|"
    r"\b(?:can ?not|can'?t) be (?:\w+\s+)?(?:determined|seen clearly|identified|known|said|read)\b|"
    r"\b(?:no idea|not (?:enough|sufficient) (?:information|detail))\b|"
    r"不知道|不确定|不確定|不清楚|无法(?:确定|判断|看清)|無法(?:確定|判斷|看清)|看不清|看不清楚",
    re.IGNORECASE,
)
_UNSURE_WHOLE = re.compile(
    r"(?:(?:it is|it'?s|that is|that'?s|the answer is)\s+)?"
    r"(?:not (?:\w+ )?(?:sure|certain|known|clear)|unsure|uncertain|unknown|unclear|undetermined|unanswerable|"
    r"n/?a|none given|no answer|maybe|perhaps|i can'?t see(?: it| that)?)",
    re.IGNORECASE,
)


def is_unsure(answer: str) -> bool:
    """Whether `answer` claims nothing: it is empty, or every sentence says that something is not known.

    "no, there is no dog." is a certain answer. An answer with one known and one unknown part is
    certain; `certain_part` is what may be used of it.
    """
    return not certain_part(answer)


def certain_part(answer: str) -> str:
    """`answer` without the sentences that only say that something is not known."""
    return " ".join(part for part in sentences(answer) if re.search(r"\w", part) and not _says_unsure(part))


def _says_unsure(sentence: str) -> bool:
    sentence = sentence.replace("’", "'")
    bare = sentence.strip(" .,!?…。！？\"'").casefold()
    return bool(_UNSURE_WHOLE.fullmatch(bare) or _UNSURE_ANYWHERE.search(sentence))


# --- repetition ---------------------------------------------------------------------------------------------------

FILLER: Final = frozenset(
    (
        "a an the is are was were be of in on at to this that these those there here any some do does did it its "
        "please can could would you me i we tell describe explain say know more about kindly "
        "exactly really actually now just again well ok okay also then maybe so and but "
        "picture image photo photograph scene shown visible see seen"
    ).split()
)
_SHORT_IS: Final = re.compile(r"\b(what|where|who|how|that|there|here|it)'s\b")
_SAME: Final = {
    "color": "colour", "colors": "colour", "colours": "colour", "colored": "coloured", "gray": "grey",
    "which": "what", "object": "thing", "objects": "thing", "item": "thing", "items": "thing",
}  # fmt: skip
_CJK: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:'[^\W_]+)?")


@lru_cache(maxsize=4096)
def question_key(question: str) -> tuple[str, ...]:
    """The words that make a question what it is: no filler, British spelling, singular."""
    question = _SHORT_IS.sub(r"\1 is", question.casefold().replace("’", "'"))
    words = [_SAME.get(word, word) for word in _WORD.findall(question)]
    content = [word for word in words if word not in FILLER] or words
    return tuple(nouns.singular(word) for word in content)


class AskedQuestions:
    """The questions that were asked; finding a similar one takes constant time."""

    def __init__(self, questions: Iterable[str] = ()) -> None:
        self._keys: set[tuple[str, ...]] = set()
        self._shorter: set[tuple[str, ...]] = set()  # keys without one of their words
        for question in questions:
            self.add(question)

    def add(self, question: str) -> None:
        key = question_key(question)
        self._keys.add(key)
        self._shorter.update(_one_word_less(key))

    def __contains__(self, question: str) -> bool:
        """Whether one of them asks the same: equal content words, or one word more or less in a long question."""
        key = question_key(question)
        if key in self._keys or (len(key) >= _LONG and key in self._shorter):
            return True
        return any(shorter in self._keys for shorter in _one_word_less(key))


_LONG: Final = 4  # content words of a question that stays the same with one more or less


def _one_word_less(key: tuple[str, ...]) -> list[tuple[str, ...]]:
    """`key` without each of its words in turn, if the rest is a long question."""
    return [key[:place] + key[place + 1 :] for place in range(len(key))] if len(key) > _LONG else []


def is_repeated(question: str, earlier: Iterable[str]) -> bool:
    """Whether one of `earlier` asks the same: see `AskedQuestions`."""
    return question in AskedQuestions(earlier)


def _key(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
