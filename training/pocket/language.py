"""What can be asked about a picture and what is true to answer: the text that pocket learns from.

Every answer follows from the truth of a composed scene, or, for a photograph, from the hints that the eye itself gives
(`Hints`: the classifier's guess and how sure it is, and colours measured on the pixels). Whatever neither says is answered with
"i do not know".
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NUMBERS = ("no", "one", "two", "three", "four", "five")
PLURAL = {
    "cherries", "grapes", "blueberries", "scissors", "pants", "pliers", "binoculars", "sunglasses",
}  # fmt: skip
MASS = {
    "food", "clothing", "corn", "broccoli", "garlic", "ginger", "lettuce", "thyme", "lavender", "fire", "holly", "candy", "roast turkey",
}  # fmt: skip
UNIQUE = {"sun": "the sun", "moon": "the moon", "earth": "the earth", "mars": "mars", "jupiter": "jupiter", "saturn": "saturn",
          "santa claus": "santa claus", "eiffel tower": "the eiffel tower"}  # fmt: skip
IRREGULAR = {"sheep": "sheep", "mouse": "mice", "goose": "geese", "tooth": "teeth", "fireman": "firemen", "snowman": "snowmen",
             "bison": "bison", "deer": "deer", "trout": "trout", "shrimp": "shrimp", "striped fish": "striped fish",
             "clownfish": "clownfish", "butterflyfish": "butterflyfish", "dolphinfish": "dolphinfish", "lionfish": "lionfish",
             "caribou": "caribou", "knife": "knives", "wolf": "wolves", "woodlouse": "woodlice"}  # fmt: skip
STRANGER = "unknown thing"
DO_NOT_KNOW = ("i do not know.", "i cannot tell.", "i am not sure.")

UNANSWERABLE = (
    "what is the {x} made of?", "what material is the {x}?", "what brand is the {x}?", "how old is the {x}?", "how much does the {x} cost?",
    "who owns the {x}?", "what is the {x} doing?", "why is the {x} there?", "what is the name of the {x}?", "what is the texture of the {x}?",
    "what is the weather like?", "what time of day is it?", "what season is it?", "who took the picture?", "where was the picture taken?",
    "what is the mood of the picture?", "what happened before?", "what is happening in the picture?", "what is the person wearing?",
    "what does the text say?", "what is written in the picture?", "what is the temperature?",
    "what is the story behind the picture?", "what emotion does the {x} show?", "how heavy is the {x}?", "how fast is the {x}?",
    "what sound does it make?", "what year is it?", "which country is this?", "is the {x} happy?", "what is the {x} thinking?",
    "what is the {x} wearing?", "what is going on in this picture?", "what is happening in this picture?", "what is the {x} eating?", "what does the writing say?",
    "is there any writing in the picture?", "is there any text in the picture?", "what is the expression of the {x}?", "what activity is shown?", "what style is the picture?", "what is the lighting like?", "is it day or night?", "what is the relationship between them?",
    "what is the {x} used for?", "does the {x} look new?", "what is inside the {x}?", "what is behind the camera?", "what is the purpose of the {x}?",
    "are there any words in the picture?", "what pattern does the {x} have?", "what shape is the {x}?", "which animal is faster?",
    "is the {x} real?", "what gender is the person?", "what language is spoken?", "what is the {x} holding?", "what is the {x} looking at?",
)  # fmt: skip
NOT_A_THING = (
    "fridge", "microwave", "unicorn", "laptop", "sofa", "person", "man", "woman", "boy", "girl", "child", "bridge", "river", "mountain", "phone",
    "window", "door", "bed", "bicycle", "boat", "kite", "skateboard", "pizza box", "robot", "dragon", "bottle", "chair", "table", "book",
    "television", "cloud", "road", "river", "beach", "garden", "kitchen", "sign", "logo", "hand", "face", "ladder", "carpet", "plate",
)  # fmt: skip


def article(words: str) -> str:
    """ "a" or "an", by ear."""
    return "an" if words[0] in "aeiou" and not words.startswith(("uni", "eu", "one ")) or words.startswith("hour") else "a"


def phrase(name: str, colour: str = "") -> str:
    """A noun phrase: "a yellow duck", "some red cherries", "the moon"."""
    if name in UNIQUE:
        return UNIQUE[name]
    words = f"{colour} {name}".strip()
    return f"some {words}" if name in PLURAL or name in MASS else f"{article(words)} {words}"


def plural(name: str) -> str:
    """More than one of it."""
    if name in PLURAL or name in MASS:
        return name
    if name in IRREGULAR:
        return IRREGULAR[name]
    last = name.split()[-1]
    if last in IRREGULAR:
        return f"{name[: -len(last)]}{IRREGULAR[last]}"
    if name.endswith(("s", "sh", "ch", "x")):
        return f"{name}es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def be(name: str) -> str:
    """ "is" or "are"."""
    return "are" if name in PLURAL else "is"


def join(parts: list[str]) -> str:
    """ "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def where(column: str, row: str) -> str:
    """Words for a place in the picture."""
    if row == "centre":
        return {"left": "on the left", "middle": "in the middle", "right": "on the right"}[column]
    return f"at the {row} in the middle" if column == "middle" else f"at the {row} {column}"


@dataclass(frozen=True, slots=True)
class Hints:
    """What the eye tells beside its query tokens; see `plugins.pocket.modeling.Hints` for how each is measured."""

    confidence: str  # of the guess: "none", "maybe" (a fifth and more), "sure" (half and more)
    guess: str  # with its article, e.g. "an egyptian cat"; empty where confidence is "none"
    group_sure: bool  # the guess's whole group together is at least half sure
    group: str  # with its article, e.g. "a cat"; may be empty
    column: str
    row: str
    setting: str  # "indoors", "outdoors" or ""
    palette: tuple[str, ...]  # colours of the whole picture, largest share first
    centre: tuple[str, ...]  # colours of its middle


Pair = tuple[str | None, str, str]  # question (None: the plain caption), answer, kind


def pick(rng: random.Random, *forms: str) -> str:
    """One of several ways to say it."""
    return rng.choice(forms)


def ask(rng: random.Random, question: str) -> str:
    """Politeness and habits of people and of language models, now and then."""
    draw = rng.random()
    if draw < 0.70 or question.endswith("."):
        return question
    bare = question.rstrip("?")
    if draw < 0.78:
        return bare
    if draw < 0.86:
        return question.replace("the picture", rng.choice(("the image", "the photo", "this image", "this picture", "the scene")))
    if draw < 0.92:
        return f"{rng.choice(('please tell me:', 'tell me,', 'okay,', 'in this picture,', 'can you tell me:'))} {question}"
    return f"{bare} {rng.choice(('in the picture', 'in the image', 'in this photo'))}?"


def detail_request(rng: random.Random) -> str:
    """The four instructions of stage 2, and a few more."""
    return pick(
        rng, "describe this picture in detail.", "describe this image in detail.", "please describe this picture in detail.",
        "could you describe the contents of this picture for me?", "take a look at this picture and describe what you notice.",
        "please provide a detailed description of the picture.", "describe the picture.", "what do you see? describe it in detail.",
        "describe everything you can see.", "give a detailed description of the image.",
    )  # fmt: skip


class SceneTalk:
    """Questions and answers about a composed scene."""

    def __init__(self, truth: dict[str, Any], names: list[tuple[str, str]]) -> None:
        self.things: list[dict[str, Any]] = sorted(
            truth["things"], key=lambda t: (("left", "middle", "right").index(t["column"]), ("top", "centre", "bottom").index(t["row"]))
        )
        self.background: str = truth["background"]
        self.ground: list[str] = list(truth["background_colours"])
        self.names = names  # (name, kind) of everything there is a word for
        self.known = [t for t in self.things if t["name"]]
        self.counts: dict[str, int] = {}
        for thing in self.known:
            self.counts[thing["name"]] = self.counts.get(thing["name"], 0) + 1

    # --- words -----------------------------------------------------------------------------------------------------------
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
            if name and len(same) > 1:
                words = f"{NUMBERS[len(same)]} {plural(name)}"
            else:
                words = self.title(thing, colour=colour)
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
        opening = f"the picture shows {NUMBERS[number]} thing{'s' if number > 1 else ''} on {self.ground_words()}."
        sentences = [opening]
        for thing in self.things:
            name = thing["name"] or STRANGER
            second = f" with some {thing['colours'][1]}" if len(thing["colours"]) > 1 and name not in UNIQUE else ""
            size = self.size(thing)
            colour = f"{size} {thing['colours'][0]}".strip()
            verb = "there are" if name in PLURAL else "there is"
            sentences.append(f"{where(thing['column'], thing['row'])} {verb} {phrase(name, colour)}{second}.")
        return " ".join(sentences)

    # --- questions -------------------------------------------------------------------------------------------------------
    def absent(self, rng: random.Random) -> tuple[str, str]:
        """A name that is not there, and whose word is not part of one that is."""
        present = {word for t in self.known for word in t["name"].split()}
        while True:
            if rng.random() < 0.15:
                name, kind = rng.choice(NOT_A_THING), ""
            else:
                name, kind = rng.choice(self.names)
            if not present & set(name.split()):
                return name, kind

    def what(self, rng: random.Random) -> Pair:
        question = pick(rng, "what is in the picture?", "what do you see?", "what can you see in the picture?", "what is shown?", "what is this?",
                        "what things are in the picture?", "which objects are visible?", "what objects can you see?", "what is the picture about?",
                        "what is the main subject of the picture?", "list everything in the picture.", "what is there?",
                        "what is the main thing in this picture?", "what stands out most in this picture?", "what can be seen?", "what is it?")  # fmt: skip
        if not self.things:
            return question, f"i see {self.ground_words()} with nothing on it.", "what"
        return question, f"i see {self.listing(self.things)}.", "what"

    def how_many(self, rng: random.Random) -> Pair:
        number = len(self.things)
        question = pick(rng, "how many things are there?", "how many objects are in the picture?", "how many things do you see?",
                        "how many objects can you see?", "what is the number of objects?", "how many items are shown?", "count the objects.")  # fmt: skip
        if number == 0:
            return question, "there are no things.", "number"
        return question, f"there {'is' if number == 1 else 'are'} {NUMBERS[number]} thing{'s' if number > 1 else ''}.", "number"

    def how_many_of(self, rng: random.Random) -> Pair:
        name = rng.choice(self.known)["name"] if self.known and rng.random() < 0.75 else self.absent(rng)[0]
        question = pick(rng, f"how many {plural(name)} are there?", f"how many {plural(name)} do you see?", f"how many {plural(name)} are in the picture?",
                        f"what is the number of {plural(name)}?")  # fmt: skip
        return question, self.amount(name), "number of"

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
            question = pick(rng, f"what colour is the {name}?", f"what color is the {name}?", f"which colour does the {name} have?")
            return question, f"i see no {name}.", "absent"
        thing = rng.choice(self.known)
        name = thing["name"]
        if self.counts[name] > 1 and len({t["colours"][0] for t in self.known if t["name"] == name}) > 1:
            return self.how_many(rng)
        verb = be(name)
        question = pick(rng, f"what colour {verb} the {name}?", f"what color {verb} the {name}?", f"which colour {'do' if verb == 'are' else 'does'} the {name} have?",
                        f"what is the colour of the {name}?", f"what is the color of the {name}?", f"what colours does the {name} have?", f"which colour {verb} the {name}?")  # fmt: skip
        colours = thing["colours"]
        if len(colours) == 1:
            return question, f"the {name} {verb} {colours[0]}.", "colour"
        return question, f"the {name} {verb} mostly {colours[0]}, with some {join(list(colours[1:]))}.", "colour"

    def ground_colour(self, rng: random.Random) -> Pair:
        question = pick(rng, "what colour is the background?", "what color is the background?", "what is the background colour?", "which colour is the background?",
                        "which colour does the background have?", "what is the color of the background?")  # fmt: skip
        if self.background == "photo":
            return question, f"the background is mostly {join(self.ground[:2])}.", "background colour"
        return question, f"the background is {join(self.ground[:2])}.", "background colour"

    def surroundings(self, rng: random.Random) -> Pair:
        name = self.known[0]["name"] if self.known else "scene"
        question = pick(rng, "what is in the background?", "what can be seen in the background?", "what is the background like?", f"what is around the {name}?", f"what is behind the {name}?",
                        "describe the background.", "what does the background look like?", "what surrounds it?", f"what are the surroundings of the {name}?")  # fmt: skip
        return question, f"the background is {self.ground_words()}.", "background"

    def where_is(self, rng: random.Random) -> Pair:
        if not self.known or rng.random() < 0.10:
            name = self.absent(rng)[0]
            return pick(rng, f"where is the {name}?", f"where can the {name} be seen?"), f"i see no {name}.", "absent"
        thing = rng.choice(self.known)
        name = thing["name"]
        if self.counts[name] > 1:
            places = [where(t["column"], t["row"]) for t in self.known if t["name"] == name]
            return f"where are the {plural(name)}?", f"they are {join(list(dict.fromkeys(places)))}.", "where"
        verb = be(name)
        question = pick(rng, f"where {verb} the {name}?", f"where in the picture {verb} the {name}?", f"what is the position of the {name}?",
                        f"in which part of the picture {verb} the {name}?", f"where {verb} the {name} located?")  # fmt: skip
        return question, f"the {name} {verb} {where(thing['column'], thing['row'])}.", "where"

    def at_place(self, rng: random.Random) -> Pair:
        axis, place = rng.choice((("column", "left"), ("column", "middle"), ("column", "right"), ("row", "top"), ("row", "bottom")))
        spot = {"left": "on the left", "middle": "in the middle", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}[place]
        question = pick(rng, f"what is {spot}?", f"what do you see {spot}?", f"what is {spot} of the picture?", f"what object is {spot}?")
        there = [t for t in self.things if t[axis] == place]
        return question, f"{spot} i see {self.listing(there) if there else 'nothing'}.", "at place"

    def presence(self, rng: random.Random) -> Pair:
        draw = rng.random()
        if draw < 0.22:  # a whole kind: is there an animal?
            kinds = {t["kind"] for t in self.known}
            kind = rng.choice(sorted(kinds)) if kinds and rng.random() < 0.5 else rng.choice(self.names)[1]
            wider = {"bird": "animal", "insect": "animal", "sea animal": "animal", "fruit": "food", "vegetable": "food", "flower": "plant"}
            kind = wider.get(kind, kind) if rng.random() < 0.5 else kind
            members = [t for t in self.known if t["kind"] == kind or wider.get(t["kind"]) == kind]
            question = pick(rng, f"is there {phrase(kind)} in the picture?", f"is there any {kind}?", f"do you see {phrase(kind)}?",
                            f"are there any {plural(kind)} in the picture?")  # fmt: skip
            if members:
                return question, f"yes, there is {self.listing(members, colour=False)}.", "kind present"
            return question, f"no, i see no {kind}.", "kind absent"
        present = bool(self.known) and draw < 0.62
        name = rng.choice(self.known)["name"] if present else self.absent(rng)[0]
        question = pick(rng, f"is there {phrase(name)} in the picture?", f"is there {phrase(name)}?", f"do you see {phrase(name)}?", f"can you see {phrase(name)}?",
                        f"are there any {plural(name)} in the picture?", f"does the picture show {phrase(name)}?", f"is {phrase(name)} present?")  # fmt: skip
        if not present:
            return question, f"no, there {be(name)} no {name}.", "absent"
        number = self.counts[name]
        words = phrase(name) if number == 1 else f"{NUMBERS[number]} {plural(name)}"
        return question, f"yes, there {be(name) if number == 1 else 'are'} {words}.", "present"

    def size_of(self, rng: random.Random) -> Pair:
        single = [t for t in self.known if self.counts[t["name"]] == 1]
        if not single:
            return self.how_many(rng)
        thing = rng.choice(single)
        name = thing["name"]
        question = pick(rng, f"how big {be(name)} the {name}?", f"how large {be(name)} the {name}?", f"what size {be(name)} the {name}?")
        return question, f"the {name} {be(name)} {self.size(thing) or 'of medium size'} in the picture.", "size"

    def kind_of(self, rng: random.Random) -> Pair:
        if not self.known:
            return self.what(rng)
        animals = [t for t in self.known if t["kind"] in ("animal", "bird", "insect", "sea animal")]
        if animals and rng.random() < 0.4:
            question = pick(rng, "what kind of animal is it?", "what kind of animal is in the picture?", "which animal is it?", "which animals do you see?")
            return question, f"i see {self.listing(animals)}.", "kind"
        thing = rng.choice(self.known)
        name = thing["name"]
        question = pick(rng, f"what kind of thing {be(name)} the {name}?", f"what {be(name)} {phrase(name)}?", f"what type of object {be(name)} the {name}?")
        kind = thing["kind"] if thing["kind"] not in ("thing", "figure") else "object"
        return question, f"the {name} {be(name)} {phrase(kind)}.", "kind"

    def is_colour(self, rng: random.Random) -> Pair:
        single = [t for t in self.known if self.counts[t["name"]] == 1]
        if not single:
            return self.ground_colour(rng)
        thing = rng.choice(single)
        name, colours = thing["name"], thing["colours"]
        if rng.random() < 0.5:
            guess = colours[0]
        else:
            guess = rng.choice([c for c in ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown") if c not in colours])
        verdict = "yes" if guess == colours[0] else "no"
        return f"{be(name)} the {name} {guess}?", f"{verdict}, the {name} {be(name)} {colours[0]}.", "colour check"

    def is_side(self, rng: random.Random) -> Pair:
        single = [t for t in self.known if self.counts[t["name"]] == 1]
        if not single:
            return self.at_place(rng)
        thing = rng.choice(single)
        name = thing["name"]
        side = rng.choice(("left", "right", "top", "bottom"))
        spot = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}[side]
        verdict = "yes" if side in (thing["column"], thing["row"]) else "no"
        return f"{be(name)} the {name} {spot}?", f"{verdict}, the {name} {be(name)} {where(thing['column'], thing['row'])}.", "side check"

    def else_than(self, rng: random.Random) -> Pair:
        if not self.known:
            return self.what(rng)
        name = rng.choice(self.known)["name"]
        others = [t for t in self.things if t["name"] != name]
        question = pick(rng, f"what else is in the picture besides the {name}?", f"is there anything else besides the {name}?", f"what other things are there besides the {name}?",
                        f"apart from the {name}, what else do you see?", f"besides the {name}, what other objects are visible?")  # fmt: skip
        return question, f"there {'is' if others else 'is nothing'} {('also ' + self.listing(others)) if others else 'else'}.", "else"

    def main_colours(self, rng: random.Random) -> Pair:
        question = pick(rng, "what are the main colours?", "which are the main colours?", "what colours are in the picture?", "what colors dominate the picture?")
        things = [c for t in self.things for c in t["colours"][:1]]
        colours = list(dict.fromkeys([*self.ground[:2], *things]))[:4]
        return question, f"the main colours are {join(colours)}.", "main colours"

    def setting(self, rng: random.Random) -> Pair:
        return pick(rng, "is this indoors or outdoors?", "is it indoors or outdoors?", "was this taken indoors or outdoors?", "is it inside or outside?",
                    "where does the scene take place?", "what is the setting?"), \
            f"i cannot tell. the background is {self.ground_words()}.", "setting"  # fmt: skip

    def unanswerable(self, rng: random.Random) -> Pair:
        name = rng.choice(self.known)["name"] if self.known and rng.random() < 0.85 else self.absent(rng)[0]
        return rng.choice(UNANSWERABLE).format(x=name), "i do not know.", "unanswerable"

    def plain(self, rng: random.Random) -> Pair:
        return None, self.caption(), "caption"

    def detail(self, rng: random.Random) -> Pair:
        return detail_request(rng), self.description(rng), "description"

    def pairs(self, rng: random.Random, number: int, *, chat: bool) -> list[Pair]:
        """`number` pairs of different kinds; `chat` adds the long description (stage 2)."""
        drawn: list[Callable[[random.Random], Pair]] = rng.choices(SCENE_KINDS, SCENE_WEIGHTS, k=number - 1)  # type: ignore[assignment]
        pairs = [self.detail(rng) if chat else self.plain(rng)]
        for kind in drawn:
            question, answer, label = kind(self, rng)  # type: ignore[call-arg, arg-type]
            pairs.append((ask(rng, question) if question else question, answer, label))
        return pairs


SCENE_KINDS = (
    SceneTalk.what, SceneTalk.how_many, SceneTalk.how_many_of, SceneTalk.colour_of, SceneTalk.ground_colour, SceneTalk.surroundings,
    SceneTalk.where_is, SceneTalk.at_place, SceneTalk.presence, SceneTalk.size_of, SceneTalk.kind_of, SceneTalk.is_colour, SceneTalk.is_side,
    SceneTalk.else_than, SceneTalk.main_colours, SceneTalk.setting, SceneTalk.unanswerable, SceneTalk.plain,
)  # fmt: skip
SCENE_WEIGHTS = (10, 8, 7, 12, 5, 4, 11, 8, 18, 3, 3, 4, 5, 7, 2, 1, 6, 2)


class PhotoTalk:
    """Questions and answers about a photograph: the eye's own guess, in its own degree of certainty, and measured colours."""

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
            extra = f", {hints.group}" if hints.group and not set(self.bare_group.split()) & set(self.bare.split()) else ""
            return f"this looks like {hints.guess}{extra}."
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
        if named and rng.random() < 0.7:
            choices = [named] + ([self.bare_group] if self.bare_group and self.hints.confidence == "sure" else []) + ([named.split()[-1]] if " " in named else [])
            return rng.choice(choices), True
        draw = rng.random()
        while True:
            name = rng.choice(self.names)[0] if draw < 0.45 else rng.choice(NOT_A_THING) if draw < 0.65 else rng.choice(self.others)
            if not set(name.split()) & set(f"{self.bare} {self.bare_group}".split()):
                return name, False
            draw = rng.random()

    def what(self, rng: random.Random) -> Pair:
        question = SceneTalk({"things": [], "background": "plain", "background_colours": ["green"]}, self.names).what(rng)[0]
        return question, self.guess(), "what"

    def how_many(self, rng: random.Random) -> Pair:
        name, seen = self.subject(rng)
        if seen:
            question = pick(rng, f"how many {plural(name)} are there?", f"how many {plural(name)} do you see?")
            return question, f"at least one {name}.", "number of"
        if rng.random() < 0.5:
            return pick(rng, "how many things are there?", "how many objects are in the picture?", "how many items are shown?"), "i do not know.", "number"
        return f"how many {plural(name)} are there?", f"i see no {name}.", "number of"

    def colour_of(self, rng: random.Random) -> Pair:
        name, seen = self.subject(rng)
        question = pick(rng, f"what colour is the {name}?", f"what color is the {name}?", f"what is the colour of the {name}?", f"which colours does the {name} have?")
        if not seen:
            return question, f"i see no {name}.", "absent"
        return question, f"i am not sure. the middle of the picture is mostly {join(list(self.hints.centre))}.", "colour"

    def ground(self, rng: random.Random) -> Pair:
        question = pick(rng, "what colour is the background?", "what is in the background?", "what is the background like?", "what does the background look like?",
                        "what is behind it?", "describe the background.", "what surrounds it?", f"what is around the {self.named or 'scene'}?")  # fmt: skip
        tail = f" {self.outside()}" if self.hints.setting else ""
        return question, f"i do not know. the picture is mostly {join(list(self.hints.palette[:2]))}.{tail}", "background"

    def where_is(self, rng: random.Random) -> Pair:
        name, seen = self.subject(rng)
        question = pick(rng, f"where is the {name}?", f"where in the picture is the {name}?", f"where is the {name} located?", f"what is the position of the {name}?")
        if not seen:
            return question, f"i see no {name}.", "absent"
        return question, f"the {name} is {where(self.hints.column, self.hints.row)}.", "where"

    def presence(self, rng: random.Random) -> Pair:
        name, seen = self.subject(rng)
        if rng.random() < 0.12 and "person" not in self.bare:
            name, seen = rng.choice(("person", "people", "man", "woman")), False
        question = pick(rng, f"is there {phrase(name)} in the picture?", f"is there {phrase(name)}?", f"do you see {phrase(name)}?", f"are there any {plural(name)}?",
                        f"does the picture show {phrase(name)}?", f"can you see {phrase(name)}?")  # fmt: skip
        if seen:
            return question, f"yes, it looks like {phrase(name)}.", "present"
        if self.named:
            return question, f"i see no {name}.", "absent"
        return question, "i am not sure.", "absent"

    def else_than(self, rng: random.Random) -> Pair:
        question = pick(rng, f"what else is in the picture besides the {self.named or 'background'}?", f"is there anything else besides the {self.named or 'background'}?",
                        "what else do you see?", f"what other things are there besides the {self.named or 'background'}?")  # fmt: skip
        return question, "i do not know.", "else"

    def main_colours(self, rng: random.Random) -> Pair:
        question = pick(rng, "what are the main colours?", "which are the main colours?", "what colours are in the picture?", "what colors dominate the picture?", "which colours do you see?")
        return question, self.colours(), "main colours"

    def setting(self, rng: random.Random) -> Pair:
        question = pick(rng, "is this indoors or outdoors?", "is it indoors or outdoors?", "was this taken indoors or outdoors?", "is it inside or outside?",
                        "where does the scene take place?", "what is the setting?", "is it indoors?", "is it outdoors?")  # fmt: skip
        return question, self.outside() or "i cannot tell.", "setting"

    def at_place(self, rng: random.Random) -> Pair:
        spot = rng.choice(("on the left", "on the right", "at the top", "at the bottom", "in the middle"))
        column, row = self.hints.column, self.hints.row
        side = spot.split()[-1]
        if self.named and side in (column, row):
            return f"what is {spot}?", f"{spot} i see {phrase(self.named)}.", "at place"
        return f"what is {spot}?", "i do not know.", "at place"

    def kind_of(self, rng: random.Random) -> Pair:
        if rng.random() < 0.3:
            question = pick(rng, "what kind of animal is it?", "what kind of animal is in the picture?", "which animal is it?")
            return question, self.guess(), "kind"
        if self.hints.confidence == "sure" and self.hints.group:
            return pick(rng, f"what kind of thing is the {self.bare}?", f"what is {self.hints.guess}?"), f"the {self.bare} is {self.hints.group}.", "kind"
        return self.what(rng)

    def unanswerable(self, rng: random.Random) -> Pair:
        return rng.choice(UNANSWERABLE).format(x=self.named or rng.choice(self.names)[0]), "i do not know.", "unanswerable"

    def plain(self, rng: random.Random) -> Pair:
        return None, self.caption(), "caption"

    def caption(self) -> str:
        hints = self.hints
        if self.named:
            return hints.guess if hints.confidence == "sure" else hints.group
        return f"a photograph in {join(list(hints.palette[:2]))}"

    def pairs(self, rng: random.Random, number: int, *, chat: bool) -> list[Pair]:
        """`number` pairs of different kinds; `chat` adds the long description (stage 2)."""
        drawn = rng.choices(PHOTO_KINDS, PHOTO_WEIGHTS, k=number - 1)
        pairs = [(detail_request(rng), self.description(), "description") if chat else self.plain(rng)]
        for kind in drawn:
            question, answer, label = kind(self, rng)
            pairs.append((ask(rng, question) if question else question, answer, label))
        return pairs


PHOTO_KINDS = (
    PhotoTalk.what, PhotoTalk.how_many, PhotoTalk.colour_of, PhotoTalk.ground, PhotoTalk.where_is, PhotoTalk.presence, PhotoTalk.else_than,
    PhotoTalk.main_colours, PhotoTalk.setting, PhotoTalk.at_place, PhotoTalk.kind_of, PhotoTalk.unanswerable,
)  # fmt: skip
PHOTO_WEIGHTS = (16, 8, 8, 8, 6, 14, 5, 8, 6, 4, 5, 9)
