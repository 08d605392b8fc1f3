"""Questions and answers about a photograph, from what the vision model made out in it.

The facts that a question needs stand before it, as `plugins.pocket.asked` looks them up; the answer says them. What
cannot be looked up is answered "i am not sure".
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from plugins.pocket.asked import Vocabulary, facts_for, there
from plugins.pocket.colours import COLOURS
from plugins.pocket.sight import Seen, Sight
from plugins.pocket.speech.words import (
    SIDES,
    STUFF,
    caption,
    clothes,
    description,
    each_place,
    join,
    listing,
    main_colours,
    phrase,
    plural_of,
    spot,
    stuff,
    surroundings,
    writing,
)
from training.pocket.questions import CONTINUE, CONTINUED
from training.pocket.sight.rewording import reworded
from training.pocket.wording import ASKING, PHOTOGRAPH, SCENE, article, ask, detail_request, pick, unanswerable

_TEXT = tomllib.loads(Path(__file__).parents[1].joinpath("data", "sight.toml").read_text("utf-8"))
HOW_OFTEN: dict[str, int] = _TEXT["how_often"]
ASK: dict[str, list[str]] = {**PHOTOGRAPH, **{kind: list(forms) for kind, forms in _TEXT["ask"].items()}}
for _kind in ("presence", "how_many_of", "colour_of", "where_is", "kind_of", "else_than", "setting", "what"):
    ASK[_kind] = [*_TEXT["ask"].get(_kind, []), *PHOTOGRAPH.get(_kind, []), *SCENE.get(_kind, [])]
NOUNS: list[str] = _TEXT["names"]["nouns"]
DESCRIBED = 0.8  # share of pictures with a long description
NOT_SURE = "i am not sure."
PRONOUNS = ("somebody", "someone", "anyone", "anybody", "crowd", "people", "cattle", "luggage")
NO_NOUNS = ("indoors", "outdoors", "night", "sunset")
PERSON_WORDS = ("person", "man", "woman", "child", "boy", "girl", "human", "pedestrian")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with the facts that stand before it, its answer, and its kind."""

    question: str | None
    answer: str
    kind: str
    facts: tuple[str, ...] = ()


class SightQuestions:
    """Questions and answers about one sight."""

    def __init__(self, sight: Sight, palette: Sequence[str], vocabulary: Vocabulary, names: Sequence[str]) -> None:
        """`names`: things to ask about that are not there."""
        self.sight, self.palette, self.vocabulary, self.names = sight, list(palette), vocabulary, names
        self.groups = sight.groups()
        self.sure = [(one, members) for one, members in self.groups if one.sure]

    # --- what to ask about ----------------------------------------------------------------------------------

    def present(self, rng: random.Random) -> tuple[Seen, tuple[Seen, ...], str]:
        """Something that is there, and a word for it."""
        seen, members = rng.choice(self.sure)
        words = [seen.name]
        if seen.finer:
            tail = seen.finer.split()[-1]
            words += [seen.finer, *([tail] if tail not in self.vocabulary.subjects else [])]
        words += self.others_for(seen.name)
        return seen, members, rng.choice(words if rng.random() < 0.5 else words[:1])

    def others_for(self, name: str) -> list[str]:
        """Other words for a name."""
        return [
            word
            for word, subject in self.vocabulary.subjects.items()
            if subject.kind == "thing" and name in subject.names and word not in PRONOUNS
        ]

    def absent(self, rng: random.Random) -> str:
        """A word for something that is not in the list."""
        for _ in range(50):
            draw = rng.random()
            word = (
                rng.choice(PERSON_WORDS)
                if draw < 0.12
                else rng.choice(self.names)
                if draw < 0.85
                else rng.choice(list(self.vocabulary.subjects))
            )
            subject = self.vocabulary.subjects.get(word)
            if subject is None or subject.kind not in ("thing", "kind", "class"):
                continue
            if self.status(word)[1] == "<no>":
                return word
        return "giraffe"

    def status(self, word: str) -> tuple[str, str, list[str]]:
        """What the looked-up facts say about a word: the word, its mark, the words behind it."""
        facts = facts_for(f"is there a {word}?", (), self.sight, self.vocabulary)
        if not facts:
            return word, "", []
        parts = facts[0].split()
        at = next((i for i, part in enumerate(parts) if i and part.startswith("<")), len(parts))
        return " ".join(parts[1:at]), parts[at] if at < len(parts) else "", parts[at + 1 :]

    def made(self, question: str, answer: str, kind: str, earlier: Sequence[str] = ()) -> Asked:
        """The question with its facts."""
        return Asked(question, answer, kind, tuple(facts_for(question, earlier, self.sight, self.vocabulary)))

    # --- kinds of question -----------------------------------------------------------------------------------

    def plain(self, rng: random.Random) -> Asked:
        return Asked(None, f"{caption(self.sight, self.palette)}.", "caption")

    def what(self, rng: random.Random) -> Asked:
        return self.made(pick(rng, *ASK["what"]), self.all_seen(), "what")

    def all_seen(self) -> str:
        if self.sure:
            return f"i see {listing([one for one, _ in self.sure[:6]])}."
        where = surroundings(self.sight)
        if self.groups:
            return f"i am not sure what this is, perhaps {phrase(self.groups[0][0])}."
        return where or f"i am not sure what this is. {main_colours(self.palette)}"

    def how_many(self, rng: random.Random) -> Asked:
        question = pick(rng, *ASK["how_many"])
        seen = listing([one for one, _ in self.sure[:6]]) if self.sure else "nothing that i can name"
        return self.made(question, f"i can make out {seen}.", "number")

    def how_many_of(self, rng: random.Random) -> Asked:
        word = self.present(rng)[2] if self.sure and rng.random() < 0.7 else self.absent(rng)
        question = pick(rng, *ASK["how_many_of"], things=plural_of(word))
        if rng.random() < 0.15:
            question = pick(rng, *_TEXT["ask"]["number_only"], question=question)
            return self.made(question, self.count_of(question, word, short=True), "number of, in one word")
        return self.made(question, self.count_of(question, word), "number of")

    def count_of(self, question: str, word: str, *, short: bool = False) -> str:
        facts = facts_for(question, (), self.sight, self.vocabulary)
        if not facts:
            return "none." if short else NOT_SURE
        name, mark, rest = parsed(facts[0])
        if mark == "<no>":
            return "none." if short else f"there are no {plural_of(name)}."
        if mark != "<yes>":
            return "one, perhaps." if short and mark == "<perhaps>" else NOT_SURE
        count = " ".join(rest) or "one"
        if len(facts) == 1 and not rest:  # a scene word: seen, but not counted
            return f"i see {stuff_word(name)}, but i cannot count that." if not short else "some."
        if short:
            return f"{count}."
        return f"there is one {name}." if count == "one" else f"there are {count} {plural_of(name)}."

    def presence(self, rng: random.Random) -> Asked:
        word = self.some_word(rng)
        question = pick(rng, *ASK["presence"], thing=f"{article(word)} {word}", things=plural_of(word), name=word)
        return self.made(question, self.is_there(question), "presence")

    def some_word(self, rng: random.Random) -> str:
        """A word to ask for, present or absent alike."""
        draw = rng.random()
        if draw < 0.45 and self.sure:
            return self.present(rng)[2]
        if draw < 0.55:
            kinds = [word for word, subject in self.vocabulary.subjects.items() if subject.kind == "kind"]
            return rng.choice(kinds)
        if draw < 0.72 and self.sight.odds:
            return rng.choice([word for word in self.sight.odds if word not in NO_NOUNS])
        if draw < 0.77 and self.sight.maybe:
            return rng.choice(self.sight.maybe).name
        return self.absent(rng)

    def is_there(self, question: str, *, short: bool = False) -> str:
        facts = facts_for(question, (), self.sight, self.vocabulary)
        if not facts:
            return "no." if short else NOT_SURE
        name, mark, rest = parsed(facts[0])
        if short:
            return "yes." if mark in ("<yes>", "<perhaps>") else "no."
        if name == "<text>" or mark == "":
            return NOT_SURE
        if mark == "<no>":
            return f"no, i see no {name}."
        if mark == "<unknown>":
            return NOT_SURE
        entries = self.entries_of(question)
        if mark == "<perhaps>":
            return f"perhaps, but i am not sure: there may be {article(name)} {name}."
        if not entries:
            return SAID_YES.get(name, f"yes, i see {stuff_word(name)}.")
        total = " ".join(rest)
        if total:
            return f"yes, there are {total} {plural_of(name)}."
        return f"yes, there is {phrase(entries[0][0])} {spot(entries[0][0])}."

    def entries_of(self, question: str) -> list[tuple[Seen, tuple[Seen, ...]]]:
        """The sure entries that the first subject of a question means."""
        from plugins.pocket.asked import is_named

        subjects = self.vocabulary.named(question)
        return [(one, members) for one, members in self.sure if subjects and is_named(one, subjects[0])]

    def one_word(self, rng: random.Random) -> Asked:
        word = self.some_word(rng)
        if rng.random() < 0.1:
            word = rng.choice(NOUNS)
        bare = pick(rng, *ASK["presence"], thing=f"{article(word)} {word}", things=plural_of(word), name=word)
        question = pick(rng, *_TEXT["ask"]["one_word"], question=bare)
        return self.made(question, self.is_there(question, short=True), "presence, in one word")

    def colour_of(self, rng: random.Random) -> Asked:
        if self.sure and rng.random() < 0.8:
            seen, members, word = self.present(rng)
        else:
            seen, members, word = Seen(""), (), self.absent(rng)
        many = seen.count > 1
        name, be = (plural_of(word), "are") if many else (word, "is")
        forms = [form for form in ASK["colour_of"] if ("{things}" in form) == many or "{things}" not in form]
        question = pick(rng, *forms, name=name, be=be, do="do" if many else "does", things=name)
        short = rng.random() < 0.1
        if short:
            question = pick(rng, *_TEXT["ask"]["word_only"], question=question)
        if not seen.name:
            return self.made(question, f"i see no {word}.", "absent")
        people = members or ((seen,) if seen.count == 1 else ())
        colours = clothes(people)
        if seen.name == "person":
            if not colours:
                return self.made(question, NOT_SURE, "colour")
            answer = f"the clothes are {colours}."
        elif seen.count > 1:
            answer = f"the {plural_of(word)} are {colours}." if colours else NOT_SURE
        else:
            answer = f"the {word} is {' and '.join(seen.colours)}." if seen.colours else NOT_SURE
        if short and colours:
            answer = f"{colours if seen.count > 1 or seen.name == 'person' else seen.colours[0]}."
        return self.made(question, answer, "colour")

    def where_is(self, rng: random.Random) -> Asked:
        if not self.sure or rng.random() < 0.2:
            word = self.absent(rng)
            question = pick(rng, *ASK["where_is"], name=word, be="is", things=plural_of(word))
            return self.made(question, f"i see no {word}.", "absent")
        seen, _, word = self.present(rng)
        many = seen.count > 1
        name, be = (plural_of(word), "are") if many else (word, "is")
        forms = [form for form in ASK["where_is"] if ("{things}" in form) == many or "{things}" not in form]
        question = pick(rng, *forms, name=name, be=be, things=name)
        if many:
            apart = each_place(seen)
            if apart:
                return self.made(question, f"{apart}.", "where")
            return self.made(question, f"the {name} are {spot(seen)}.", "where")
        edge = f", cut off at the {seen.edge} edge" if seen.edge in ("left", "right") else ""
        return self.made(question, f"the {name} is {spot(seen)}{edge}.", "where")

    def at_place(self, rng: random.Random) -> Asked:
        place, words = rng.choice((*SIDES.items(), ("top", "at the top"), ("bottom", "at the bottom")))
        question = pick(rng, *SCENE["at_place"], spot=words)
        facts = facts_for(question, (), self.sight, self.vocabulary)
        shown = there(place, self.sight)
        answer = f"{words} i see {listing(shown)}." if shown else f"{words} i can make out nothing for certain."
        return Asked(question, answer, "at place", tuple(facts))

    def single(self) -> list[Seen]:
        """Things of which there is one."""
        return [one for one, _ in self.sure if one.count == 1]

    def is_side(self, rng: random.Random) -> Asked:
        if not self.single():
            return self.where_is(rng)
        seen = rng.choice(self.single())
        side = rng.choice(tuple(SIDES))
        question = f"is the {seen.name} {SIDES[side]}?"
        return self.made(
            question, f"{'yes' if side == seen.column else 'no'}, the {seen.name} is {spot(seen)}.", "side check"
        )

    def is_colour(self, rng: random.Random) -> Asked:
        known = [one for one in self.single() if one.colours and one.name != "person"]
        if not known:
            return self.colour_of(rng)
        seen = rng.choice(known)
        right = rng.random() < 0.5
        colour = seen.colours[0] if right else rng.choice([one for one in COLOURS if one not in seen.colours])
        answer = f"{'yes' if right else 'no'}, the {seen.name} is {' and '.join(seen.colours)}."
        return self.made(f"is the {seen.name} {colour}?", answer, "colour check")

    def relation(self, rng: random.Random) -> Asked:
        single = self.single()
        if len(single) < 2:
            return self.where_is(rng)
        one, other = rng.sample(single, 2)
        side = rng.choice(("left", "right", "above", "below"))
        words = f"to the {side} of" if side in ("left", "right") else side
        missing = self.absent(rng) if rng.random() < 0.2 else ""
        question = pick(rng, *SCENE["relation"], be="is", name=one.name, spot=words, other=missing or other.name)
        facts = tuple(facts_for(question, (), self.sight, self.vocabulary))
        if missing:
            return Asked(question, f"i see no {missing}.", "relation", facts)
        stated = [word for word in (facts[-1].split() if facts else ()) if word in ("left", "right", "above", "below")]
        said = [f"to the {word} of" if word in ("left", "right") else word for word in stated]
        if not facts or not facts[-1].startswith("<asked>") or not said:
            answer = NOT_SURE
        elif question.startswith("how"):
            answer = f"the {one.name} is {said[0]} the {other.name}."
        elif side in stated:
            answer = f"yes, the {one.name} is {words} the {other.name}."
        else:
            answer = f"no, the {one.name} is {said[0]} the {other.name}."
        return Asked(question, answer, "relation", facts)

    def beside(self, rng: random.Random) -> Asked:
        if not self.single():
            return self.at_place(rng)
        seen = rng.choice(self.single())
        side = rng.choice(("left", "right", "above", "below"))
        words = f"to the {side} of" if side in ("left", "right") else side
        question = pick(rng, *SCENE["beside"], spot=words, name=seen.name)
        facts = facts_for(question, (), self.sight, self.vocabulary)
        if len(facts) < 2 or side not in facts[1]:
            return Asked(question, NOT_SURE, "relation", tuple(facts))
        shown = [one for one in self.sight.things if written_in(one, facts[2:])]
        seen_there = listing(shown) if shown else "nothing for certain"
        return Asked(question, f"{words} the {seen.name} i see {seen_there}.", "relation", tuple(facts))

    def else_than(self, rng: random.Random) -> Asked:
        words = [one.name for one, _ in self.sure[: rng.randint(0, 3)]]
        form = rng.choice(ASK["else_than"])
        if "{name}" in form:
            words = words[:1] or ["background"]
        question = form.format(name=words[0] if words else "")
        earlier = () if "{name}" in form or not words else ("what do you see?", f"i see {join(words)}.")
        facts = facts_for(question, earlier, self.sight, self.vocabulary)
        others = [one for one, _ in self.sure if written_in(one, facts[1:])]
        be = "are" if others and others[0].count > 1 else "is"
        answer = f"there {be} also {listing(others)}." if others else "i can make out nothing else."
        return Asked(question, answer, "else", tuple(facts))

    def reading(self, rng: random.Random) -> Asked:
        if rng.random() < 0.12:
            question = pick(rng, *_TEXT["ask"]["reading_one_word"])
            question = pick(rng, *_TEXT["ask"]["one_word"], question=question)
            return self.made(question, "yes." if self.sight.lines or self.sight.blurred else "no.", "writing, one word")
        question = pick(rng, *_TEXT["ask"]["reading"])
        if self.sight.lines or self.sight.blurred:
            answer = writing(self.sight)
        else:
            answer = "i see no writing." if self.sight.reads else NOT_SURE
        return self.made(question, answer, "writing")

    def people(self, rng: random.Random) -> Asked:
        question = pick(rng, *_TEXT["ask"]["people"])
        there = [one for one, _ in self.sure if one.name == "person"]
        answer = f"{phrase(there[0])}. i do not know who that is." if there else "i see no people."
        return self.made(question, answer, "people")

    def clothes(self, rng: random.Random) -> Asked:
        question = pick(rng, *_TEXT["ask"]["clothes"])
        there = [(one, members) for one, members in self.sure if one.name == "person"]
        if not there:
            return self.made(question, "i see no people.", "clothes")
        one, members = there[0]
        colours = clothes(members if one.count > 1 else (one,))
        answer = f"the clothes are {colours}." if colours else "i cannot tell."
        return self.made(question, answer, "clothes")

    def setting(self, rng: random.Random) -> Asked:
        question = pick(rng, *ASK["setting"])
        return self.made(question, surroundings(self.sight) or "i cannot tell.", "setting")

    def background(self, rng: random.Random) -> Asked:
        name = rng.choice(self.sure)[0].name if self.sure else "scene"
        question = pick(rng, *_TEXT["ask"]["background"], name=name)
        seen = stuff(self.sight, without=("person",))
        colours = f"the picture is mostly {join(self.palette[:2])}."
        if "colo" in question:
            answer = f"i cannot tell. {colours}"
        else:
            answer = (
                f"there {'is' if seen[0] in SINGULAR else 'are'} {join(seen)}." if seen else f"i cannot tell. {colours}"
            )
        facts = () if name == "scene" or name not in question else self.made(question, "", "").facts
        return Asked(question, answer, "background", facts)

    def main_colours(self, rng: random.Random) -> Asked:
        return self.made(pick(rng, *ASK["main_colours"]), main_colours(self.palette), "main colours")

    def kind_of(self, rng: random.Random) -> Asked:
        single = [one for one in self.single() if one.name != "person"]
        if not single:
            return self.what(rng)
        seen = rng.choice(single)
        question = pick(rng, *_TEXT["ask"]["kind_of"], name=seen.name)
        answer = f"it looks like {article(seen.finer)} {seen.finer}." if seen.finer else "i cannot tell which kind."
        return self.made(question, answer, "kind")

    def size_of(self, rng: random.Random) -> Asked:
        if not self.single():
            return self.how_many(rng)
        seen = rng.choice(self.single())
        question = pick(rng, *SCENE["size_of"], name=seen.name, be="is")
        return self.made(question, f"the {seen.name} is {seen.size or 'of medium size'} in the picture.", "size")

    def weather(self, rng: random.Random) -> Asked:
        question = pick(rng, *_TEXT["ask"]["weather"])
        scene = self.sight.scene
        answer = (
            "it seems to be night."
            if "night" in scene
            else "it looks like a sunset."
            if "sunset" in scene
            else "there is snow."
            if "snow" in scene
            else "i cannot tell."
        )
        return self.made(question, answer, "weather")

    def unanswerable(self, rng: random.Random) -> Asked:
        if rng.random() < 0.35:
            question = pick(rng, *_TEXT["ask"]["about_people"])
        else:
            while True:
                question = unanswerable(rng, self.present(rng)[2] if self.sure else rng.choice(NOUNS))
                if not re_read(question):
                    break
        return self.made(question, "i do not know.", "unanswerable")

    def unknown(self, rng: random.Random) -> Asked:
        """Questions about a thing for which no vocabulary has a word."""
        word = rng.choice(NOUNS) if rng.random() < 0.6 else rng.choice(self.names)
        kind, words = rng.choice(
            (
                ("presence", {"thing": f"{article(word)} {word}", "things": plural_of(word), "name": word}),
                ("colour_of", {"name": word, "be": "is", "do": "does", "things": plural_of(word)}),
                ("where_is", {"name": word, "be": "is", "things": plural_of(word)}),
                ("how_many_of", {"things": plural_of(word)}),
            )
        )
        question = pick(rng, *ASK[kind], **words)
        facts = facts_for(question, (), self.sight, self.vocabulary)
        if facts and not facts[0].endswith("<unknown>"):
            return self.presence(rng)
        return Asked(question, NOT_SURE, "unknown", tuple(facts))

    def pairs(self, rng: random.Random, number: int) -> list[Asked]:
        """`number` questions of different kinds, often with the long description."""
        found: list[Asked] = []
        if rng.random() < DESCRIBED:
            found = [Asked(detail_request(rng), description(self.sight, self.palette), "description")]
            if rng.random() < CONTINUED:
                found.append(Asked(pick(rng, *ASKING["continue"]), "i can tell no more about this picture.", CONTINUE))
        for kind in rng.choices(list(HOW_OFTEN), list(HOW_OFTEN.values()), k=number - len(found)):
            make: Callable[[random.Random], Asked] = getattr(self, kind)
            made = make(rng)
            if made.question is not None and not made.facts or rng.random() < 0.5:
                varied = reworded(rng, ask(rng, made.question)) if made.question else None
                same = varied is None or tuple(facts_for(varied, (), self.sight, self.vocabulary)) == made.facts
                made = Asked(varied, made.answer, made.kind, made.facts) if same else made
            found.append(made)
        return found


SINGULAR = ("the sky", "the sea", "a beach", "snow", "a forest", "a street", "grass", "water")
SAID_YES = {
    "indoors": "yes, it is indoors.",
    "outdoors": "yes, it is outdoors.",
    "night": "yes, it seems to be night.",
    "sunset": "yes, it looks like a sunset.",
}


def stuff_word(name: str) -> str:
    """A scene word as one says it, or a name with its article."""
    return STUFF.get(name, f"{article(name)} {name}")


def parsed(fact: str) -> tuple[str, str, list[str]]:
    """The word, the mark and the rest of the first looked-up fact."""
    parts = fact.split()[1:]
    at = next((i for i, part in enumerate(parts) if part.startswith("<") and part != "<text>"), len(parts))
    return " ".join(parts[:at]), parts[at] if at < len(parts) else "", parts[at + 1 :]


def written_in(seen: Seen, pieces: Sequence[str]) -> bool:
    """Whether an entry stands among the looked-up facts."""
    from plugins.pocket.sight import written

    return written(seen) in pieces


def re_read(question: str) -> bool:
    """Whether a question that nobody can answer of a composed scene asks for something that a photograph may tell."""
    words = ("text", "written", "writing", "words", "wearing", "weather", "time of day", "season", "day or night",
             "where was the picture taken", "happening", "going on")  # fmt: skip
    return any(word in question for word in words)
