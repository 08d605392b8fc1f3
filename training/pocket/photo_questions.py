"""Questions and answers about a photograph, from the hints of the vision model."""

from __future__ import annotations

import random
from dataclasses import dataclass

from plugins.pocket.speech.words import join
from training.pocket.questions import Pair, Questions
from training.pocket.scene_questions import OPPOSITE
from training.pocket.wording import (
    HOW_OFTEN,
    NOT_A_THING,
    PHOTOGRAPH,
    SCENE,
    SIDES,
    detail_request,
    phrase,
    pick,
    plural,
    unanswerable,
    where,
)


@dataclass(frozen=True, slots=True)
class Hints:
    """The hints of the vision model beside its query tokens; see `plugins.pocket.modeling.PocketVision.facts`."""

    confidence: str  # of the guess: "none", "maybe" (a fifth and more), "sure" (half and more)
    guess: str  # with its article, e.g. "an egyptian cat"; empty where confidence is "none"
    group_sure: bool  # the guess's whole group together is at least half sure
    group: str  # with its article, e.g. "a cat"; may be empty
    column: str
    row: str
    setting: str  # "indoors", "outdoors" or ""
    palette: tuple[str, ...]  # colours of the whole picture, largest share first
    centre: tuple[str, ...]  # colours of its middle


GROUPS = tuple("dog cat bird fish car boat flower person horse snake bear monkey truck chair".split())


class PhotoQuestions(Questions):
    """Questions and answers about a photograph: the classifier's guess with its certainty, and measured colours."""

    how_often = HOW_OFTEN["photograph"]

    def __init__(self, hints: Hints, names: list[tuple[str, str]], others: list[str]) -> None:
        self.hints = hints
        self.names = names
        self.others = others  # bare names of the 1,000 classes, for questions about what is not there
        self.bare = hints.guess.split(" ", 1)[1] if hints.guess else ""
        self.bare_group = hints.group.split(" ", 1)[1] if hints.group else ""

    @property
    def named(self) -> str:
        """The reliable name: the guess, else its group, else nothing."""
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
        """A name to ask about, and whether the vision model recognised it."""
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

    def caption(self) -> str:
        hints = self.hints
        if self.named:
            return hints.guess if hints.confidence == "sure" else hints.group
        return f"a photograph in {join(list(hints.palette[:2]))}"

    def detail(self, rng: random.Random) -> Pair:
        return detail_request(rng), self.description(), "description"

    def more(self, rng: random.Random) -> str:
        return "i can tell no more about this picture."

    def pairs(self, rng: random.Random, number: int, *, chat: bool, detail: Pair | None = None) -> list[Pair]:
        """As for any picture; the request for detail is drawn first, whether it is used or not."""
        return super().pairs(rng, number, chat=chat, detail=detail or self.detail(rng))
