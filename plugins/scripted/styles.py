"""Write other texts than a description from the same facts: alt text, one sentence, tags, a training caption.

    write_style(task)       # the task names the style, its purpose and the characters it may have

A text is put together from the most important facts down, as long as it fits, so nothing has to be cut. What is most
important depends on the purpose of an alt text: on a page that sells a mug, the mug comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from core import nouns
from core.english import wordnet
from core.nouns import singular
from core.tasks import KEYWORDS, OWNER, Task
from core.text import sentences, shortened
from plugins.scripted import lexicon
from plugins.scripted.asking import learn
from plugins.scripted.knowledge import Knowledge, NamedThing
from plugins.scripted.phrases import is_verb_in_ing
from plugins.scripted.writing import MOST_LINES, Summary, phrase_with_article, summarise

ANY_LENGTH: Final = 10_000
MOST_THINGS: Final = 4  # in an alt text
_FRAME: Final = frozenset("left right middle top bottom foreground centre center corner picture image".split())
_PEOPLE: Final = frozenset(
    "profile portrait staff team author contact biography avatar headshot speaker member employee who".split()
)
_PLACES: Final = frozenset(
    "travel tourism hotel landscape location place room estate rental venue map destination where".split()
)
_PURPOSE_WORDS: Final = frozenset("product page shop website web site article blog post news picture photo".split())


def write_style(task: Task, seed: int | None = None) -> str:
    """The text of the task's style; tags one a line. "" if nothing is known."""
    turns = [turn for turn in task.turns if turn.answered_by != OWNER]
    said = [one for turn in task.turns if turn.answered_by == OWNER for one in sentences(turn.answer)]
    told = " ".join(one for one in said if not one.startswith(KEYWORDS))
    keywords = [word for one in said if one.startswith(KEYWORDS) for word in one[len(KEYWORDS) : -1].split(", ")]
    most = task.most or ANY_LENGTH
    writer = _Writer(learn(turns), task.purpose)
    match task.style:
        case "alt":
            return writer.alt(most, told)
        case "short":
            return writer.short(most)
        case "tags":
            return "\n".join(dict.fromkeys([*_names(told), *keywords, *writer.tags()]))
        case "prompt":
            return writer.prompt(most)
    return shortened(" ".join([*sentences(told), summarise(turns, seed)]), most)


class _Writer(Summary):
    """Phrases of a summary, put together in other ways."""

    def __init__(self, knowledge: Knowledge, purpose: str = "") -> None:
        super().__init__(knowledge, None)
        self.purpose = {singular(word.strip(".,;:'\"()").lower()) for word in purpose.split()} - _PURPOSE_WORDS
        sure = [thing for thing in self.things if not thing.doubtful]
        self.things = sorted(sure or self.things, key=lambda thing: (not self._matters(thing), thing.doubtful))
        self.alone = len(self.things) == 1

    # --- what matters ---------------------------------------------------------------------------------------------

    def _matters(self, thing: NamedThing) -> bool:
        """Whether a thing is what the purpose is about."""
        if thing.human and self.purpose & _PEOPLE:
            return True
        names = {singular(word) for word in thing.name.split()}
        if names & self.purpose:
            return True
        head = singular(thing.head)
        return any(
            wordnet.known(word, "n") and (wordnet.is_mainly(head, word) or wordnet.is_mainly(word, head))
            for word in self.purpose
        )

    @property
    def _about_place(self) -> bool:
        return bool(self.purpose & _PLACES)

    # --- phrases --------------------------------------------------------------------------------------------------

    def _fuller(self, thing: NamedThing) -> list[str]:
        """The phrase of a thing, from the fullest to the barest."""
        noun = self._noun(thing)
        if thing.doubtful:
            noun = f"possibly {noun}"
        details = [
            detail
            for detail in (*thing.parts[:2], *thing.actions[:1], *self._places(thing))
            if not self._is_frame(detail, thing)
        ]
        ordered = sorted(details, key=lambda detail: self._said_at(thing, detail))
        phrases = [" ".join([noun, *(self._inner(one, thing) for one in ordered[:count])]) for count in (3, 2, 1, 0)]
        if thing.material and f" {thing.material}" not in f" {phrases[0]}" and self._matters(thing):
            phrases.insert(0, f"{phrases[0]}, made of {thing.material}")
        return list(dict.fromkeys([*phrases, self._bare(thing)]))

    def _bare(self, thing: NamedThing) -> str:
        """The thing with its number alone."""
        name = nouns.capitalised(thing.name)
        if thing.number and thing.number != "one":
            return f"{thing.number} {self._plural_name(thing)}"
        if thing.plural or nouns.is_mass(thing.head):
            return name
        return nouns.with_article(name)

    def _is_frame(self, detail: str, thing: NamedThing) -> bool:
        """Whether a detail is only a position in the frame, and does not tell two things apart."""
        last = detail.split()[-1]
        return last in _FRAME and len(detail.split()) <= 4 and not self.known.namesakes(thing)

    def _lead(self) -> list[NamedThing]:
        """The things of the main clause: those that matter, else all, those that were named first before others."""
        wanted = [thing for thing in self.things if self._matters(thing)] if self.purpose else []
        if wanted:
            return wanted[:MOST_THINGS]
        heads = {singular(thing.head) for thing in self.things}
        said = {"plant"} if heads & {"tree", "grass", "forest", "bush"} else set()  # trees are plants
        if any(head != "building" and wordnet.is_mainly(head, "building") for head in heads):
            said.add("building")  # so is a castle
        shown = [thing for thing in self.things if singular(thing.head) not in said]
        # The sky comes last, or nobody would take it for the subject.
        return sorted(shown, key=lambda thing: (singular(thing.head) == "sky", thing.turn))[:MOST_THINGS]

    def _surroundings(self, *, sparse: bool = False) -> Iterator[str]:
        """What is behind the things, and where it is. `sparse`: without what the things say already."""
        named = {word for thing in self.things for word in (*thing.name.split(), *" ".join(thing.places).split())}
        behind = [item for item in self.known.background if item.split()[-1] not in named]
        setting = "" if self.known.setting_is_a_guess else self.known.setting
        if behind:
            items = [phrase_with_article(nouns.capitalised(item)) for item in behind[:2]]
            yield f"with {lexicon.listed(items)} in the background"
        elif self.known.background_colours and self.things and not (sparse and (setting or not self.alone)):
            yield f"on {nouns.with_article(lexicon.listed(self.known.background_colours[:2]))} background"
        everywhere = {singular(word) for word in named | {item.split()[-1] for item in behind}}
        if setting and not (sparse and setting == "outdoors" and everywhere & _OUTSIDE):
            sky = self.known.weather if setting == "outdoors" else ""
            yield f"{setting}{f' in {sky} weather' if sky in _WEATHER else ''}"

    def _lines(self) -> list[str]:
        lines = list(self.known.lines)
        if not lines and self.known.writing not in ("", "yes"):
            lines = [self.known.writing]
        return [f'"{line}"' for line in lines if '"' not in line]

    # --- texts ----------------------------------------------------------------------------------------------------

    def clause(self, most: int) -> str:
        """The main things in one phrase of at most `most` characters, as full as it fits; "" without things."""
        lead = self._lead()
        for count in range(len(lead), 0, -1):
            phrases = [self._fuller(thing) for thing in lead[:count]]
            for level in range(max(map(len, phrases), default=0)):
                text = self._composed(lead, [one[min(level, len(one) - 1)] for one in phrases])
                if len(text) <= most:
                    return text
        return ""

    @staticmethod
    def _composed(lead: Sequence[NamedThing], phrases: Sequence[str]) -> str:
        """ "a person and a dog, with sky and a sea in view", "a landscape with sky and mountains", else a list."""
        scenery = [singular(thing.head) in _SCENERY for thing in lead[: len(phrases)]]
        view = singular(lead[0].head) in _VIEWS
        main = [phrase for phrase, far in zip(phrases, scenery, strict=True) if not far]
        far = [phrase for phrase, far in zip(phrases, scenery, strict=True) if far]
        alive = any(thing.living for thing in lead[: len(phrases)])
        if main and (len(far) > 1 or (far and alive)):
            return f"{_joined(main)}, with {_joined(far)} in view"
        if not main and view and len(far) > 1:
            return f"{phrases[0]} with {_joined(phrases[1:])}"
        return _joined(phrases)

    def alt(self, most: int, told: str) -> str:
        """The main things, then writing, other things and surroundings, in one or two sentences."""
        room = most - 1  # for the full stop
        before = ""
        if told:
            before = shortened(sentences(told)[0].rstrip("."), room if not self.things else max(30, room * 3 // 5))
            before += ": " if before else ""
        text = self.clause(room - len(before))
        if not text:
            return _sentence(before.rstrip(": ") or self._unnamed(room))
        text = before + text
        product = bool(self.purpose) and not self._about_place and any(map(self._matters, self.things))
        # Who looks for a mug does not ask for the room.
        around = [] if product else list(self._surroundings(sparse=True))
        reading = self._reading(room - len(text), apart=", with " in text or bool(self.known.background))
        steps = (around, [reading]) if self._about_place else ([reading], around)
        kept: list[str] = []
        for part in (part for step in steps for part in step if part):
            if len(text) + sum(map(len, kept)) + len(part) + 2 <= room:
                kept.append(part)
        kept.sort(key=lambda part: part == reading)
        return _sentence(text + "".join(part if part == reading else _attached(part) for part in kept))

    def _reading(self, room: int, *, apart: bool) -> str:
        """The lines of writing that fit; `apart`: as a sentence."""
        lines = self._lines()
        for count in range(min(len(lines), MOST_LINES), 0, -1):
            text = f"{'. The text reads' if apart else ', with the text'} {lexicon.listed(lines[:count])}"
            if len(text) <= room:
                return text
        return ""

    def _unnamed(self, room: int) -> str:
        """What can be said where no thing was named: the writing, the surroundings, the colours."""
        lines = self._lines()
        for count in range(min(len(lines), MOST_LINES), 0, -1):
            text = f"text that reads {lexicon.listed(lines[:count])}"
            if len(text) <= room:
                return text
        behind = [phrase_with_article(nouns.capitalised(item)) for item in self.known.background[:2]]
        if behind:
            return lexicon.listed(behind)
        colours = lexicon.listed((self.known.main_colours or self.known.background_colours)[:3])
        return f"unclear subject in {colours}" if colours else ""

    def short(self, most: int) -> str:
        """One sentence about the main things, and where they are."""
        text = self.clause(most - 1) or self._unnamed(most - 1)
        for part in self._surroundings(sparse=True) if text and self.things else ():
            more = _attached(part)
            text += more if len(text) + len(more) < most else ""
        return _sentence(text)

    def prompt(self, most: int) -> str:
        """Phrases between commas, the main things first, as captions for training have them."""
        parts = [self.clause(most)]
        parts += [self._bare(thing) for thing in self.things if thing not in self._lead()]
        parts += self._surroundings()
        lines = self._lines()
        parts += [f"text that reads {lexicon.listed(lines[:3])}"] if lines else []
        text = ""
        for part in filter(None, parts):
            more = f", {part}" if text else part
            text += more if len(text) + len(more) <= most else ""
        return text or self._unnamed(most)

    def tags(self) -> Iterator[str]:
        """Names of things, what they do, what is around them, the setting; each in its base form."""
        for thing in self.things:
            if thing.doubtful:
                continue
            yield _base_name(thing.name)
            if thing.living or " of " in thing.name:
                yield singular(thing.head)
                yield _base_name(thing.name.split(" of ")[0])
            if thing.colours and not thing.other_colours:
                yield f"{thing.colours[0]} {_base_name(thing.name)}"
        for thing in self.known.things:
            if thing.within is not None and not (thing.denied or thing.doubtful):
                yield _base_name(thing.name)
            if not (thing.denied or thing.doubtful):
                yield from (action.split()[0] for action in thing.actions[:1] if is_verb_in_ing(action.split()[0]))
        for item in self.known.background:
            yield _base_name(item.split(" of ")[0].split(" with ")[0])
        if self.known.setting and not self.known.setting_is_a_guess:
            yield self.known.setting
        if self.known.weather and self.known.setting != "indoors":
            yield self.known.weather
        if self._lines():
            yield "text"
        yield from self.known.background_colours[:1] if not self.things else ()


_VIEWS: Final = frozenset({"landscape", "seascape", "cityscape", "view", "scenery"})
_SCENERY: Final = lexicon.NATURE - {"leaf", "room"} | _VIEWS | {"building"}
_OUTSIDE: Final = lexicon.NATURE - {"room", "plant", "rock", "leaf", "water", "ground", "sun", "bush"} | {"landscape"}
_NAME: Final = re.compile(r"(?<![\w'’-])[A-Z][\w’-]*(?: [A-Z][\w’-]*)*")
_WEATHER: Final = frozenset("sunny cloudy rainy snowy foggy windy stormy clear overcast".split())


def _names(told: str) -> list[str]:
    """The names in what the owner told: "Mira", "San Francisco"."""
    found = []
    for sentence in sentences(told):
        for name in _NAME.finditer(sentence):
            word = name[0].lower()
            uses = wordnet.uses(word).keys()
            common = word in lexicon.DETERMINERS | lexicon.PRONOUNS or "a" in uses or (uses and not name.start())
            if " " in name[0] or not common:
                found.append(name[0])
    return found


def _attached(part: str) -> str:
    """What follows a clause: "outdoors" after a comma, "with trees in the background" without one."""
    return f" {part}" if part.startswith(("with ", "on ")) else f", {part}"


def _base_name(name: str) -> str:
    before, space, head = name.rpartition(" ")
    return f"{before}{space}{singular(head)}"


def _joined(phrases: Sequence[str]) -> str:
    if len(phrases) > 1 and any(" and " in phrase or "," in phrase for phrase in phrases):
        return f"{', '.join(phrases[:-1])}, and {phrases[-1]}"
    return lexicon.listed(list(phrases))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." if text else ""
