"""Write the summary: fluent sentences that state the known facts and nothing else."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from core import nouns
from core.english import wordnet
from core.tasks import TaskTurn
from plugins.scripted import lexicon
from plugins.scripted.asking import learn
from plugins.scripted.knowledge import Knowledge, NamedThing

MOST_IN_ONE_SENTENCE = 3
MOST_LINES = 3  # of text that are quoted
# Materials that precede a noun unchanged: a wicker basket, but a table made of wood.
_BEFORE_NOUNS = frozenset(
    "wicker metal plastic leather stone brick glass concrete bamboo ceramic marble steel wooden".split()
)


def summarise(turns: Sequence[TaskTurn], seed: int | None = None) -> str:
    """A description from the certain turns. The same turns and seed give the same text."""
    return Summary(learn(turns), random.Random(f"{seed}:summary") if seed is not None else None).text()


class Summary:
    """Turns facts into the sentences of one description."""

    def __init__(self, knowledge: Knowledge, chance: random.Random | None) -> None:
        self.known = knowledge
        self.chance = chance
        self.background_stated = False
        self.things = sorted((t for t in knowledge.shown if not self._mentioned_elsewhere(t)), key=lambda t: t.doubtful)

    def text(self) -> str:
        """All sentences."""
        sentences = [*self._things(), *self._details(), *self._scene()]
        if not self.things:
            sentences = [*self._nothing_named(bool(sentences)), *sentences]
        return " ".join(_sentence(sentence) for sentence in sentences)

    def _mentioned_elsewhere(self, thing: NamedThing) -> bool:
        """Whether only the name of a thing is known, and another thing's phrase mentions it."""
        if thing.colours or thing.number or thing.places or thing.parts or thing.actions or thing.material:
            return False
        others = [other for other in self.known.shown if other is not thing]
        stated = " ".join(text for other in others for text in (*other.places, *other.parts, *other.actions))
        return f" {thing.name} " in f" {stated} "

    def _pick(self, *wordings: str) -> str:
        return self.chance.choice(wordings) if self.chance else wordings[0]

    # -- what there is --

    def _things(self) -> list[str]:
        if not self.things:
            return []
        total = self._total()
        lead = self.things if total else [thing for thing in self.things if thing.turn == self.things[0].turn]
        if len(lead) > MOST_IN_ONE_SENTENCE + 1:
            lead = lead[:MOST_IN_ONE_SENTENCE]
        rest = [thing for thing in self.things if thing not in lead]
        phrases = [self._phrase(thing) for thing in lead]
        background = self._background_phrase()
        if total and len(phrases) > 1 and not rest:
            first = (
                f"{self._pick('the picture shows', 'there are')} {total} things{background}: {lexicon.listed(phrases)}"
            )
        elif len(lead) == 1 and lead[0].spread and not lead[0].places:
            opener = self._pick("the picture shows", "this is a picture of", "this picture shows")
            groups = lexicon.listed([" ".join(group) for group in lead[0].spread])
            first = f"{opener} {phrases[0]}, {groups}"
            lead[0].spread, background = [], ""
        elif len(phrases) > 1 or len(phrases[0].split()) > 9:
            opener = self._pick("the picture shows", "in this picture there " + self._be(lead[0]), "this picture shows")
            first = f"{opener} {_joined(phrases)}{', all' if background and len(phrases) > 2 else ''}{background}"
        else:
            comma = "," if background and lead[0].places else ""
            opener = self._pick("the picture shows", "this is a picture of", "this picture shows")
            first = f"{opener} {phrases[0]}{comma}{background}"
        self.background_stated = bool(background)
        sentences = [first]
        for at in range(0, len(rest), MOST_IN_ONE_SENTENCE):
            part = rest[at : at + MOST_IN_ONE_SENTENCE]
            openers = (f"there {self._be(part[0])} also", "it also shows")
            also = openers[at // MOST_IN_ONE_SENTENCE % 2] if len(rest) > MOST_IN_ONE_SENTENCE else self._pick(*openers)
            sentences.append(f"{also} {_joined([self._phrase(thing) for thing in part])}")
        return sentences

    @staticmethod
    def _be(thing: NamedThing) -> str:
        return "are" if thing.plural else "is"

    def _total(self) -> str:
        """The number of things, if it agrees with the list."""
        count = sum(_value(thing.number) or (1 if not thing.plural else 99) for thing in self.things)
        known = _value(self.known.total)
        return self.known.total if not self.known.other_total and known == count else ""

    def _phrase(self, thing: NamedThing) -> str:
        """ "a yellow duck on the left": everything about a thing that fits into one phrase."""
        text = self._noun(thing)
        if thing.doubtful:
            text = f"what may be {text}" if len(self.things) == 1 else f"possibly {text}"
        details = [*thing.parts[:2], *thing.actions[:1], *self._places(thing)]
        for detail in sorted(details, key=lambda detail: self._said_at(thing, detail)):
            text += " " + self._inner(detail, thing)
        if thing.other_name and not thing.seen:
            text += f", perhaps {nouns.capitalised(thing.other_name)}"
        return text

    @staticmethod
    def _said_at(thing: NamedThing, detail: str) -> tuple[int, int]:
        """Order within the phrase: parts, actions, places, then the position in the frame."""
        short = detail.startswith(("on the ", "in the ", "at the ")) and len(detail.split()) <= 4
        rank = 3 if short else 0 if detail in thing.parts else 1 if detail in thing.actions else 2
        if detail.startswith("in ") and thing.human and not short:
            rank = 0  # "in a red dress"
        return rank, len(detail)

    def _noun(self, thing: NamedThing) -> str:
        colours = self._colours(thing)
        name = nouns.capitalised(thing.name)
        described = [word for word in thing.adjectives if word not in lexicon.MATERIALS][:2]
        made = [word for word in thing.adjectives if word in lexicon.MATERIALS][:1]
        if thing.material in _BEFORE_NOUNS & lexicon.MATERIALS and not (described or made or " of " in name):
            colours = f"{colours} {thing.material}".strip()
        text = " ".join(part for part in [*described, colours, *made, name] if part)
        if thing.number == "one" or not thing.number:
            if thing.article == "some":
                return f"some {text}"
            if text in lexicon.UNIQUE:
                return f"the {text}"
            several = nouns.is_plural(thing.head) and wordnet.base(thing.head, "n") not in ("", thing.head)
            uncounted = several or (thing.article != "a" and (thing.plural or nouns.is_mass(thing.head)))
            return text if uncounted else nouns.with_article(text)
        if not nouns.is_plural(thing.head):
            text = re.sub(rf"\b{re.escape(thing.head)}\b", nouns.plural(thing.head), text, count=1)
        return f"{thing.number} {text}"

    @staticmethod
    def _colours(thing: NamedThing) -> str:
        if thing.other_colours:
            return " or ".join([thing.colours[0], thing.other_colours[0]])
        single = dict.fromkeys(one for colour in thing.colours for one in colour.split(" and "))
        return lexicon.listed(list(single)[:3])

    def _inner(self, phrase: str, host: NamedThing) -> str:
        """A place, part or action, with later facts about the things named in it."""
        for thing in self.known.things:
            if thing.within is not host or f" {thing.name}" not in f" {phrase}":
                continue
            extra = [c for c in thing.colours if c not in thing.stated] if not thing.other_colours else []
            number = thing.number if thing.number and thing.number not in thing.stated else ""
            added = " ".join(part for part in [number, lexicon.listed(extra)] if part)
            if added and not set(thing.stated & lexicon.COLOURS):
                name = rf"\b(?:(an?|one) )?{re.escape(thing.name)}\b"
                fuller = f"{added} {thing.name}"
                counted = bool(thing.number) or not re.search(rf"\b(?:an?|one) {re.escape(thing.name)}\b", phrase)
                phrase = re.sub(name, fuller if counted else nouns.with_article(fuller), phrase, count=1)
                thing.stated |= {*extra, number}
        return nouns.capitalised(phrase)

    def _places(self, thing: NamedThing) -> list[str]:
        """Places that the action does not mention."""
        stated = " ".join(thing.actions[:1])
        return [place for place in thing.places[:2] if place.split()[-1] not in stated.split()]

    def _background_phrase(self) -> str:
        if not self.known.background_colours or self.known.background or any(t.doubtful for t in self.things):
            return ""
        return f" on {nouns.with_article(lexicon.listed(self.known.background_colours[:2]))} background"

    # -- further facts --

    def _details(self) -> list[str]:
        sentences = []
        for thing in [t for t in self.known.things if not t.denied and not t.doubtful]:
            stated: list[str] = []
            name = nouns.capitalised(thing.name)
            if self.known.namesakes(thing):
                name = f"{thing.colours[0]} {name}" if thing.colours and not thing.other_colours else ""
            if not name:
                continue
            if thing.within is not None:
                left = [c for c in thing.colours if c not in thing.stated]
                stated += [lexicon.listed(left)] if left and not thing.other_colours else []
                stated += thing.actions[:1]
            else:
                stated += [nouns.capitalised(action) for action in thing.actions[1:3]]
            beside = thing.adjectives or thing.within is not None or " of " in name
            if thing.material and (beside or thing.material not in _BEFORE_NOUNS):
                stated.append(f"made of {thing.material}")
            if stated:
                sentences.append(f"the {name} {self._be(thing)} {lexicon.listed(stated)}")
        return [
            *self._spread(),
            *sentences,
            *(f"{self._counted(text)} can be made out in all" for text in self.known.in_all),
        ]

    def _spread(self) -> list[str]:
        """ "of the three dogs, one is on the left and two are in the middle"."""
        sentences = []
        for thing in (thing for thing in self.things if thing.spread and not thing.places):
            groups = [f"{number} {'is' if number == 'one' else 'are'} {place}" for number, place in thing.spread]
            number = "" if thing.number.startswith("about") else f"{thing.number} "
            sentences.append(f"of the {number}{nouns.capitalised(self._plural_name(thing))}, {lexicon.listed(groups)}")
        return sentences

    @staticmethod
    def _plural_name(thing: NamedThing) -> str:
        before, space, head = thing.name.rpartition(" ")
        return thing.name if " of " in thing.name else f"{before}{space}{nouns.plural(head)}"

    @staticmethod
    def _counted(text: str) -> str:
        before, _, head = text.rpartition(" ")
        return f"{before} {nouns.plural(head)}"

    # -- the scene --

    def _scene(self) -> list[str]:
        known = self.known
        sentences = []
        seen = {word for thing in self.things for word in (*thing.name.split(), *" ".join(thing.places).split())}
        background = [item for item in known.background if item.split()[-1] not in seen]
        where = f"{'seems to be' if known.setting_is_a_guess else 'is'} {known.setting}" if known.setting else ""
        if background:
            items = [phrase_with_article(nouns.capitalised(item)) for item in background[:3]]
            be = "are" if nouns.is_plural(re.split(r" (?:with|of|in|on) ", background[0])[0].split()[-1]) else "is"
            sentences.append(
                self._pick(
                    f"in the background there {be} {lexicon.listed(items)}",
                    f"behind {self._them()} {be} {lexicon.listed(items)}",
                )
            )
        elif known.background_colours and not self.background_stated:
            sentences.append(f"the background is {lexicon.listed(known.background_colours[:3])}")
        mood = f"the weather is {known.weather}" if known.weather and known.setting != "indoors" else ""
        colours = self._main_colours()
        if where and colours and not self.things:
            sentences.insert(0, f"it {where}, and {colours}")
        else:
            sentences += [f"the scene {where}{f', and {mood}' if mood else ''}"] if where else [mood] if mood else []
            sentences += [colours] if colours else []
        if known.lines:
            sentences.append(self._quoted(known.lines, known.more_lines))
        elif known.writing == "yes":
            sentences.append("there is some writing in it")
        elif known.writing:
            sentences.append(f'the words "{known.writing}" can be read')
        return sentences

    def _quoted(self, lines: list[str], more: int) -> str:
        """What can be read: the first lines, and how many follow."""
        shown = [f'"{line}"' for line in lines[:MOST_LINES]]
        more += len(lines) - len(shown)
        signs = [thing.name for thing in self.things if thing.head == "sign" and not thing.plural]
        if len(signs) == 1 and len(lines) == 1 and not more:
            return f"the {signs[0]} reads {shown[0]}"
        if more:
            return f"among other things it says {lexicon.listed(shown)}"
        return self._pick(f"it says {lexicon.listed(shown)}", f"{lexicon.listed(shown)} can be read in it")

    def _them(self) -> str:
        return "it" if len(self.things) == 1 and not self.things[0].plural else "them"

    def _main_colours(self) -> str:
        """A clause about the overall colours, unless things and background already state them."""
        stated = {colour for thing in self.things for colour in thing.colours} | set(self.known.background_colours)
        new = [colour for colour in self.known.main_colours if colour not in stated]
        if not new:
            return ""
        colours = self.known.main_colours[:3]
        return f"the main colour{'s are' if len(colours) > 1 else ' is'} {lexicon.listed(colours)}"

    def _nothing_named(self, more: bool) -> list[str]:
        if not more and not self.known.unnamed:
            return ["nothing certain could be learned about this picture"]
        return [
            self._pick(
                "what this picture shows could not be told for certain", "it stayed unclear what this picture shows"
            )
        ]


def _value(number: str) -> int:
    return lexicon.COUNTS.index(number) if number in lexicon.COUNTS else 0


def phrase_with_article(text: str) -> str:
    """ "a lake" for "lake"; unchanged with a determiner, or if none is needed."""
    first, last = text.split()[0], text.split()[-1]
    if first in lexicon.DETERMINERS or first in lexicon.NUMBERS or nouns.is_plural(last) or nouns.is_mass(last):
        return text
    return nouns.with_article(text)


def _joined(phrases: list[str]) -> str:
    """A list, with a comma before "and" if its parts contain "and"."""
    if len(phrases) > 1 and any(" and " in phrase for phrase in phrases):
        return f"{', '.join(phrases[:-1])}, and {phrases[-1]}"
    return lexicon.listed(phrases)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
