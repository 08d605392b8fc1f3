"""What can be asked about a picture and what is true to answer: the text that pocket learns from.

Every answer follows from the truth of a composed scene, or, for a photograph, from the hints that the eye itself gives
(`Hints`: the classifier's guess and how sure it is, and colours measured on the pixels). Whatever neither says is
answered with "i do not know". How the questions are worded stands in `questions.toml`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from plugins.pocket.colours import COLOURS
from training.pocket.wording import (
    ASKING,
    HOW_OFTEN,
    MASS,
    NOT_A_THING,
    NUMBERS,
    PHOTOGRAPH,
    PLURAL,
    SCENE,
    SIDES,
    STRANGER,
    UNIQUE,
    WIDER,
    ask,
    be,
    detail_request,
    join,
    phrase,
    pick,
    plural,
    unanswerable,
    where,
)

Pair = tuple[str | None, str, str]  # question (None: the plain caption), answer, kind
DESCRIBED = 0.35  # stage 2: share of pictures that are described at length; the others get one more short question
CONTINUED = 0.3  # share of these descriptions that are to be continued
CONTINUE = "continue"  # kind of a pair that belongs behind the one before it
OPPOSITE = {
    "to the left of": "to the right of",
    "to the right of": "to the left of",
    "above": "below",
    "below": "above",
}
STANDS = {
    "to the left of": ("column", ("left", "middle", "right"), -1),
    "to the right of": ("column", ("left", "middle", "right"), 1),
    "above": ("row", ("top", "centre", "bottom"), -1),
    "below": ("row", ("top", "centre", "bottom"), 1),
}


class SceneTalk:
    """Questions and answers about a composed scene."""

    def __init__(self, truth: dict[str, Any], names: list[tuple[str, str]]) -> None:
        self.things: list[dict[str, Any]] = sorted(
            truth["things"],
            key=lambda t: (("left", "middle", "right").index(t["column"]), ("top", "centre", "bottom").index(t["row"])),
        )
        self.background: str = truth["background"]
        self.ground: list[str] = list(truth["background_colours"])
        self.names = names  # (name, kind) of everything there is a word for
        self.known = [t for t in self.things if t["name"]]
        self.counts: dict[str, int] = {}
        for thing in self.known:
            self.counts[thing["name"]] = self.counts.get(thing["name"], 0) + 1
        self.single = [t for t in self.known if self.counts[t["name"]] == 1]

    def title(self, thing: dict[str, Any], *, colour: bool = True) -> str:
        """ "a yellow duck"; a stranger is "an unknown thing"."""
        return phrase(thing["name"] or STRANGER, thing["colours"][0] if colour else "")

    def ground_words(self) -> str:
        """ "a plain green background"."""
        if self.background == "plain":
            return phrase("background", f"plain {self.ground[0]}")
        colours = join(self.ground[:2])
        return f"a {colours} background" if self.background == "two" else f"a photograph in {colours}"

    def listing(self, things: list[dict[str, Any]], *, colour: bool = True) -> str:
        """All of them in one phrase; equal ones are counted together."""
        parts: list[str] = []
        for thing in things:
            name = thing["name"]
            same = [t for t in things if t["name"] == name]
            many = bool(name) and len(same) > 1
            words = f"{NUMBERS[len(same)]} {plural(name)}" if many else self.title(thing, colour=colour)
            if words not in parts:
                parts.append(words)
        return join(parts)

    @staticmethod
    def size(thing: dict[str, Any]) -> str:
        x0, y0, x1, y1 = thing["box"]
        area = (x1 - x0) * (y1 - y0)
        return "small" if area < 0.10 else "large" if area > 0.28 else ""

    def caption(self) -> str:
        if not self.things:
            return f"{self.ground_words()} with nothing on it"
        return f"{self.listing(self.things)} on {self.ground_words()}"

    def description(self, rng: random.Random) -> str:
        if not self.things:
            return f"the picture shows {self.ground_words()}. there is nothing on it."
        number = len(self.things)
        sentences = [f"the picture shows {NUMBERS[number]} thing{'s' if number > 1 else ''} on {self.ground_words()}."]
        for thing in self.things:
            name = thing["name"] or STRANGER
            second = f" with some {thing['colours'][1]}" if len(thing["colours"]) > 1 and name not in UNIQUE else ""
            size = self.size(thing)
            colour = f"{size} {thing['colours'][0]}".strip()
            verb = "there are" if name in PLURAL else "there is"
            sentences.append(f"{where(thing['column'], thing['row'])} {verb} {phrase(name, colour)}{second}.")
        return " ".join(sentences)

    def absent(self, rng: random.Random) -> tuple[str, str]:
        """A name that is not there, and whose word is not part of one that is."""
        present = {word for t in self.known for word in t["name"].split()}
        while True:
            name, kind = (rng.choice(NOT_A_THING), "") if rng.random() < 0.15 else rng.choice(self.names)
            if not present & set(name.split()):
                return name, kind

    def what(self, rng: random.Random) -> Pair:
        seen = self.listing(self.things) if self.things else self.caption()
        return pick(rng, *SCENE["what"]), f"i see {seen}.", "what"

    def how_many(self, rng: random.Random) -> Pair:
        number = len(self.things)
        amount = "is one thing" if number == 1 else f"are {NUMBERS[number]} things"
        return pick(rng, *SCENE["how_many"]), f"there {amount}.", "number"

    def how_many_of(self, rng: random.Random) -> Pair:
        name = rng.choice(self.known)["name"] if self.known and rng.random() < 0.75 else self.absent(rng)[0]
        return pick(rng, *SCENE["how_many_of"], things=plural(name)), self.amount(name), "number of"

    def amount(self, name: str) -> str:
        number = self.counts.get(name, 0)
        if number == 0:
            return f"there {be(name)} no {name}."
        if name in PLURAL or name in MASS or name in UNIQUE:
            return f"there {be(name)} {phrase(name)}." if number == 1 else f"there are {NUMBERS[number]} times {name}."
        return f"there is one {name}." if number == 1 else f"there are {NUMBERS[number]} {plural(name)}."

    def colour_of(self, rng: random.Random) -> Pair:
        if not self.known or rng.random() < 0.12:
            name = self.absent(rng)[0]
            question = pick(rng, *SCENE["colour_of"], name=name, be=be(name), do="do" if be(name) == "are" else "does")
            return question, f"i see no {name}.", "absent"
        thing = rng.choice(self.known)
        name, colours, verb = thing["name"], thing["colours"], be(thing["name"])
        if self.counts[name] > 1 and len({t["colours"][0] for t in self.known if t["name"] == name}) > 1:
            return self.how_many(rng)
        question = pick(rng, *SCENE["colour_of"], name=name, be=verb, do="do" if verb == "are" else "does")
        words = colours[0] if len(colours) == 1 else f"mostly {colours[0]}, with some {join(list(colours[1:]))}"
        return question, f"the {name} {verb} {words}.", "colour"

    def ground_colour(self, rng: random.Random) -> Pair:
        mostly = "mostly " if self.background == "photo" else ""
        answer = f"the background is {mostly}{join(self.ground[:2])}."
        return pick(rng, *SCENE["ground_colour"]), answer, "background colour"

    def surroundings(self, rng: random.Random) -> Pair:
        name = self.known[0]["name"] if self.known else "scene"
        answer = f"the background is {self.ground_words()}."
        return pick(rng, *SCENE["surroundings"], name=name), answer, "background"

    def where_is(self, rng: random.Random) -> Pair:
        if not self.known or rng.random() < 0.10:
            name = self.absent(rng)[0]
            return pick(rng, *SCENE["where_is"], name=name, be=be(name)), f"i see no {name}.", "absent"
        thing = rng.choice(self.known)
        name, verb = thing["name"], be(thing["name"])
        if self.counts[name] > 1:
            places = [where(t["column"], t["row"]) for t in self.known if t["name"] == name]
            return f"where are the {plural(name)}?", f"they are {join(list(dict.fromkeys(places)))}.", "where"
        answer = f"the {name} {verb} {where(thing['column'], thing['row'])}."
        return pick(rng, *SCENE["where_is"], name=name, be=verb), answer, "where"

    def at_place(self, rng: random.Random) -> Pair:
        place = rng.choice(("left", "middle", "right", "top", "bottom"))
        spot = SIDES.get(place, "in the middle")
        there = [t for t in self.things if place in (t["column"], t["row"])]
        answer = f"{spot} i see {self.listing(there) if there else 'nothing'}."
        return pick(rng, *SCENE["at_place"], spot=spot), answer, "at place"

    def presence(self, rng: random.Random) -> Pair:
        draw = rng.random()
        if draw < 0.22:
            return self.presence_of_kind(rng)
        present = bool(self.known) and draw < 0.62
        name = rng.choice(self.known)["name"] if present else self.absent(rng)[0]
        question = pick(rng, *SCENE["presence"], thing=phrase(name), things=plural(name))
        if not present:
            return question, f"no, there {be(name)} no {name}.", "absent"
        number = self.counts[name]
        words = f"{be(name)} {phrase(name)}" if number == 1 else f"are {NUMBERS[number]} {plural(name)}"
        return question, f"yes, there {words}.", "present"

    def presence_of_kind(self, rng: random.Random) -> Pair:
        """A whole kind: is there an animal?"""
        kinds = {t["kind"] for t in self.known}
        kind = rng.choice(sorted(kinds)) if kinds and rng.random() < 0.5 else rng.choice(self.names)[1]
        kind = WIDER.get(kind, kind) if rng.random() < 0.5 else kind
        members = [t for t in self.known if t["kind"] == kind or WIDER.get(t["kind"]) == kind]
        question = pick(rng, *SCENE["presence_of_kind"], name=kind, thing=phrase(kind), things=plural(kind))
        if members:
            return question, f"yes, there is {self.listing(members, colour=False)}.", "kind present"
        return question, f"no, i see no {kind}.", "kind absent"

    def size_of(self, rng: random.Random) -> Pair:
        if not self.single:
            return self.how_many(rng)
        thing = rng.choice(self.single)
        name, verb = thing["name"], be(thing["name"])
        answer = f"the {name} {verb} {self.size(thing) or 'of medium size'} in the picture."
        return pick(rng, *SCENE["size_of"], name=name, be=verb), answer, "size"

    def kind_of(self, rng: random.Random) -> Pair:
        if not self.known:
            return self.what(rng)
        animals = [t for t in self.known if t["kind"] in ("animal", "bird", "insect", "sea animal")]
        if animals and rng.random() < 0.4:
            return pick(rng, *SCENE["kind_of_animal"]), f"i see {self.listing(animals)}.", "kind"
        thing = rng.choice(self.known)
        name, verb = thing["name"], be(thing["name"])
        kind = thing["kind"] if thing["kind"] not in ("thing", "figure") else "object"
        question = pick(rng, *SCENE["kind_of"], name=name, be=verb, thing=phrase(name))
        return question, f"the {name} {verb} {phrase(kind)}.", "kind"

    def is_colour(self, rng: random.Random) -> Pair:
        if not self.single:
            return self.ground_colour(rng)
        thing = rng.choice(self.single)
        name, verb, colours = thing["name"], be(thing["name"]), thing["colours"]
        right = rng.random() < 0.5
        guess = colours[0] if right else rng.choice([colour for colour in COLOURS if colour not in colours])
        answer = f"{'yes' if right else 'no'}, the {name} {verb} {colours[0]}."
        return f"{verb} the {name} {guess}?", answer, "colour check"

    def is_side(self, rng: random.Random) -> Pair:
        if not self.single:
            return self.at_place(rng)
        thing = rng.choice(self.single)
        name, verb, place = thing["name"], be(thing["name"]), (thing["column"], thing["row"])
        side = rng.choice(tuple(SIDES))
        answer = f"{'yes' if side in place else 'no'}, the {name} {verb} {where(*place)}."
        return f"{verb} the {name} {SIDES[side]}?", answer, "side check"

    def else_than(self, rng: random.Random) -> Pair:
        if not self.known:
            return self.what(rng)
        name = rng.choice(self.known)["name"]
        others = [t for t in self.things if t["name"] != name]
        answer = f"there is also {self.listing(others)}." if others else "there is nothing else."
        return pick(rng, *SCENE["else_than"], name=name), answer, "else"

    def main_colours(self, rng: random.Random) -> Pair:
        things = [c for t in self.things for c in t["colours"][:1]]
        colours = list(dict.fromkeys([*self.ground[:2], *things]))[:4]
        return pick(rng, *SCENE["main_colours"]), f"the main colours are {join(colours)}.", "main colours"

    def relation(self, rng: random.Random) -> Pair:
        """How two things stand to each other."""
        apart = self.apart()
        if not apart:
            return self.is_side(rng)
        if rng.random() < 0.4:
            other, spot = rng.choice(self.single), rng.choice(tuple(OPPOSITE))
            there = [t for t in self.things if self.stands(t, other, spot)]
            said = self.listing(there) if there else "nothing"
            question = pick(rng, *SCENE["beside"], name=other["name"], spot=spot)
            return question, f"{spot} the {other['name']} i see {said}.", "relation"
        one, other, spot, opposite = rng.choice(apart)
        first, second = one["name"], other["name"]
        right = rng.random() < 0.5
        asked = spot if right else opposite
        question = pick(rng, *SCENE["relation"], be=be(first), name=first, spot=asked, other=second)
        word = "" if question.startswith("how") else "yes, " if right else "no, "
        return question, f"{word}the {first} {be(first)} {spot} the {second}.", "relation"

    def apart(self) -> list[tuple[dict[str, Any], dict[str, Any], str, str]]:
        """(one, other, how one stands to the other, the opposite) of all known things that there is one of."""
        pairs = [(one, other) for one in self.single for other in self.single if one is not other]
        return [
            (one, other, spot, opposite)
            for one, other in pairs
            for spot, opposite in OPPOSITE.items()
            if self.stands(one, other, spot)
        ]

    @staticmethod
    def stands(one: dict[str, Any], other: dict[str, Any], spot: str) -> bool:
        key, order, sign = STANDS[spot]
        return sign * (order.index(one[key]) - order.index(other[key])) > 0

    def how_many_of_kind(self, rng: random.Random) -> Pair:
        kinds = sorted({k for t in self.known for k in (t["kind"], WIDER.get(t["kind"])) if k and k != "thing"})
        kind = rng.choice(kinds) if kinds and rng.random() < 0.8 else rng.choice(self.names)[1]
        if kind in MASS:
            return self.how_many(rng)
        number = sum(kind in (t["kind"], WIDER.get(t["kind"])) for t in self.known)
        words = f"is one {kind}" if number == 1 else f"are {NUMBERS[number]} {plural(kind)}"
        return pick(rng, *SCENE["how_many_of"], things=plural(kind)), f"there {words}.", "number of kind"

    def more(self, rng: random.Random) -> str:
        """What a description leaves out: of what kind the things are, how they stand, the main colours."""
        if not self.things:
            return "there is nothing more to see."
        said = [
            f"the {t['name']} {be(t['name'])} {phrase(t['kind'])}."
            for t in self.single
            if t["kind"] not in ("", "thing", "figure", t["name"])
        ]
        told = said[:2]
        if apart := [entry for entry in self.apart() if entry[2].startswith("to the left") or entry[2] == "above"]:
            one, other, spot, _ = apart[0]
            told.append(f"the {one['name']} {be(one['name'])} {spot} the {other['name']}.")
        return " ".join([*told, self.main_colours(rng)[1]])

    def setting(self, rng: random.Random) -> Pair:
        return pick(rng, *SCENE["setting"]), f"i cannot tell. the background is {self.ground_words()}.", "setting"

    def unanswerable(self, rng: random.Random) -> Pair:
        if len(self.known) < len(self.things) and rng.random() < 0.2:
            return pick(rng, *SCENE["stranger"]), "i do not know.", "unanswerable"
        name = rng.choice(self.known)["name"] if self.known and rng.random() < 0.85 else self.absent(rng)[0]
        return unanswerable(rng, name), "i do not know.", "unanswerable"

    def plain(self, rng: random.Random) -> Pair:
        return None, self.caption(), "caption"

    def detail(self, rng: random.Random) -> Pair:
        return detail_request(rng), self.description(rng), "description"

    def pairs(self, rng: random.Random, number: int, *, chat: bool) -> list[Pair]:
        """`number` pairs of different kinds, in stage 2 (`chat`) often with the long description."""
        first = [self.plain(rng)] if not chat else [self.detail(rng)] if rng.random() < DESCRIBED else []
        if chat and first and rng.random() < CONTINUED:
            first.append((pick(rng, *ASKING["continue"]), self.more(rng), CONTINUE))
        drawn = rng.choices(SCENE_KINDS, SCENE_WEIGHTS, k=number - len(first))
        pairs = list(first)
        for kind in drawn:
            question, answer, label = kind(self, rng)
            pairs.append((ask(rng, question) if question else question, answer, label))
        return pairs


SCENE_KINDS: tuple[Callable[[SceneTalk, random.Random], Pair], ...] = tuple(
    getattr(SceneTalk, kind) for kind in HOW_OFTEN["scene"]
)
SCENE_WEIGHTS = tuple(HOW_OFTEN["scene"].values())


@dataclass(frozen=True, slots=True)
class Hints:
    """What the eye tells beside its query tokens; `plugins.pocket.modeling.PocketVision.facts` measures it."""

    confidence: str  # of the guess: "none", "maybe" (a fifth and more), "sure" (half and more)
    guess: str  # with its article, e.g. "an egyptian cat"; empty where confidence is "none"
    group_sure: bool  # the guess's whole group together is at least half sure
    group: str  # with its article, e.g. "a cat"; may be empty
    column: str
    row: str
    setting: str  # "indoors", "outdoors" or ""
    palette: tuple[str, ...]  # colours of the whole picture, largest share first
    centre: tuple[str, ...]  # colours of its middle


GROUPS = (
    "dog",
    "cat",
    "bird",
    "fish",
    "car",
    "boat",
    "flower",
    "person",
    "horse",
    "snake",
    "bear",
    "monkey",
    "truck",
    "chair",
)


class PhotoTalk:
    """Questions and answers about a photograph: the eye's guess, in its own degree of certainty, and its colours."""

    def __init__(self, hints: Hints, names: list[tuple[str, str]], others: list[str]) -> None:
        self.hints = hints
        self.names = names
        self.others = others  # bare names of the 1,000 classes, for questions about what is not there
        self.bare = hints.guess.split(" ", 1)[1] if hints.guess else ""
        self.bare_group = hints.group.split(" ", 1)[1] if hints.group else ""

    @property
    def named(self) -> str:
        """The word that may be relied on: the guess, else its group, else nothing."""
        if self.hints.confidence == "sure":
            return self.bare
        return self.bare_group if self.hints.group_sure else ""

    def guess(self) -> str:
        hints = self.hints
        if hints.confidence == "sure":
            more = hints.group and not set(self.bare_group.split()) & set(self.bare.split())
            return f"this looks like {hints.guess}{f', {hints.group}' if more else ''}."
        if hints.group_sure and hints.group:
            maybe = f", perhaps {hints.guess}" if hints.confidence == "maybe" else ""
            return f"this looks like {hints.group}{maybe}."
        if hints.confidence == "maybe":
            return f"i am not sure what this is, perhaps {hints.guess}."
        return "i am not sure what this is."

    def colours(self) -> str:
        palette = list(self.hints.palette)
        return f"the main colour{' is' if len(palette) == 1 else 's are'} {join(palette)}."

    def outside(self) -> str:
        return f"it seems to be {self.hints.setting}." if self.hints.setting else ""

    def spot(self) -> str:
        return f"it is {where(self.hints.column, self.hints.row)} of the picture." if self.named else ""

    def description(self) -> str:
        return " ".join(filter(None, (self.guess(), self.spot(), self.colours(), self.outside())))

    def subject(self, rng: random.Random) -> tuple[str, bool]:
        """A name to ask about, and whether it is what the eye sees."""
        named = self.named
        if named and rng.random() < 0.5:
            wider = [self.bare_group] if self.bare_group and self.hints.confidence == "sure" else []
            return rng.choice([named, *wider, *([named.split()[-1]] if " " in named else [])]), True
        while True:
            draw = rng.random()
            if draw < 0.45:
                name = rng.choice(GROUPS)
            elif draw < 0.60:
                name = rng.choice(self.names)[0]
            else:
                name = rng.choice(NOT_A_THING) if draw < 0.75 else rng.choice(self.others)
            if not set(name.split()) & set(f"{self.bare} {self.bare_group}".split()):
                return name, False

    def what(self, rng: random.Random) -> Pair:
        return pick(rng, *SCENE["what"]), self.guess(), "what"

    def how_many(self, rng: random.Random) -> Pair:
        name, seen = self.subject(rng)
        if seen:
            return pick(rng, *PHOTOGRAPH["how_many_of"], things=plural(name)), f"at least one {name}.", "number of"
        if rng.random() < 0.5:
            return pick(rng, *PHOTOGRAPH["how_many"]), "i do not know.", "number"
        return f"how many {plural(name)} are there?", f"i see no {name}.", "number of"

    def colour_of(self, rng: random.Random) -> Pair:
        name, seen = self.subject(rng)
        question = pick(rng, *PHOTOGRAPH["colour_of"], name=name, be="is", do="does")
        if not seen:
            return question, f"i see no {name}.", "absent"
        middle = join(list(self.hints.centre))
        return question, f"i am not sure. the middle of the picture is mostly {middle}.", "colour"

    def ground(self, rng: random.Random) -> Pair:
        answer = f"i do not know. the picture is mostly {join(list(self.hints.palette[:2]))}. {self.outside()}"
        return pick(rng, *PHOTOGRAPH["ground"], name=self.named or "scene"), answer.rstrip(), "background"

    def where_is(self, rng: random.Random) -> Pair:
        name, seen = self.subject(rng)
        if rng.random() < 0.2:
            other, spot = rng.choice(self.names)[0], rng.choice(tuple(OPPOSITE))
            question = pick(rng, *SCENE["relation"], be="is", name=name, spot=spot, other=other)
            return question, "i do not know." if seen else f"i see no {name}.", "relation"
        question = pick(rng, *PHOTOGRAPH["where_is"], name=name, be="is")
        if not seen:
            return question, f"i see no {name}.", "absent"
        return question, f"the {name} is {where(self.hints.column, self.hints.row)}.", "where"

    def presence(self, rng: random.Random) -> Pair:
        name, seen = self.subject(rng)
        if rng.random() < 0.12 and "person" not in self.bare:
            name, seen = rng.choice(("person", "people", "man", "woman")), False
        question = pick(rng, *PHOTOGRAPH["presence"], thing=phrase(name), things=plural(name))
        if seen:
            return question, f"yes, it looks like {phrase(name)}.", "present"
        return question, f"i see no {name}." if self.named else "i am not sure.", "absent"

    def else_than(self, rng: random.Random) -> Pair:
        return pick(rng, *PHOTOGRAPH["else_than"], name=self.named or "background"), "i do not know.", "else"

    def main_colours(self, rng: random.Random) -> Pair:
        return pick(rng, *PHOTOGRAPH["main_colours"]), self.colours(), "main colours"

    def setting(self, rng: random.Random) -> Pair:
        return pick(rng, *PHOTOGRAPH["setting"]), self.outside() or "i cannot tell.", "setting"

    def at_place(self, rng: random.Random) -> Pair:
        side, spot = rng.choice((*SIDES.items(), ("middle", "in the middle")))
        seen = self.named and side in (self.hints.column, self.hints.row)
        return f"what is {spot}?", f"{spot} i see {phrase(self.named)}." if seen else "i do not know.", "at place"

    def kind_of(self, rng: random.Random) -> Pair:
        if rng.random() < 0.3:
            return pick(rng, *PHOTOGRAPH["kind_of_animal"]), self.guess(), "kind"
        if self.hints.confidence == "sure" and self.hints.group:
            question = pick(rng, *PHOTOGRAPH["kind_of"], name=self.bare, be="is", thing=self.hints.guess)
            return question, f"the {self.bare} is {self.hints.group}.", "kind"
        return self.what(rng)

    def unanswerable(self, rng: random.Random) -> Pair:
        name = self.named or rng.choice(self.names)[0]
        return unanswerable(rng, name), "i do not know.", "unanswerable"

    def plain(self, rng: random.Random) -> Pair:
        return None, self.caption(), "caption"

    def caption(self) -> str:
        hints = self.hints
        if self.named:
            return hints.guess if hints.confidence == "sure" else hints.group
        return f"a photograph in {join(list(hints.palette[:2]))}"

    def pairs(self, rng: random.Random, number: int, *, chat: bool) -> list[Pair]:
        """`number` pairs of different kinds, in stage 2 (`chat`) often with the long description."""
        described = (detail_request(rng), self.description(), "description")
        first: list[Pair] = [self.plain(rng)] if not chat else [described] if rng.random() < DESCRIBED else []
        if chat and first and rng.random() < CONTINUED:
            first.append((pick(rng, *ASKING["continue"]), "i can tell no more about this picture.", CONTINUE))
        drawn = rng.choices(PHOTO_KINDS, PHOTO_WEIGHTS, k=number - len(first))
        pairs = list(first)
        for kind in drawn:
            question, answer, label = kind(self, rng)
            pairs.append((ask(rng, question) if question else question, answer, label))
        return pairs


PHOTO_KINDS: tuple[Callable[[PhotoTalk, random.Random], Pair], ...] = tuple(
    getattr(PhotoTalk, kind) for kind in HOW_OFTEN["photograph"]
)
PHOTO_WEIGHTS = tuple(HOW_OFTEN["photograph"].values())
