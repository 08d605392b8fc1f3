"""Find the claims of a caption: which things there are, how many, how they look, where they are, what they do.

    for claim in extract_claims("A man is riding a brown horse on the left."):
        claim.kind, claim.text, claim.value        # "action", "the man is riding a brown horse", "riding a brown horse"

By rules and for English. A clause is read once, from left to right; what is denied or uncertain claims nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from agents.claims import words
from agents.claims.clauses import clauses, is_open
from agents.claims.described import DescribedThings
from agents.claims.found import at_place, ing, joined_place, plain
from agents.claims.phrases import (
    Phrase,
    Token,
    is_alive,
    is_ing,
    is_noun,
    is_of_body,
    is_participle,
    is_usual_verb,
    noun_phrase,
    preposition,
    tokens,
    verb,
)
from core.records import Claim

LONGEST: Final = 10_000  # characters of a text that are read


@lru_cache(maxsize=1024)
def extract_claims(text: str) -> tuple[Claim, ...]:
    """The claims of `text` in their order; a claim's `parent` comes before it."""
    reader = _Reader(text[:LONGEST])
    for clause in clauses(tokens(text[:LONGEST])):
        reader.read(clause)
    return tuple(reader.claims)


@dataclass(slots=True)
class _Reader(DescribedThings):
    """The claims so far, and what the text was about last."""

    topic: int | None = None  # the subject of the last clause
    waiting: list[tuple[str, int, int]] = field(default_factory=list)  # places before their thing: value, span
    fronted: tuple[int, int, int | None] | None = None  # "on the table is ...": span, the thing it names
    doing: str = ""  # the verb that the next noun phrase is the object of
    doing_at: int = 0
    relation_host: int | None = None
    relation_name: str = ""
    relation: tuple[int, int] | None = None  # preposition of the last relation, for "with a sink and a mirror"

    # --- clauses -------------------------------------------------------------------------------------------

    def read(self, clause: list[Token]) -> None:
        """Read one clause."""
        if is_open(clause):
            return
        self.token = clause
        self.host, self.doing, self.copula, self.fronted, self.relation = None, "", False, None, None
        self.last = None
        self.waiting = []
        self.colours_of_picture = False
        at = 0
        while at < len(clause):
            at = max(self._step(at), at + 1)
        if self.host is not None:
            self.topic = self.host

    def _step(self, at: int) -> int:
        """Read what starts at token `at`; returns where to go on."""
        one = self.token[at]
        if one.kind == "quote":
            self.quote(one)
            return at + 1
        if one.text == "without":
            return len(self.token)
        if spot := self._spot(at):
            return spot
        if width := preposition(self.token, at):
            return self._preposition(at, width)
        if one.text in words.COPULAS:
            self.copula, self.doing = True, ""
            if self.fronted is None:
                self.relation = None
            return at + 1
        if one.text in words.WHERE and (self.copula or self.host is None):
            return self.where(one, at)
        if one.text in ("who", "which", "that") and self.last is not None and at:
            self.host, self.copula, self.doing = self.last, False, ""
            return at + 1
        of = [after.text for after in self.token[at + 1 : at + 2]] == ["of"]
        if one.text in ("he", "she", "they", "it", "one") and not of:
            return self._pronoun(at)
        if end := self._verb(at):
            return end
        listed = self.relation is not None and at > 0 and self.token[at - 1].text in ("and", ",")
        host = self.relation_host if listed and one.text in ("a", "some") else None
        if host is not None and (end := self.coloured(at - 1, host)):  # "with a black head and some yellow"
            return end
        phrase = noun_phrase(self.token, at)
        return self._phrase(phrase) if phrase else self.adjective(at)

    # --- noun phrases ---------------------------------------------------------------------------------------

    def _phrase(self, phrase: Phrase) -> int:
        """A noun phrase: the subject, an object, or what there is."""
        if not phrase.name:
            return phrase.last
        if phrase.about in ("colour", "color"):
            self.colours_of_picture = phrase.head.endswith("s") or self.host is None
            return phrase.last
        if phrase.about in words.PICTURE or phrase.about in ("background", "foreground"):
            if self.host is None and phrase.about in words.PICTURE and not self.doing:
                self._about_picture(phrase)
            return phrase.last
        for word, at in phrase.outer:
            self.add_of_picture(words.SAME_COLOUR.get(word, word), self.token[at].start, self.token[at].end)
        if self.doing:
            return self._object(phrase)
        if not phrase.thing:
            self.add_count_of_anything(phrase)
            if self.copula and self.host is not None:
                self.add_attributes(phrase, self.host)
            return phrase.last
        coordinated = self.token[phrase.first - 1].text in ("and", ",") if phrase.first else False
        if coordinated and self.relation and not self._is_subject(phrase) and not self._leads(phrase.last):
            return self._related(phrase, *self.relation)
        if self.copula and self.host is not None and not coordinated and self.fronted is None:
            return self._is_a(phrase)
        index = self.thing(phrase)
        self.host = self.last = index
        self.copula = False
        self._place_waiting(index)
        return phrase.last

    def _is_subject(self, phrase: Phrase) -> bool:
        """Whether a verb follows, so that the phrase begins another clause."""
        following = self.token[phrase.last].text if phrase.last < len(self.token) else ""
        if following in ("is", "was") and phrase.plural:
            return False  # "a man in a hat and sunglasses is ..."
        return following in words.COPULAS or (following.endswith("s") and bool(verb(following)))

    def _about_picture(self, phrase: Phrase) -> None:
        """ "a black and white photo": said of the picture."""
        for word, at in phrase.modifiers:
            if word not in words.EMPTY:
                one = self.token[at]
                self.add_of_picture(words.WHERE.get(word, words.SAME_COLOUR.get(word, word)), one.start, one.end)

    def _is_a(self, phrase: Phrase) -> int:
        """ "the animal is a dog", "it is a dog": the thing is there; "the floor is wood": an attribute."""
        host = self.host
        assert host is not None
        if phrase.about in words.MATERIALS and not phrase.determiner:
            one = self.token[phrase.last - 1]
            self.add_attributes(phrase, host)
            self.add_attribute(host, phrase.about, one.start, one.end)
            return phrase.last
        if phrase.about != self.claims[host].about:
            index = self.thing(phrase)
            self.last = index
        return phrase.last

    def _object(self, phrase: Phrase) -> int:
        """The object of a verb: "riding a horse"."""
        doing, self.doing = self.doing, ""
        end = phrase.last
        said = self.said(phrase.first, end)
        host = self.host
        if host is not None:
            start = self.doing_at
            first = verb(self.token[start].text) == verb(doing)
            span = self.span(start if first else phrase.first, end)
            self.add("action", f"{self.the(host)} {self.be(host)} {doing} {said}", self.claims[host].about,
                      f"{doing} {plain(said)}", span, host)  # fmt: skip
        if phrase.thing and ing(verb(doing)) not in ("looking", "watching"):
            index = self.thing(phrase)
            own = phrase.determiner in words.POSSESSIVES and is_of_body(phrase.about)
            self.last = host if own else index  # "brushing his teeth in front of a mirror"
        following = self.token[end].text if end < len(self.token) else ""
        if following in ("and", ","):
            inner = noun_phrase(self.token, end + 1)
            if inner and inner.thing and not self._is_subject(inner) and not self._acts(end + 1, host):
                self.doing, self.doing_at = doing, end
                return end + 1
        return end

    def _acts(self, at: int, host: int | None) -> bool:
        """Whether the word at `at` is a verb of a plural subject: "the women, wearing hats, hold umbrellas"."""
        return host is not None and self.plural(host) and is_usual_verb(self.token[at].text)

    # --- verbs ----------------------------------------------------------------------------------------------

    def _verb(self, at: int) -> int:
        """A verb at `at`: an action of the host, or one that only introduces what there is; 0 if there is none."""
        text = self.token[at].text
        base = verb(text)
        if not base or (text in words.NOUNS_IN_ING and not self.copula):
            return 0
        if text in words.AUXILIARIES and base not in words.HAS:
            return at + 1  # "trees can be seen"
        ing, participle = text.endswith("ing"), is_participle(text)
        following = self.token[at + 1].text if at + 1 < len(self.token) else ""
        before = self.token[at - 1].text if at else ""
        if text in words.WRITES and self.host is not None and any(one.kind == "quote" for one in self.token[at:]):
            return at + 1
        if self.host is None:
            if base in words.SHOWS and (text.endswith("s") or text in ("see", "showing", "shown", "have")):
                return at + 1
            if not (ing and self.copula and self.topic is not None):
                return 0
            self.host = self.topic
        listed = before in ("and", ",") and (following in ("", "and", ",") or preposition(self.token, at + 1) > 0)
        never = text in words.NEVER_VERBS and following not in words.DETERMINERS  # "flies a kite"
        acts = base != text and is_usual_verb(base) and self._is_one(self.last)  # "sits on a stool and watches"
        if ((listed and not acts) or never) and not ing and not participle and is_noun(text):
            return 0
        finite = not ing and (text.endswith("s") or text in ("has", "have", "had") or text != base) and not self.copula
        joined = before in ("and", ",") and not self._acts(at, self.host)
        plural = self.plural(self.host) and text == base and before not in words.DETERMINERS and not joined
        if not (ing or participle or finite or (plural and not self.copula)):
            return 0
        if participle and self.copula and following == "" and base not in words.LOCATED:
            return 0  # "the curtains are closed"
        if base in words.HAS:
            return self._has(at)
        if base == "dress" or (base == "paint" and participle):
            return self.dressed(at)
        behind = next((index for index in reversed(self.phrases) if self.phrases[index].head == before), self.host)
        host = self.host if self.copula else behind  # "a boy on a pier made of wood"
        if base in words.BUILT and participle and (end := self.made_of(at + 1, host)):
            return end
        width = preposition(self.token, at + 1)
        if participle and base in words.COVERED and width:
            inner = noun_phrase(self.token, at + 1 + width)
            return self._related(inner, at, 1 + width) if inner and inner.thing else at + 1
        if base in words.LOCATED and (participle or base in ("hang",)) or base in words.NO_ACTIONS:
            self.copula = False
            return at + 1
        close = participle or (is_alive(self._about(self.last)) and before == self._about(self.last, written=True))
        host = self.last if close and not self.copula and self.last is not None else self.host
        return self._act(at, host, base, finite or plural)

    def _is_one(self, index: int | None) -> bool:
        """Whether a thing has an article, and is one: no other noun can follow "a stool and"."""
        phrase = self.phrases.get(index) if index is not None else None
        return phrase is not None and phrase.determiner != "" and not phrase.plural

    def _about(self, index: int | None, *, written: bool = False) -> str:
        """What a claim is about; `written`: in the form of the text."""
        if index is None:
            return ""
        return self.phrases[index].head if written and index in self.phrases else self.claims[index].about

    def _act(self, at: int, host: int, base: str, finite: bool) -> int:
        one = self.token[at]
        self.copula, self.relation = False, None
        self.last = host
        passive = is_participle(one.text) and not is_alive(self.claims[host].about)  # "her hair tied back"
        doing = ing(base) if (finite and not passive) or is_ing(one.text) else one.text
        end = at + 1
        while end < len(self.token) and self.token[end].text in words.ADVERBS and not self._leads(end):
            end += 1
        if base in words.POSTURES and finite and not is_alive(self.claims[host].about):
            return end
        width = preposition(self.token, end)
        gazes = base in words.GAZES and not (base == "wait" and self.token[min(end, len(self.token) - 1)].text == "at")
        if gazes and width == 1 and self.token[end].text in words.GAZED:
            inner = noun_phrase(self.token, end + width)
            stop = inner.last if inner else end + width
            self._action(host, f"{doing} {self.said(end, stop)}", at, stop)
            return stop
        inner = noun_phrase(self.token, end) if not preposition(self.token, end) else None
        if inner and inner.name and not (self._spot(end, dry=True)):
            self.doing, self.doing_at, self.host = doing, at, host
            if finite:
                self.doing_at = at
            return self._object(inner)
        self._action(host, doing, at, at + 1)
        return end

    def _leads(self, at: int) -> bool:
        """Whether a preposition and its noun phrase start at `at`: "down the road"."""
        width = preposition(self.token, at)
        after = self.token[at + width].text if at + width < len(self.token) else ""
        return bool(width) and (
            after in ("it", "him", "her", "them") or noun_phrase(self.token, at + width) is not None
        )

    def _action(self, host: int, doing: str, first: int, last: int) -> None:
        text = f"{self.the(host)} {self.be(host)} {doing}"
        self.add("action", text, self.claims[host].about, plain(doing), self.span(first, last), host)

    def _has(self, at: int) -> int:
        """ "the dog has a red collar"."""
        inner = noun_phrase(self.token, at + 1)
        if inner is None or not inner.thing or self.host is None:
            return at + 1
        return self._related(inner, at, 1, value="with")

    def _pronoun(self, at: int) -> int:
        if self.token[at].text == "one" and self.host is None:
            self.host = self.topic
        elif self.token[at].text == "it" and any(one.text in words.WHERE for one in self.token[at : at + 4]):
            return at + 1
        elif self.token[at].text != "one":
            person = self.token[at].text in words.PERSONS
            self.host = self._person() if person else self.topic
            self.copula = False
        self.last = self.host
        self._place_waiting(self.host)
        return at + 1

    def _person(self) -> int | None:
        if self.topic is not None and is_alive(self.claims[self.topic].about):
            return self.topic
        return next((index for index in reversed(self.phrases) if is_alive(self.claims[index].about)), None)

    # --- places and relations ---------------------------------------------------------------------------------

    def _spot(self, at: int, *, dry: bool = False) -> int:
        """A place in the picture at `at`: "on the left side of the picture"; returns its end, 0 if there is none."""
        if self.token[at].text not in words.PLACE_PREPOSITIONS:
            return 0
        end, found = at + 1, []
        while end < len(self.token) and self.token[end].text in (words.PLACE_FILLERS | words.PLACE_WORDS.keys()):
            if place := words.PLACE_WORDS.get(self.token[end].text):
                found.append(place)
            elif self.token[end].text == "and" and not (
                end + 1 < len(self.token) and self.token[end + 1].text in words.PLACE_WORDS
            ):
                break
            end += 1
        if not found:
            return 0
        if end < len(self.token) and self.token[end].text == "of":
            inner = noun_phrase(self.token, end + 1)
            if inner is None or inner.about not in words.PICTURE:
                return 0
            end = inner.last
        if self.token[at].text == "from" or "and" in [one.text for one in self.token[at:end]]:
            while end < len(self.token) and self.token[end].text in ("to", "right", "left"):
                end += 1
            return end
        if dry:
            return end
        span = self.span(at, end)
        value = joined_place(found)
        if self.host is None:
            self.waiting.append((value, *span))
        else:
            self._place(self.host, value, *span)
        self.copula = False
        return end

    def _place_waiting(self, index: int | None) -> None:
        if index is None:
            return
        for value, start, end in self.waiting:
            self._place(index, value, start, end)
        self.waiting = []
        if self.fronted:
            start, end, named = self.fronted
            self.fronted = None
            if named is not None and named != index:
                value = self.text[start:end].lower()
                before, _, last = value.rpartition(" ")
                value = f"{before} {self.the(named)}" if last in words.PRONOUNS else value
                text = f"{self.the(index)} {self.be(index)} {value}"
                self.add("relation", text, self.claims[index].about, plain(value), (start, end), index)

    def _place(self, index: int, value: str, start: int, end: int) -> None:
        last = self.claims[-1]
        if last.kind == "place" and last.parent == index and set(value.split()).isdisjoint(last.value.split()):
            upright, sides = {"top", "bottom"}, {"left", "right", "middle"}
            both = {*value.split(), *last.value.split()}
            if both & upright and both & sides and self.text[last.end : start].strip() == "":
                self.claims.pop()
                value, start = joined_place([*last.value.split(), *value.split()]), last.start
        text = f"{self.the(index)} {self.be(index)} {at_place(value)}"
        self.add("place", text, self.claims[index].about, value, (start, end), index)

    def _preposition(self, at: int, width: int) -> int:
        """A preposition and what follows it: a relation of the thing named last."""
        first = self.token[at].text
        if first in ("with", "in") and self.last is not None and (end := self.coloured(at, self.last)):
            return end
        inner = noun_phrase(self.token, at + width)
        if width == 1 and first == "in" and inner and inner.about in words.PICTURE and not inner.modifiers:
            return inner.last
        pronoun = self.token[at + width].text if at + width < len(self.token) else ""
        if inner is None and pronoun in ("it", "him", "her", "them") and self.host is not None:
            other = self._person() if pronoun in ("him", "her") else self.topic
            if other is not None and other != self.host:
                value = f"{self.said(at, at + width)} {self.the(other)}"
                text = f"{self.the(self.host)} {self.be(self.host)} {value}"
                self.add("relation", text, self.claims[self.host].about, plain(value),
                          self.span(at, at + width + 1), self.host)  # fmt: skip
            return at + width + 1
        if inner is None and pronoun in ("it", "him", "her", "them") and self.topic is not None:
            self.fronted = (*self.span(at, at + width + 1), self.topic)
            return at + width + 1
        if inner is None or not inner.name:
            return at + width
        if not inner.thing:
            if first == "of" and inner.name and self.last is not None:
                return inner.last
            if inner.about in words.NO_THINGS and self.copula and inner.modifiers and self.host is not None:
                self.add_attributes(inner, self.host)
            return inner.last
        if width == 1 and first in words.NO_RELATION and not (first == "with" and self.last is not None):
            if first in ("of", "from", "into", "with", "out", "by"):
                index = self.thing(inner)
                self.last = index if self.last is None else self.last
            elif first in ("for", "as", "like", "to"):
                return inner.last
            return inner.last
        if self.last is None and self.host is None:
            self.last = self.thing(inner)
            self.fronted = (*self.span(at, inner.last), self.last)
            if width == 1 and (first == "with" or first in words.NO_RELATION):
                self.fronted = None
            return inner.last
        return self._related(inner, at, width)

    def _related(self, phrase: Phrase, at: int, width: int, value: str = "") -> int:
        """A relation between the thing named last and `phrase`; `at`, `width`: the preposition."""
        host = self.last if self.last is not None and not value else self.host
        coordinated = self.relation == (at, width) and self.relation_host is not None
        if coordinated:
            host = self.relation_host
        seated = self.token[at].text == "at" and is_alive(self._about(self.host)) and not is_alive(self._about(host))
        if host is None or (seated and not coordinated):  # "a man drinking coffee at a table"
            host = self.host
        said = self.said(phrase.first, phrase.last)
        name = value or (self.relation_name if coordinated else "") or self.said(at, at + width)
        if host is not None:
            if name == "with":
                text = f"{self.the(host)} {'have' if self.plural(host) else 'has'} {said}"
            else:
                text = f"{self.the(host)} {self.be(host)} {name} {said}"
            first = phrase.first if coordinated else at
            span = self.span(first, phrase.last)
            self.add("relation", text, self.claims[host].about, f"{name} {plain(said)}", span, host)
        self.last = self.thing(phrase)
        self.relation, self.relation_host, self.relation_name = (at, width), host, value
        self.copula = False
        return phrase.last
