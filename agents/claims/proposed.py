"""Check claims that a language model proposes: what they say must stand in the caption.

    read = check_proposed(caption, [{"id": 1, "kind": "thing", "words": "a red car"}, ...])
    read.claims, read.dropped         # the claims that passed; words and reason of each of the others

A proposal has a kind, the words of the caption that say it, and under "of" the id of the thing that it is said of. The
claim is made from the caption's words, in the form of `agents.claims.extract`; other words of the model are never used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agents.claims import words
from agents.claims.clauses import clauses, is_open
from agents.claims.found import FoundClaims, at_place, ing, joined_place, plain
from agents.claims.known import as_number, base_forms, letters
from agents.claims.phrases import (
    Phrase,
    is_adjective,
    is_noun_only,
    is_participle,
    noun_phrase,
    preposition,
    tokens,
    verb,
)
from core.records import Claim

MOST: Final = 200  # proposals of a caption that are read
LONGEST: Final = 300  # characters of a proposal's words
_BEFORE: Final = 8  # tokens before the words of a thing where its noun phrase may begin
_PICTURE: Final = frozenset({"", "none", "null", "picture", "image", "photo"})  # "of": not of a thing
_FILLERS: Final = frozenset("and , a an the with in of some very made built painted dressed from".split())


@dataclass(frozen=True, slots=True)
class CheckedClaims:
    """The claims that passed; (words, reason) of the proposals that did not."""

    claims: tuple[Claim, ...]
    dropped: tuple[tuple[str, str], ...] = ()


def check_proposed(text: str, proposed: Sequence[Mapping[str, Any]]) -> CheckedClaims:
    """The claims among `proposed` that `text` makes, things first.

    Dropped: unknown kinds; words that are not in the text, or are denied or uncertain there; words that do not say what
    the kind needs; what is said of a thing that was not found, or of itself; repetitions; all after the first `MOST`.
    """
    found = _Proposals(text, proposed=proposed[:MOST])
    found.read()
    more = [(_words(one), "too many") for one in proposed[MOST:]]
    return CheckedClaims(tuple(found.claims), (*found.dropped, *more))


def _words(proposal: Mapping[str, Any]) -> str:
    return str(proposal.get("words", ""))[:LONGEST]


def _kind(proposal: Mapping[str, Any]) -> str:
    return str(proposal.get("kind", "")).strip().lower()


@dataclass(slots=True)
class _Proposals(FoundClaims):
    """The claims that passed so far. A span is two numbers of tokens here: the first, and the one behind the last."""

    proposed: Sequence[Mapping[str, Any]] = ()
    dropped: list[tuple[str, str]] = field(default_factory=list)
    forms: list[set[str]] = field(default_factory=list)  # of each token
    open: set[int] = field(default_factory=set)  # characters where denied and uncertain tokens begin
    index: dict[str, int] = field(default_factory=dict)  # id of a proposed thing -> its claim

    def __post_init__(self) -> None:
        self.token = tokens(self.text)
        self.forms = [base_forms(one.text) for one in self.token]
        self.open = {one.start for clause in clauses(self.token) if is_open(clause) for one in clause}

    def read(self) -> None:
        for one in sorted(self.proposed, key=lambda one: _kind(one) != "thing"):
            if reason := self._reason(one):
                self.dropped.append((_words(one), reason))

    def _reason(self, one: Mapping[str, Any]) -> str:
        """Add one claim; why it is dropped, or ""."""
        kind = _kind(one)
        if kind != "thing" and kind not in _SAYS:
            return "unknown kind"
        spans = list(self._quotations(_words(one))) if kind == "text" else []
        if not (spans := spans or list(self._places(_words(one)))):
            return "not in the caption"
        if not (spans := [span for span in spans if self.token[span[0]].start not in self.open]):
            return "denied or uncertain"
        if kind == "thing":
            return self._thing(spans, str(one.get("id")))
        host = self._host(one)
        if isinstance(host, str):
            return host
        if host is not None:  # said next to its thing, where the words stand more than once
            start = self.claims[host].start
            spans.sort(key=lambda span: abs(self.token[span[0]].start - start))
        before = len(self.claims)
        if not _SAYS[kind](self, *self._bare(*spans[0], host), host):
            return f"no {kind}"
        return "" if len(self.claims) > before else "repeated"

    # --- where the words stand ----------------------------------------------------------------------------------

    def _places(self, said: str) -> Iterator[tuple[int, int]]:
        """Where these words stand, without determiners before them; in other forms ("ride") if not as they are."""
        wanted = [one.text for one in tokens(said) if one.kind != "sign"]
        while wanted and wanted[0] in words.DETERMINERS:
            wanted.pop(0)
        if not wanted:
            return
        starts = range(len(self.token) - len(wanted) + 1)
        exact = [at for at in starts if all(self.token[at + n].text == one for n, one in enumerate(wanted))]
        forms = [base_forms(one) for one in wanted]
        for at in exact or [at for at in starts if all(self.forms[at + n] & one for n, one in enumerate(forms))]:
            yield at, at + len(wanted)

    def _quotations(self, said: str) -> Iterator[tuple[int, int]]:
        for at, one in enumerate(self.token):
            if one.kind == "quote" and letters(one.text) == letters(said):
                yield at, at + 1

    def _bare(self, first: int, last: int, host: int | None) -> tuple[int, int]:
        """A span without its subject: "the dog is brown" -> "brown"."""
        own = {form for part in self._name(host) for form in base_forms(part)}
        while first < last and (self.forms[first] & own or self.token[first].text in words.DETERMINERS | words.COPULAS):
            first += 1
        while first < last and (self.forms[last - 1] & own or self.token[last - 1].text in words.DETERMINERS):
            last -= 1
        return first, last

    def _name(self, host: int | None) -> list[str]:
        return [] if host is None else self.phrases[host].name

    # --- what it is said of -------------------------------------------------------------------------------------

    def _host(self, one: Mapping[str, Any]) -> int | str | None:
        """The thing that a proposal is said of, None for the picture; or why there is none."""
        ids = {str(other.get("id")): other for other in self.proposed}
        passed: set[str] = set()
        while (name := str(one.get("of")).strip()).lower() not in _PICTURE:
            if name in self.index:
                return self.index[name]
            if name in passed:
                return "said of itself"
            passed.add(name)
            if name not in ids:  # "of": "the car"
                about = base_forms(name.split()[-1])
                return next((at for at in self.phrases if self.claims[at].about in about), "said of nothing")
            one = ids[name]
            if _kind(one) == "thing":
                return "said of nothing"  # of a thing that was dropped
        return None

    # --- kinds --------------------------------------------------------------------------------------------------

    def _thing(self, spans: Sequence[tuple[int, int]], name: str) -> str:
        earlier: int | None = None
        for first, last in spans:
            phrase = self._phrase_at(first, last)
            if phrase is None:
                continue
            start, end = self.span(phrase.first, phrase.last)
            same = (at for at in self.phrases if self.claims[at].start < end and start < self.claims[at].end)
            known = next(same, self.known(phrase))
            if known is None:
                self.index[name] = self.add_thing(phrase)
                return ""
            earlier = known if earlier is None else earlier
        if earlier is None:
            return "no thing"
        self.index.setdefault(name, earlier)
        return "repeated"

    def _phrase_at(self, first: int, last: int) -> Phrase | None:
        """The noun phrase of a thing whose name is within these tokens, from its determiner on."""
        said = set().union(*self.forms[first:last])
        for at in range(max(0, first - _BEFORE), last):
            phrase = noun_phrase(self.token, at)
            if phrase and phrase.first <= first and last <= phrase.last and phrase.thing and phrase.about in said:
                return phrase
        return None

    def _attribute(self, first: int, last: int, host: int | None) -> bool:
        found = [at for at in range(first, last) if self._describes(at, host)]
        others = {self.token[at].text for at in range(first, last) if at not in found}
        if not found or others - _FILLERS - words.SHADES - words.TOUCHES:
            return False
        for at in found:
            one = self.token[at]
            value = words.WHERE.get(one.text, words.SAME_COLOUR.get(one.text, one.text))
            if host is None:
                self.add_of_picture(value, one.start, one.end)
            else:
                self.add_attribute(host, value, one.start, one.end)
        return True

    def _describes(self, at: int, host: int | None) -> bool:
        """Whether a word says how something is; a noun does it before its thing: "a cement truck"."""
        word = self.token[at].text
        if word in _FILLERS | words.EMPTY:
            return False
        if word in words.COLOURS | words.MATERIALS | words.WHERE.keys() or is_adjective(word) or is_participle(word):
            return True
        before = [one.text for one in self.token[at + 1 : at + 2]] == self._name(host)[:1]
        return before and (is_noun_only(word) or word.endswith("ing"))

    def _number(self, first: int, last: int, host: int | None) -> bool:
        for one in self.token[first:last]:
            value = "2" if one.text in words.PAIRS else as_number(one.text)
            if host is not None and (value or one.text in words.VAGUE_COUNTS):
                self.add_number(host, value or one.text, one)
                return True
        return False

    def _place(self, first: int, last: int, host: int | None) -> bool:
        found = [words.PLACE_WORDS[one.text] for one in self.token[first:last] if one.text in words.PLACE_WORDS]
        if host is None or not found:
            return self._relation(first, last, host)  # "in a field"
        value = joined_place(found)
        text = f"{self.the(host)} {self.be(host)} {at_place(value)}"
        self.add("place", text, self.claims[host].about, value, self.span(first, last), host)
        return True

    def _relation(self, first: int, last: int, host: int | None) -> bool:
        if host is None or first == last:
            return False
        has = verb(self.token[first].text) in words.HAS
        width = 1 if has or is_participle(self.token[first].text) else preposition(self.token, first)
        if not width or first + width >= last:
            return False
        if has or (width == 1 and self.token[first].text == "with"):
            said, name = self.said(first + 1, last), "with"
            text = f"{self.the(host)} {'have' if self.plural(host) else 'has'} {said}"
            said = f"{name} {plain(said)}"
        else:
            said = self.said(first, last)
            text = f"{self.the(host)} {self.be(host)} {said}"
        self.add("relation", text, self.claims[host].about, plain(said), self.span(first, last), host)
        return True

    def _action(self, first: int, last: int, host: int | None) -> bool:
        word = self.token[first].text if first < last else ""
        base = verb(word)
        named = first > 0 and self.token[first - 1].text in words.DETERMINERS  # "a cement truck"
        if host is None or not base or base in words.NO_ACTIONS or (named and word == base):
            return False
        doing = word if word.endswith("ing") or is_participle(word) else ing(base)
        said = " ".join(filter(None, (doing, self.said(first + 1, last) if first + 1 < last else "")))
        text = f"{self.the(host)} {self.be(host)} {said}"
        self.add("action", text, self.claims[host].about, plain(said), self.span(first, last), host)
        return True

    def _text(self, first: int, last: int, host: int | None) -> bool:
        if first == last:
            return False
        start, end = self.span(first, last)
        said = self.text[start:end].strip('"“”«» ')
        about = "writing" if host is None else self.claims[host].about
        self.add("text", f'the {about} says "{said}"', about, said, (start, end), host)
        return True


_SAYS: Final = {
    "attribute": _Proposals._attribute, "number": _Proposals._number, "place": _Proposals._place,
    "relation": _Proposals._relation, "action": _Proposals._action, "text": _Proposals._text,
}  # fmt: skip
