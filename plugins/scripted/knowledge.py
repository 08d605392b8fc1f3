"""The facts of an interview so far: things, their attributes, and the scene."""

from __future__ import annotations

from dataclasses import dataclass, field

from core import nouns
from plugins.scripted import lexicon


@dataclass(slots=True)
class Phrase:
    """A noun phrase of an answer: "two small yellow ducks"."""

    name: str = ""  # "egyptian cat", "cup of coffee"; "" without a noun ("black and white")
    head: str = ""  # the noun that carries number and kind: "cat", "cup"
    number: str = ""
    colours: list[str] = field(default_factory=list)
    adjectives: list[str] = field(default_factory=list)
    definite: bool = False  # "the duck": already mentioned
    bare: bool = True  # no determiner and no number
    article: str = ""  # "a" or "some", if the answer used one


@dataclass(slots=True)
class NamedThing:
    """A named thing with its attributes."""

    name: str
    head: str
    turn: int  # of its first mention
    number: str = ""
    article: str = ""
    colours: list[str] = field(default_factory=list)
    other_colours: list[str] = field(default_factory=list)  # contradicts the first
    adjectives: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)  # "on the left", "on a table"
    actions: list[str] = field(default_factory=list)  # "riding a horse"
    parts: list[str] = field(default_factory=list)  # "with a red hat"
    material: str = ""
    within: NamedThing | None = None  # named only inside another thing's place or action
    stated: set[str] = field(default_factory=set)  # facts that the surrounding phrase already states
    doubtful: bool = False  # "it might be a dog"
    denied: bool = False  # named once and denied once
    lost: bool = False  # its places contradict each other
    other_name: str = ""  # "perhaps an envelope", with its article
    seen: bool = False  # witnesses found it
    spread: list[tuple[str, str]] = field(
        default_factory=list
    )  # where witnesses found how many: ("one", "on the left")

    def count(self, number: str) -> None:
        """Set the number, if it is not known yet; "one" contradicts a name in the plural, and is not used."""
        if number and not self.number and not (number == "one" and nouns.is_plural(self.head)):
            self.number = number

    @property
    def plural(self) -> bool:
        """Whether verbs that go with it are plural."""
        if self.number:
            return self.number != "one"
        return nouns.is_plural(self.head)

    @property
    def human(self) -> bool:
        return nouns.singular(self.head) in lexicon.HUMANS

    @property
    def living(self) -> bool:
        head = nouns.singular(self.head)
        return self.human or (head in lexicon.ANIMALS and not (self.seen and head == "mouse"))  # a computer's


@dataclass(slots=True)
class Knowledge:
    """All facts of the certain answers."""

    things: list[NamedThing] = field(default_factory=list)
    total: str = ""  # how many things there are
    other_total: str = ""
    background_colours: list[str] = field(default_factory=list)
    background: list[str] = field(default_factory=list)  # "trees", "a blurry street"
    main_colours: list[str] = field(default_factory=list)
    setting: str = ""  # "outdoors" or "indoors"
    setting_is_a_guess: bool = False
    weather: str = ""
    lines: list[str] = field(default_factory=list)  # that a witness has read
    more_lines: int = 0
    in_all: list[str] = field(default_factory=list)  # "three person": more than the answers name
    writing: str = ""  # the text in the picture; "yes" if unknown
    unnamed: bool = False  # the answerer could not name anything
    absent: set[str] = field(default_factory=set)  # singular heads

    def find(self, phrase: Phrase, turn: int) -> NamedThing | None:
        """The known thing that `phrase` refers to, if any."""
        fits = [thing for thing in self.things if same_name(thing, phrase)]
        fits = fits or [
            thing
            for thing in self.things
            if thing.seen and same_kind(thing.head, phrase.head) and thing.plural == _plural(phrase)
        ]
        if not fits and phrase.definite:
            kinds = lexicon.GENERIC.get(nouns.singular(phrase.head), frozenset())
            fits = [thing for thing in self.things if nouns.singular(thing.head) in kinds]
            if len(fits) != 1:
                return None
        if not phrase.definite:
            # "a red apple and a green apple": two of them, if one answer names both
            fits = [thing for thing in fits if thing.turn != turn or not _differ(thing.colours, phrase.colours)]
            if any(thing.turn == turn and not phrase.bare and not thing.within for thing in fits):
                fits = [thing for thing in fits if thing.turn != turn or not thing.places]
        closest = [thing for thing in fits if phrase.colours and set(phrase.colours) & set(thing.colours)]
        return next(iter(closest or fits), None)

    def add(self, phrase: Phrase, turn: int, *, doubtful: bool = False, within: NamedThing | None = None) -> NamedThing:
        """Add the thing of `phrase`, or its facts to the known thing; returns it."""
        thing = self.find(phrase, turn)
        if thing is None:
            among = (one for one in self.things if one.seen and one.plural and same_kind(one.head, phrase.head))
            within = within or next(among, None)  # one of the three people that witnesses found
            thing = NamedThing(phrase.name, phrase.head, turn, doubtful=doubtful, within=within)
            self.things.append(thing)
        else:
            if thing.within is not None and within is None:
                thing.within = None
            if thing.doubtful and not doubtful and thing.turn != turn:
                thing.doubtful = False
            generic = nouns.singular(thing.head) in lexicon.GENERIC and not phrase.definite
            generic |= thing.seen and nouns.singular(phrase.head) in lexicon.KINDS.get(nouns.singular(thing.head), ())
            if generic or len(phrase.name.split()) > len(thing.name.split()):
                thing.name, thing.head = phrase.name, phrase.head
        thing.count(phrase.number)
        thing.article = thing.article or phrase.article
        self.colour(thing, phrase.colours)
        thing.adjectives += [word for word in phrase.adjectives if word not in thing.adjectives]
        if within is not None:
            thing.stated |= {*phrase.colours, *phrase.adjectives, phrase.number}
        return thing

    def rename(self, thing: NamedThing, phrase: Phrase) -> None:
        """Give `thing` the more specific name of `phrase`."""
        thing.name, thing.head = phrase.name, phrase.head
        thing.article = phrase.article
        self.colour(thing, phrase.colours)
        thing.adjectives += [word for word in phrase.adjectives if word not in thing.adjectives]

    @staticmethod
    def colour(thing: NamedThing, colours: list[str]) -> None:
        """Add colours. Overlapping statements are merged; a disjoint one is kept as a contradiction.

        People have none: a colour that is said of them is that of their clothes, or should not be repeated.
        """
        if thing.human:
            return
        new = [colour for colour in colours if colour not in thing.colours]
        if not new:
            return
        if not thing.colours or set(colours) & set(thing.colours):
            thing.colours += new
        elif not thing.other_colours:
            thing.other_colours = list(colours)

    @staticmethod
    def action(thing: NamedThing, action: str) -> None:
        """Add an action, or replace a shorter version of it."""
        for index, known in enumerate(thing.actions):
            ends = [(text.split()[0], nouns.singular(text.split()[-1])) for text in (known, action)]
            if ends[0] == ends[1] or action in known or known in action:
                thing.actions[index] = max(known, action, key=len)
                return
        thing.actions.append(action)

    @staticmethod
    def place(thing: NamedThing, place: str) -> None:
        """Add a place; two different places within the frame cancel each other."""
        if place in thing.places or thing.lost and _in_frame(place):
            return
        for known in list(thing.places):
            if _in_frame(known) and _in_frame(place):
                finer = set(_spots(place)) > set(_spots(known))
                if finer or set(_spots(place)) < set(_spots(known)):
                    thing.places[thing.places.index(known)] = place if finer else known
                else:
                    thing.places.remove(known)
                    thing.lost = True
                return
            if place in known or known in place:
                thing.places[thing.places.index(known)] = max(place, known, key=len)
                return
        thing.places.append(place)

    def namesakes(self, thing: NamedThing) -> list[NamedThing]:
        """Other things of the same name."""
        return [other for other in self.things if other is not thing and other.name == thing.name]

    @property
    def shown(self) -> list[NamedThing]:
        """Things to mention: named, not denied, and not part of another thing's phrase."""
        return [thing for thing in self.things if thing.within is None and not thing.denied]


def same_name(thing: NamedThing, phrase: Phrase) -> bool:
    mine = {nouns.singular(word) for word in thing.name.split()}
    theirs = {nouns.singular(word) for word in phrase.name.split()}
    if mine == theirs:
        return True
    if nouns.singular(thing.head) == nouns.singular(phrase.head):
        return mine <= theirs or theirs <= mine
    # "coffee" and "cup of coffee"
    longer, shorter = (thing.name, phrase.name) if len(mine) > len(theirs) else (phrase.name, thing.name)
    return f" of {shorter}" in f" {longer}" and longer.endswith(shorter)


def same_kind(one: str, other: str) -> bool:
    """Whether one noun is a more exact name for the other: retriever and dog."""
    one, other = nouns.singular(one), nouns.singular(other)
    return one == other or one in lexicon.KINDS.get(other, ()) or other in lexicon.KINDS.get(one, ())


def _plural(phrase: Phrase) -> bool:
    return phrase.number not in ("", "one") or (not phrase.number and nouns.is_plural(phrase.head))


def _differ(one: list[str], other: list[str]) -> bool:
    return bool(one) and bool(other) and not set(one) & set(other)


_FRAME = ("left", "right", "middle", "top", "bottom", "foreground", "background", "corner")


def _in_frame(place: str) -> bool:
    return place.startswith(("on the ", "in the ", "at the ")) and bool(_spots(place)) and len(place.split()) <= 5


def _spots(place: str) -> list[str]:
    return [word for word in place.split() if word in _FRAME]
