"""Questions and answers about a composed scene, from its exact truth."""

from __future__ import annotations

import random
from typing import Any

from plugins.pocket.colours import COLOURS
from plugins.pocket.speech.words import MASS, PLURAL, UNIQUE, join
from training.pocket.questions import Pair, Questions
from training.pocket.wording import (
    HOW_OFTEN,
    NOT_A_THING,
    NUMBERS,
    SCENE,
    SIDES,
    STRANGER,
    WIDER,
    article,
    be,
    detail_request,
    phrase,
    pick,
    plural,
    unanswerable,
    where,
)

COLUMNS = ("left", "middle", "right")
ROWS = ("top", "centre", "bottom")
OPPOSITE = {
    "to the left of": "to the right of",
    "to the right of": "to the left of",
    "above": "below",
    "below": "above",
}
STANDS = {  # how one thing is placed to another: the coordinate, its words in order, and the sign of the difference
    "to the left of": ("column", COLUMNS, -1),
    "to the right of": ("column", COLUMNS, 1),
    "above": ("row", ROWS, -1),
    "below": ("row", ROWS, 1),
}


class SceneQuestions(Questions):
    """Questions and answers about a composed scene."""

    how_often = HOW_OFTEN["scene"]

    def __init__(self, truth: dict[str, Any], names: list[tuple[str, str]]) -> None:
        self.things: list[dict[str, Any]] = sorted(
            truth["things"],
            key=lambda t: (COLUMNS.index(t["column"]), ROWS.index(t["row"])),
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
        """ "a yellow duck"; for a stranger "an unknown thing"."""
        return phrase(thing["name"] or STRANGER, thing["colours"][0] if colour else "")

    def ground_words(self) -> str:
        """ "a plain green background"."""
        if self.background == "plain":
            return phrase("background", f"plain {self.ground[0]}")
        colours = join(self.ground[:2])
        return f"{article(colours)} {colours} background" if self.background == "two" else f"a photograph in {colours}"

    def listing(self, things: list[dict[str, Any]], *, colour: bool = True) -> str:
        """The things in one phrase; equal ones are counted."""
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
        """A name that is not in the scene and shares no word with one that is."""
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
        """Ask about a kind: is there an animal?"""
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
        """How two things are placed to each other."""
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
        """(one, other, their relation, its opposite) of all known things that occur once."""
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
        """Facts beyond the description: kinds, relations, main colours."""
        if not self.things:
            return "there is nothing more to see."
        said = [
            f"the {t['name']} {be(t['name'])} {phrase(t['kind'])}."
            for t in self.single
            if t["kind"] not in ("", "thing", "figure", t["name"])
        ]
        facts = said[:2]
        if apart := [entry for entry in self.apart() if entry[2].startswith("to the left") or entry[2] == "above"]:
            one, other, spot, _ = apart[0]
            facts.append(f"the {one['name']} {be(one['name'])} {spot} the {other['name']}.")
        return " ".join([*facts, self.main_colours(rng)[1]])

    def setting(self, rng: random.Random) -> Pair:
        return pick(rng, *SCENE["setting"]), f"i cannot tell. the background is {self.ground_words()}.", "setting"

    def unanswerable(self, rng: random.Random) -> Pair:
        if len(self.known) < len(self.things) and rng.random() < 0.2:
            return pick(rng, *SCENE["stranger"]), "i do not know.", "unanswerable"
        name = rng.choice(self.known)["name"] if self.known and rng.random() < 0.85 else self.absent(rng)[0]
        return unanswerable(rng, name), "i do not know.", "unanswerable"

    def detail(self, rng: random.Random) -> Pair:
        return detail_request(rng), self.description(rng), "description"
