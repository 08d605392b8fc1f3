"""What the owner of a picture knows and tells: who it shows, where it was taken.

It becomes a turn of the dialogue, answered by "owner", before all others. Questions and the description use it like any
certain answer; nobody tells it to the vision model, so its answers stay independent. Where they contradict the owner,
the contradiction is recorded, and the description follows the owner.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import Final

from agents.audit.rewrite import without
from agents.claims import words
from agents.claims.extract import extract_claims
from agents.claims.known import base_forms, said_in
from agents.claims.phrases import tokens
from agents.text.attribution import added_by_turns
from agents.text.cleaning import clean_quoted
from core import nouns
from core.english import wordnet
from core.errors import ImageError, InquisightError, printable, why
from core.records import Caption, Claim, Conflict, Turn
from core.tasks import KEYWORDS, OWNER
from core.text import sentences, shortened

CONTEXT_CHARS: Final = 1000  # that are used
QUESTION: Final = "What does the owner of the {kind} say about it?"
_BYTES: Final = 100_000  # of a file that are read
_HEAD: Final = 2_000_000  # of a picture in which its XMP is looked for
_XMP_END: Final = b"</x:xmpmeta>"
_SEEN: Final = ("animal", "artifact", "plant")
_NEXT: Final = re.compile(r" (?!and |or )([a-z]+)")
_ARTICLE: Final = re.compile(r"\b[Aa]n? \Z")
_AFTER: Final = re.compile(r"(?<=\w) (?=(?:in|out)(?:doors|side)\b(?! (?:of|the|a)\b))")
_OPPOSED: Final = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
_SMALL: Final = words.DETERMINERS | words.COPULAS | words.AUXILIARIES | words.PRONOUNS | frozenset({"and", "or"})


def joined_context(texts: Iterable[str]) -> str:
    """What was told in several places as one text: whole sentences, without control characters and role marks."""
    told = dict.fromkeys(clean for text in texts if (clean := clean_quoted(text)))
    return shortened(" ".join(_ended(text) for text in told), CONTEXT_CHARS)


def _ended(text: str) -> str:
    return text if text[-1:] in ".!?。！？…" else f"{text}."


def context_path(picture: str) -> Path:
    """The file beside a picture in which its owner tells of it: `photo.jpg` -> `photo.context.txt`."""
    return Path(picture).with_suffix(".context.txt")


def context_beside(picture: str) -> str:
    """What that file says; "" without one. Raises ImageError."""
    path = context_path(picture)
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return ""
    except OSError as error:
        raise ImageError(f"'{printable(path)}' cannot be read: {why(error)}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ImageError(f"'{printable(path)}' is not UTF-8 text; save it as such, or remove it.") from None


def keywords_beside(picture: str) -> str:
    """The keywords that other programs gave a file, as a sentence: of its XMP sidecar and of XMP in the file.

    Where neither has any, those of IPTC in the file. "" without any. Raises ImageError for a damaged sidecar.
    """
    from core.captions.forms import existing_xmp
    from core.captions.xmp.document import Xmp
    from core.captions.xmp.sidecars import KEYWORDS as PROPERTY
    from core.captions.xmp.sidecars import read_xmp

    found: list[str] = []
    try:
        if (sidecar := read_xmp(existing_xmp(picture))) is not None:
            found += sidecar.items(PROPERTY)
    except InquisightError as error:
        raise ImageError(str(error)) from None
    with suppress(OSError, ValueError, InquisightError), open(picture, "rb") as file:
        head = file.read(_HEAD)
        begin, end = head.find(b"<x:xmpmeta"), head.find(_XMP_END)
        if 0 <= begin < end:
            found += Xmp.parse(head[begin : end + len(_XMP_END)], picture).items(PROPERTY)
    if not found:
        from core.images.iptc import iptc_keywords

        found = iptc_keywords(picture)
    words = dict.fromkeys(clean for one in found if (clean := clean_quoted(one).replace(",", " ").strip(" .")))
    return f"{KEYWORDS}{', '.join(words)}." if words else ""


def context_of(path: str, told: str = "", *, keywords: bool = False) -> str:
    """What the owner tells of the file `path`: `told` of all files, its .context.txt and, if wanted, its keywords.

    Raises ImageError.
    """
    return joined_context([told, context_beside(path), keywords_beside(path) if keywords else ""])


def owner_turn(context: str, kind: str = "picture") -> Turn:
    """What was told as the first turn of a dialogue about a picture or a video."""
    return Turn(question=QUESTION.format(kind=kind), answer=context, asked_by=OWNER, answered_by=OWNER)


def told_in(turns: Sequence[Turn]) -> str:
    """What the owner told, or ""."""
    return next((turn.answer for turn in turns if turn.asked_by == OWNER), "")


# --- contradictions ---------------------------------------------------------------------------------------------------


def find_conflicts(turns: Sequence[Turn], *, moments: bool = False) -> tuple[Conflict, ...]:
    """Where certain answers contradict what the owner told: another colour, number, place or animal, or a denial.

    `moments`: answers are about different moments, so a thing that one denies and another names is no contradiction.
    """
    told = told_in(turns)
    if not told:
        return ()
    known = _Told(told)
    seen = said_in([turn for turn in turns if moments and turn.asked_by != OWNER and turn.certainty == "sure"]).said
    found: list[Conflict] = []
    for number, turn in enumerate(turns, start=1):
        if turn.asked_by == OWNER or turn.certainty != "sure":
            continue
        for sentence in sentences(turn.answer):
            reason = next(known.against(turn.model_copy(update={"answer": sentence}), seen), "")
            if reason:
                found.append(Conflict(told=told, answer=sentence, turn=number, reason=reason))
    return tuple(found)


def without_conflicts(text: str, told: str) -> str:
    """A description without what contradicts the owner."""
    known = _Told(told)
    kept: list[str] = []
    for sentence in sentences(text):
        sentence = _without_colours(sentence, known)
        claims = extract_claims(sentence)
        judged = [
            claim.model_copy(update={"verdict": "contradicted"}) if known.denies(claim) else claim for claim in claims
        ]
        rest = without(sentence, judged)
        kept += [rest] if rest else []
    return " ".join(kept)


def _without_colours(sentence: str, known: _Told) -> str:
    """A sentence without single colours that contradict the owner: "a blue couch" becomes "a couch"."""
    for claim in sorted(extract_claims(sentence), key=lambda claim: -claim.start):
        behind = _NEXT.match(sentence, claim.end)
        if claim.kind == "attribute" and claim.value in words.COLOURS and behind and known.denies(claim):
            head, rest = sentence[: claim.start], sentence[claim.end + 1 :]
            if article := _ARTICLE.search(head):
                one = nouns.with_article(behind[1]).partition(" ")[0]
                head = head[: article.start()] + (one.capitalize() if article[0][0].isupper() else one) + " "
            sentence = head + rest
    return sentence


def with_told(text: str, told: str) -> str:
    """A description that says what was told: as its beginning, where it leaves most of it out."""
    told = " ".join(one for one in sentences(told) if not one.startswith(KEYWORDS))
    wanted = {one.text for one in tokens(told) if one.kind != "sign" and one.text not in _SMALL}
    said = {form for one in tokens(text) for form in base_forms(one.text)}
    present = sum(bool(base_forms(word) & said) for word in wanted)
    return text if 2 * present >= len(wanted) + 1 else f"{told} {text}".strip()


def without_told(text: str, told: str) -> str:
    """A text without the sentences that the owner told."""
    known = {one.casefold() for one in sentences(told)}
    return " ".join(one for one in sentences(text) if one.casefold() not in known)


def told_sentences(caption: Caption) -> tuple[str, ...]:
    """The sentences of a description that only the owner said, or of which only the owner said a part."""
    turns = sorted(caption.dialogue.turns, key=lambda turn: turn.asked_by == OWNER)  # the last source of a word
    if not turns or turns[-1].asked_by != OWNER:
        return ()
    found = []
    for sentence in sentences(caption.text):
        pieces = added_by_turns(sentence, turns)
        if not without_told(sentence, caption.told) or any(piece.turn == len(turns) for piece in pieces):
            found.append(sentence)
    return tuple(found)


class _Told:
    """What the owner told, to compare with."""

    def __init__(self, told: str) -> None:
        self.known = said_in([Turn(question="", answer=_AFTER.sub(", ", told))])
        self.claims = extract_claims(_AFTER.sub(", ", told))  # "the couch indoors" is no kind of "indoors"
        named = {claim.about for claim in self.claims if claim.kind == "thing"}
        # Names of animals and people ("our cat Luna") hide the noun from the claims.
        self.things = named | {form for form in self.known.said if any(wordnet.is_mainly(form, one) for one in _SEEN)}
        self.numbers = {claim.about: claim.value for claim in self.claims if claim.kind == "number"}
        self.where = {words.WHERE[form] for form in self.known.said & words.WHERE.keys()}
        self.animals = {about for about in self.things if _is_animal(about)}

    def against(self, turn: Turn, seen: AbstractSet[str] = frozenset()) -> Iterator[str]:
        """Why a sentence of an answer contradicts it; things that were `seen` elsewhere may be missing here."""
        said = said_in([turn])
        for about in sorted(said.colours):
            yield from self._colour(about, said.colours[about])
        for about in sorted(said.counts):
            yield from self._number(about, said.counts[about])
        for about in sorted(said.places):
            yield from self._place(about, said.places[about])
        yield from self._setting({words.WHERE[form] for form in self._answered(turn) & words.WHERE.keys()})
        for about in sorted(self.things & (said.denied - said.said - seen)):
            yield f"no {about}, told: {about}"
        for claim in extract_claims(turn.answer):
            if claim.kind == "thing" and (reason := self._animal(claim.about)):
                yield reason

    @staticmethod
    def _answered(turn: Turn) -> set[str]:
        """Words of the answer alone: the question names both "indoors" and "outdoors"."""
        return said_in([Turn(question="", answer=turn.answer)]).said

    def denies(self, claim: Claim) -> str:
        """Why a claim contradicts it; "" if it does not."""
        found: Iterator[str] = iter(())
        if claim.kind == "attribute" and claim.value in words.COLOURS:
            found = self._colour(claim.about, {words.SAME_COLOUR.get(claim.value, claim.value)})
        elif claim.kind == "attribute" and claim.value in words.WHERE.values():
            found = self._setting({claim.value})
        elif claim.kind == "number" and claim.value.isdigit():
            found = self._number(claim.about, {int(claim.value)})
        elif claim.kind == "place":
            found = self._place(claim.about, set(claim.value.split()))
        elif claim.kind == "thing":
            return self._animal(claim.about)
        return next(found, "")

    def _colour(self, about: str, colours: set[str]) -> Iterator[str]:
        own = {str(one) for one in self.known.of(self.known.colours, about)}
        if own and colours and not own & colours:
            yield f"{' and '.join(sorted(colours))} {about}, told: {' and '.join(sorted(own))}"

    def _number(self, about: str, numbers: set[int]) -> Iterator[str]:
        own = {value for one, value in self.numbers.items() if _same(one, about)}
        others = {str(number) for number in numbers if number > 1}
        if own and others and not own & others:
            yield f"{min(others)} of {about}, told: {min(own)}"

    def _place(self, about: str, places: set[str]) -> Iterator[str]:
        own = {str(one) for one in self.known.of(self.known.places, about)}
        for place in sorted(places):
            if _OPPOSED.get(place) in own and place not in own:
                yield f"{about} {place}, told: {_OPPOSED[place]}"

    def _setting(self, where: set[str]) -> Iterator[str]:
        if self.where and where and not self.where & where:
            yield f"{min(where)}, told: {min(self.where)}"

    def _animal(self, about: str) -> str:
        """Another animal than the one that was told of."""
        if len(self.animals) != 1 or not _is_animal(about):
            return ""
        [own] = self.animals
        return "" if _same(own, about) else f"{about}, told: {own}"


def _is_animal(noun: str) -> bool:
    return noun != "animal" and wordnet.is_mainly(noun, "animal") and not wordnet.is_mainly(noun, "person")


def _same(one: str, other: str) -> bool:
    return one == other or wordnet.is_kind_of(one, other) or wordnet.is_kind_of(other, one)


def is_told(claim: Claim, turns: Sequence[Turn]) -> bool:
    """Whether the owner says a claim, by the numbers of its turns."""
    return any(turns[number - 1].asked_by == OWNER for number in claim.turns if number <= len(turns))
