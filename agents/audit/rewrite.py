"""Rewrite a caption without its false claims: a sentence is repaired where grammar allows it, else taken out.

    without(caption, claims)        # "A red car and a dog are on the lawn." -> "A dog is on the lawn."

An adjective goes alone, a number becomes "some", a place or a member of a list goes with its commas; else a clause or
the sentence goes, and what is there is listed. A repaired sentence claims nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from agents.claims.extract import extract_claims
from core.nouns import is_plural, with_article
from core.records import Claim
from core.text import sentence_ends

_BE: Final = "is are was were"
_OPEN: Final = frozenset(
    f"{_BE} a an the and or but with on in at of to by from near behind under above below beside between while as "
    "some his her its their there has have wearing holding riding shows show next".split()
)
_DETERMINERS: Final = frozenset("a an the some his her its their this that".split())
_MEMBER: Final = re.compile(r"(?:, and |, or | and | or |, )")
_ARTICLE: Final = re.compile(r"\b([Aa])n? ([A-Za-z]++)")
_CLAUSE: Final = re.compile(r"(?:; |, and |, while |, but |, where |, which | while | but )")
_THERE_ARE: Final = re.compile(r"\b([Tt]here) are (an? |one )")
_THERE_IS: Final = re.compile(r"\b([Tt]here) is (some [a-z-]++|two|three|four|five|six|several|many)\b")
_JOINTS: Final = (", and ", ", ", " and ", " or ")
_ONE_ARE: Final = re.compile(r"^((?:[Aa]n?|[Oo]ne) (?:(?!and |or |are |were )[a-z-]++ ){1,4}+)(are|were)\b")
_WORD: Final = re.compile(r"[A-Za-z]++(?:['’-][A-Za-z]++)*+")


def false_claims(claims: Sequence[Claim]) -> list[Claim]:
    """The claims that were judged and are not supported."""
    return [claim for claim in claims if _denied(claim)]


def without(text: str, claims: Sequence[Claim]) -> str:
    """`text` without the claims that are not supported; "" if nothing is left. `claims` are those of `text`."""
    if not false_claims(claims):
        return text
    kept: list[str] = []
    false_roots = [claim for claim in false_claims(claims) if claim.parent is None or not _denied(claims[claim.parent])]
    start = 0
    for end in dict.fromkeys([*sentence_ends(text), len(text)]):
        sentence = text[start:end]
        offset = start + len(sentence) - len(sentence.lstrip())
        inside = [claim for claim in claims if start <= claim.start < end]
        wrong = [_moved(claim, offset, end) for claim in inside if claim in false_roots]
        gone = [_moved(claim, offset, end) for claim in false_claims(inside)]
        kept.append(_repaired(sentence.strip(), [_moved(claim, offset, end) for claim in inside], wrong, gone))
        start = end
    return " ".join(sentence for sentence in kept if sentence)


def _denied(claim: Claim) -> bool:
    return claim.verdict not in (None, "supported")


def _moved(claim: Claim, offset: int, end: int) -> Claim:
    return claim.model_copy(update={"start": claim.start - offset, "end": min(claim.end, end) - offset})


def _repaired(sentence: str, claims: Sequence[Claim], wrong: Sequence[Claim], gone: Sequence[Claim]) -> str:
    """The sentence without its claims `wrong`, and those that hang on them; "" if it cannot be repaired."""
    if not gone:
        return sentence
    true = [claim for claim in claims if claim not in gone]
    allowed = {_key(claim) for claim in true}
    said = {(claim.kind, claim.value) for claim in claims if claim.kind != "thing"}
    for attempt in (_edited, _shortened):
        candidate = attempt(sentence, wrong or gone, true)
        if not candidate or not _sound(candidate):
            continue
        new = [claim for claim in extract_claims(candidate) if _key(claim) not in allowed]
        if all((claim.kind, claim.value) in said and not _again(claim, gone) for claim in new):
            return candidate
    return _listed([claim.text for claim in true if claim.kind == "thing"])


def _listed(things: Sequence[str]) -> str:
    """What is there of a sentence that cannot be repaired."""
    if not things:
        return ""
    several = is_plural(things[0].rpartition(" ")[2]) and not things[0].startswith(("a ", "an "))
    listed = " and ".join(filter(None, [", ".join(things[:-1]), things[-1]]))
    return f"There {'are' if several else 'is'} {listed}."


def _again(claim: Claim, gone: Sequence[Claim]) -> bool:
    return _key(claim) in {_key(one) for one in gone}


def _key(claim: Claim) -> tuple[str, str, str]:
    return claim.kind, claim.about, claim.value


def _edited(sentence: str, wrong: Sequence[Claim], true: Sequence[Claim]) -> str:
    """Each false claim cut out where it stands, the last one first; "" if one cannot be."""
    moved: list[tuple[int, int]] = []  # where the text was changed, and by how much it became longer
    for claim in sorted(wrong, key=lambda one: (-one.start, one.end)):
        start, end = (
            place + sum(longer for before, longer in moved if before < place) for place in (claim.start, claim.end)
        )
        if end <= start:
            continue  # gone with another one
        edits = _EDITS[claim.kind](sentence, claim.model_copy(update={"start": start, "end": end}), true)
        if not edits:
            return ""
        for first, last, new in sorted(edits, reverse=True):
            sentence = sentence[:first] + new + sentence[last:]
            moved.append((first, len(new) - (last - first)))
    return _tidy(sentence)


_Edits = tuple[tuple[int, int, str], ...]  # from and to which character, and what stands there then


def _modifier(sentence: str, claim: Claim, true: Sequence[Claim]) -> _Edits:
    """An adjective, alone or in a list, with the blank, comma or "and" that joined it."""
    start, end = claim.start, claim.end
    behind = next((mark for mark in _JOINTS if sentence.startswith(mark, end)), "")
    before = next((mark for mark in _JOINTS if sentence.endswith(mark, 0, start)), "")
    previous_stays = bool(before) and any(one.end == start - len(before) for one in true if one.kind == "attribute")
    if behind and not (previous_stays and before == ", " and "and" in behind):
        return ((start, end + len(behind), ""),)
    if behind:  # "black, grey and white" without grey
        return ((start - len(before), end, ""),)
    if previous_stays:  # the last of a list; the one before it gets the "and"
        joined = sentence[: start - len(before)]
        comma, word = joined.rfind(", "), joined.rpartition(" ")[2]
        if "and" in before and comma >= 0 and joined[comma + 2 :] == word:
            return (comma, comma + 2, " and "), (start - len(before), end, "")
        return ((start - len(before), end, ""),)
    return ((start, end + 1, ""),) if re.match(r" [A-Za-z]", sentence[end:]) else ()


def _number(sentence: str, claim: Claim, true: Sequence[Claim]) -> _Edits:
    """ "three dogs": "some dogs"; "one dog": "a dog"."""
    first = sentence[claim.start : claim.end].split(" ", 1)[0]
    behind = sentence[claim.start + len(first) :].split()
    noun = claim.about if not behind else behind[0].strip(".,;")
    new = "some" if first.lower() not in ("one", "1", "a", "an") else with_article(noun).split()[0]
    return ((claim.start, claim.start + len(first), new.capitalize() if first[:1].isupper() else new),)


def _phrase(sentence: str, claim: Claim, true: Sequence[Claim]) -> _Edits:
    """A place or a relation, behind what it belongs to or at the beginning."""
    start, end = claim.start, claim.end
    if start == 0:
        comma = sentence[end : end + 2] == ", "
        return ((start, end + (2 if comma else 1), ""),)
    before = sentence[:start].rstrip()
    word = before.rpartition(" ")[2].lower()
    if word in _BE.split():
        return ()  # "the dog is on the left" says nothing else
    return ((len(before), end, ""),)


def _thing(sentence: str, claim: Claim, true: Sequence[Claim]) -> _Edits:
    """A member of a list, with what is said of it and its comma or "and"."""
    start, end = claim.start, claim.end
    before = [match for match in _MEMBER.finditer(sentence, 0, start) if match.end() == start]
    behind = _MEMBER.match(sentence, end)
    if not behind and not _ends_here(sentence, end):  # "two umbrellas all over the picture": it goes with them
        if any(one.start >= end for one in true):
            return ()
        end = len(sentence) - 1
    if sentence[:start].lower().endswith(" with ") and not behind:
        return ((start - len(" with "), end, ""),)
    if before and behind:
        return ((start, behind.end(), "") if "and" in before[0][0] else (before[0].start(), end, ""),)
    if before:  # the last: "A, B and C" becomes "A and B"
        joined = sentence[: before[0].start()]
        comma = joined.rfind(", ")
        if comma >= 0 and "and" in before[0][0] and _in_list(joined[comma + 2 :]):
            return (comma, comma + 2, " and "), (before[0].start(), end, "")
        return ((before[0].start(), end, ""),)
    return ((start, behind.end(), ""),) if behind else ()


def _in_list(text: str) -> bool:
    return text.partition(" ")[0] in _DETERMINERS or len(text.split()) <= 2


def _ends_here(sentence: str, end: int) -> bool:
    return sentence[end : end + 1] in (".", ",", "") or sentence[end:].startswith((" is ", " are "))


def _quoted(sentence: str, claim: Claim, true: Sequence[Claim]) -> _Edits:
    return _thing(sentence, claim, true)


def _never(sentence: str, claim: Claim, true: Sequence[Claim]) -> _Edits:
    return ()


_EDITS: Final[dict[str, Callable[[str, Claim, Sequence[Claim]], _Edits]]] = {
    "thing": _thing,
    "attribute": _modifier,
    "number": _number,
    "place": _phrase,
    "relation": _phrase,
    "action": _never,
    "text": _quoted,
}


def _shortened(sentence: str, wrong: Sequence[Claim], true: Sequence[Claim]) -> str:
    """The sentence without the clauses that hold false claims; "" if no other clause can stand alone."""
    ends = [match.span() for match in _CLAUSE.finditer(sentence)]
    starts = [0, *(end for _, end in ends)]
    stops = [*(start for start, _ in ends), len(sentence)]
    kept = [
        sentence[start:stop]
        for start, stop in zip(starts, stops, strict=True)
        if not any(start <= claim.start < stop for claim in wrong)
    ]
    if not kept or len(kept) == len(starts) or not _whole(kept[0]):
        return ""
    return _tidy(" and ".join(part.rstrip(".") for part in kept if _whole(part)) + ".")


def _whole(clause: str) -> bool:
    """Whether a clause has a verb."""
    words = {word.lower() for word in _WORD.findall(clause)}
    return bool(words & {*_BE.split(), "shows", "has", "have", "stands", "sits", "lies"})


def _tidy(sentence: str) -> str:
    sentence = " ".join(sentence.split())
    for mark in (",", ".", ";"):
        sentence = sentence.replace(f" {mark}", mark)
    sentence = sentence.replace(",.", ".").replace(",,", ",")
    sentence = _ARTICLE.sub(lambda match: f"{match[1]}{with_article(match[2]).split()[0][1:]} {match[2]}", sentence)
    sentence = _THERE_ARE.sub(lambda match: _agreeing(sentence, match), sentence)
    sentence = _THERE_IS.sub(_plurals, sentence)
    sentence = _ONE_ARE.sub(lambda match: f"{match[1]}{'is' if match[2] == 'are' else 'was'}", sentence)
    return sentence[:1].upper() + sentence[1:]


def _agreeing(sentence: str, match: re.Match[str]) -> str:
    """ "There are a dog" is left over from a list: "There is a dog"."""
    several = _MEMBER.search(sentence, match.end()) is not None
    return match[0] if several else f"{match[1]} is {match[2]}"


def _plurals(match: re.Match[str]) -> str:
    said = match[2]
    noun = said.rpartition(" ")[2]
    return match[0] if said.startswith("some ") and not is_plural(noun) else f"{match[1]} are {said}"


def _sound(sentence: str) -> bool:
    """Whether a repaired sentence reads as one: it ends with its full stop behind a word that can end it."""
    words = [word.lower() for word in _WORD.findall(sentence)]
    if len(words) < 3 or sentence[-1:] not in ".!?" or words[-1] in _OPEN:
        return False
    pairs = set(zip(words, words[1:], strict=False))
    loose = any(one in _DETERMINERS - {"this", "that"} and other in _OPEN for one, other in pairs)
    return not loose and not re.search(r"(?:, \.|,,|\b(?:and|or|with) *[.,])", sentence)
