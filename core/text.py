"""Text of any size in linear time: split into sentences, repeat a clean-up, fold repetitions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

ROUNDS: Final = 12  # of a clean-up; only a text made for it needs more
_LONGEST_PHRASE: Final = 12  # words
_LOOPING: Final = 2 / 3  # of the words of a text
_SENTENCE_END: Final = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s|\Z)(?!(?<=\b[Nn]o\.)\s\d)|[。！？][”’」』）)]*+"  # "No. 5" is a number
)
_ABBREVIATION: Final = re.compile(r"(?:^|[\s(\"'“‘])(?:(?i:mr|mrs|ms|dr|st|vs|etc|approx|e\.g|i\.e)|[A-Z])\.\Z")
_LOOK_BACK: Final = 9  # characters that the longest abbreviation needs


def sentence_ends(text: str) -> Iterator[int]:
    """Where each finished sentence ends, its closing quotes included; abbreviations such as "Dr." end none."""
    for end in _SENTENCE_END.finditer(text):
        if not _ABBREVIATION.search(text[max(0, end.start() - _LOOK_BACK) : end.end()]):
            yield end.end()


def sentences(text: str) -> list[str]:
    """`text` split after sentence ends and at line ends, without white space around each part."""
    found: list[str] = []
    for line in text.split("\n"):
        start = 0
        for end in [*sentence_ends(line), len(line)]:
            found.append(line[start:end].strip())
            start = end
    return [sentence for sentence in found if sentence]


def whole_sentences(text: str) -> str:
    """A text that was cut off, without its unfinished sentence; a single unfinished sentence is kept."""
    end = max(sentence_ends(text), default=len(text))
    return text[:end]


def shortened(text: str, most: int) -> str:
    """`text` in at most `most` characters: whole sentences, else clauses of the first one, else whole words of it.

    Scripts without spaces may end between two characters. "" if not even the first word fits.
    """
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    ends = [end for end in sentence_ends(text) if end <= most]
    if ends:
        return text[: ends[-1]]
    first = text[: next(sentence_ends(text), len(text))]
    stop = "." if first.endswith(".") else ""
    for cuts in (_CLAUSE_END, _WORD_END):
        places = [cut.start() for cut in cuts.finditer(first, 0, most + 1) if 0 < cut.start() <= most - len(stop)]
        for place in reversed(places):
            head = _without_last_small_words(first[:place])
            quotes_close = head.count('"') % 2 == 0 and head.count("“") == head.count("”")
            if head and quotes_close and (cuts is _WORD_END or 2 * len(head) >= most):
                return head + stop
    return ""


_JOINTS: Final = " ,;:–—-，、；："
_CLAUSE_END: Final = re.compile(
    r"[,;:] | [–—-] | (?=(?:while|but|which|who|with|without|in front of|next to|on|in|at|under|behind|beside|near|"
    r"above|over|against|by|along|across|beneath|inside|outside|through|between|and (?:an?|the|some|two)) )|[，、；：]"
)
_WORD_END: Final = re.compile(r"(?=\s)|(?<=[\u3040-\u30ff\u3400-\u9fff])")
# At the end of a text that was cut, these wait for another word.
_SMALL: Final = frozenset(
    "a an the some this that these those its his her their of on in at to by with without and or but while which who "
    "from into near under behind beside over above against is are was were be has have very one two three there as "
    "reads says shows wearing holding "
    "for".split()
)


def _without_last_small_words(text: str) -> str:
    words = text.split()
    while words and words[-1].strip(_JOINTS).lower() in _SMALL | {""}:
        words.pop()
    return " ".join(words).rstrip(_JOINTS)


def settled(step: Callable[[str], str], text: str) -> str:
    """Apply `step` until nothing changes, at most `ROUNDS` times: taking one thing away can uncover another."""
    for _ in range(ROUNDS):
        changed = step(text)
        if changed == text:
            break
        text = changed
    return text


def without_loops(words: Sequence[str], keys: Sequence[str], *, signs: bool = True) -> list[str]:
    """`words` with each phrase that is said over and over folded into its last copy.

    `keys` are what the words are compared by. A phrase of one or two words is folded from three copies on ("very, very"
    is speech), a longer one from two. `signs`: also where all keys of the phrase are empty.
    """
    words, keys = list(words), list(keys)
    for size in range(1, _LONGEST_PHRASE + 1):
        needed = 3 if size < 3 else 2
        kept: list[int] = []
        at = 0
        while at < len(words):
            phrase, times = keys[at : at + size], 1
            if at + size * needed <= len(words) and (signs or any(phrase)):
                while keys[at + times * size : at + (times + 1) * size] == phrase:
                    times += 1
            if times >= needed:
                at += (times - 1) * size
            kept.append(at)
            at += 1
        words, keys = [words[place] for place in kept], [keys[place] for place in kept]
    return words


def repeats_itself(text: str) -> bool:
    """Whether a text says the same over and over: without its repetitions, less than two thirds of its words are left.

    A model in such a loop does not end, however many tokens it gets.
    """
    words = text.split()
    keys = [word.strip(".,;:!?").casefold() for word in words]
    once = {sentence.casefold(): len(sentence.split()) for sentence in sentences(text)}
    return min(len(without_loops(words, keys)), sum(once.values())) < _LOOPING * len(words)


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them: "45 s", "12 min", "3.5 h", "2.1 days"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
