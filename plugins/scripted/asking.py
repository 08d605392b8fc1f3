"""Choose the next question: the unasked topic with the highest score."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from core import nouns
from core.english import wordnet
from core.tasks import NOTHING_NEW, TaskTurn
from plugins.scripted import lexicon
from plugins.scripted.evidence import kind_of, kinds_of, read_evidence
from plugins.scripted.knowledge import Knowledge, NamedThing
from plugins.scripted.reading import UNSURE, read
from plugins.scripted.topics import Topic, topic_of

# The first wording is the plainest; it is used without a seed.
WORDINGS: Final[dict[str, tuple[str, ...]]] = {
    "describe": ("Describe this picture in detail.",),
    "main": ("What is the main thing in this picture?", "What stands out most in this picture?"),
    "else": ("What else is in the picture?", "What else is there?", "What else can you see?"),
    "total": ("How many things are there?", "How many things are in the picture?"),
    "number": ("How many {many} are there?", "How many {many} can you see?"),
    "colour": ("What colour {is} the {thing}?", "Which colour {is} the {thing}?"),
    "place": ("Where {is} the {thing}?", "Where in the picture {is} the {thing}?"),
    "material": ("What {is} the {thing} made of?",),
    "action": ("What {is} the {thing} doing?",),
    "wearing": ("What {is} the {thing} wearing?",),
    "kind": ("What kind of {one} is it?", "What kind of {one} is in the picture?"),
    "background colour": ("What colour is the background?", "Which colour is the background?"),
    "background": ("What is in the background?", "What can be seen in the background?"),
    "setting": ("Is it indoors or outdoors?", "Was this taken indoors or outdoors?"),
    "weather": ("What is the weather like?",),
    "main colours": ("What are the main colours?", "Which are the main colours?"),
    "spot": ("What is {spot} of the picture?",),
    "happening": ("What is happening in this picture?", "What is going on in this picture?"),
    "wording": ("What does the writing say?",),
    "text": ("Is there any writing in the picture?", "Is there any text in the picture?"),
    "presence": ("Is there {a} in the picture?", "Can you see {a} in the picture?"),
}
_SPOTS: Final = ("in the middle", "on the left")


def next_question(
    turns: Sequence[TaskTurn],
    refused: Sequence[str] = (),
    seed: int | None = None,
    told: str = "",
    cannot_tell: Collection[str] = (),
) -> str:
    """The next question, or `NOTHING_NEW`. The same turns and seed give the same question.

    `told`: what the owner of the picture says; it is not asked for, but things that it names are looked for.
    `cannot_tell`: what the vision model never tells (`core.vision.Aspect`); it is not asked for.
    """
    asked = [topic_of(turn.question) for turn in turns] + [topic_of(question) for question in refused]
    done = {topic.key for topic in asked}
    said = {_bare(text) for text in [*(turn.question for turn in turns), *refused]}
    knowledge = learn(turns)
    hopeless = hopeless_kinds(turns).union(*(_NOT_TOLD.get(aspect, ()) for aspect in cannot_tell))
    if turns and told:
        hopeless |= {kind for kind, words in _TOLD_KINDS.items() if words.search(told.lower())}
    chance = random.Random(f"{seed}:{len(turns)}")
    topics = [
        *_candidates(knowledge, turns, asked, scenery="scenery" not in cannot_tell),
        *(_told_things(knowledge, told) if turns else ()),
    ]
    scored = sorted(topics, key=lambda pair: -pair[0])
    for _, topic in scored:
        if topic.kind in hopeless:
            continue
        wordings = list(WORDINGS[topic.kind])
        if seed is not None:
            chance.shuffle(wordings)
        for wording in wordings:
            question = _worded(wording, topic, knowledge)
            repeated = topic.key in done and topic.kind != "else"
            if not repeated and topic_of(question).key not in done - {("else", "", "")} and _bare(question) not in said:
                return question
    return NOTHING_NEW


_TOLD_KINDS: Final = {
    "setting": re.compile(r"\b(?:indoors?|outdoors?)\b"),
    "weather": re.compile(r"\b(?:sunny|rain(?:y|ing)?|snow(?:y|ing)?|cloudy|foggy|storm(?:y)?|weather)\b"),
}
_NOT_TOLD: Final = {
    "action": ("action", "happening"),
    "material": ("material",),
    "weather": ("weather",),
}
_LOOKED_FOR: Final = ("animal", "artifact", "plant", "food")


def _surrounds(thing: NamedThing) -> bool:
    """Whether a thing is the sky, a street or buildings, and no tree or house at a place of its own."""
    return nouns.singular(thing.head) in lexicon.SCENERY and not (thing.places or thing.spread)


def _told_things(knowledge: Knowledge, told: str) -> Iterator[tuple[float, Topic]]:
    """Whether things that the owner names are in the picture, where no answer has named them."""
    known = {nouns.singular(word) for thing in knowledge.things for word in thing.name.split()} | knowledge.absent
    found = 0
    for word in re.findall(r"(?<![\w'’-])[a-z]{3,}(?![\w'’-])", told):
        name = nouns.singular(word)
        if found < 3 and name not in known and any(wordnet.is_mainly(name, kind) for kind in _LOOKED_FOR):
            known.add(name)
            found += 1
            yield 70, Topic("presence", name)


def learn(turns: Sequence[TaskTurn]) -> Knowledge:
    """The knowledge from the certain turns."""
    knowledge = Knowledge()
    for index, turn in enumerate(turns):
        topic = topic_of(turn.question)
        if kind_of(turn):
            if turn.sure:
                read_evidence(knowledge, turn.answer, index)
        elif turn.sure:
            read(knowledge, topic, turn.answer, index)
        elif topic.kind in ("describe", "main") and UNSURE.search(turn.answer.lower()):
            knowledge.unnamed = True
    return knowledge


def hopeless_kinds(turns: Sequence[TaskTurn]) -> set[str]:
    """Kinds of questions that the answerer failed at least twice and never answered."""
    failed: Counter[str] = Counter()
    for turn in turns:
        if kind_of(turn):
            continue
        kind = topic_of(turn.question).kind
        failed[kind] += 1 if not turn.sure or not turn.answer.strip() or UNSURE.search(turn.answer.lower()) else -99
    return {kind for kind, count in failed.items() if count >= 2}


def _candidates(
    knowledge: Knowledge, turns: Sequence[TaskTurn], asked: list[Topic], *, scenery: bool
) -> Iterator[tuple[float, Topic]]:
    """Topics with their scores; the highest comes first. `scenery`: also what surrounds everything is asked about."""
    kinds = Counter(topic.kind for topic in asked)
    witnessed = kinds_of(turns)
    if not turns:
        yield 100, Topic("describe")
        return
    shown = knowledge.shown
    if not shown:
        yield from ((90, Topic("main")), (60, Topic("background")), (55, Topic("presence", "person")))
        yield from ((80 - 2 * rank, Topic("spot", spot)) for rank, spot in enumerate(_SPOTS))
        yield from ((58, Topic("main colours")), (50, Topic("happening")))
        if "text" not in witnessed:
            yield 40, Topic("text")
    for rank, thing in enumerate([*shown, *(t for t in knowledge.things if t.within and not t.denied)]):
        if scenery or not _surrounds(thing):
            yield from _about(thing, knowledge, 6 * rank + (8 if thing.within else 0))
    if shown:
        fresh = any(thing.turn == len(turns) - 1 for thing in knowledge.things)
        if not kinds["else"]:
            yield 77, Topic("else")
        elif kinds["else"] < 3 and fresh and asked[-1].kind == "else":
            yield 71, Topic("else")
        if not witnessed and not knowledge.total and len(shown) > 1 and not any(thing.number for thing in shown):
            yield 64, Topic("total")
        if (
            "things" not in witnessed
            and not any(thing.human for thing in knowledge.things)
            and "person" not in knowledge.absent
        ):
            yield 24, Topic("presence", "person")
        if any(thing.living for thing in shown) and not any(thing.actions for thing in shown) and not kinds["action"]:
            yield 28, Topic("happening")
        if "text" not in witnessed:
            yield 26, Topic("text")
    if not knowledge.background and not knowledge.background_colours:
        yield 68, Topic("background")
    if not knowledge.background_colours and not knowledge.main_colours and not knowledge.background:
        yield 34, Topic("background colour")
    if not knowledge.setting:
        yield 52, Topic("setting")
    if knowledge.setting == "outdoors" and not knowledge.weather:
        yield 25, Topic("weather")
    if not knowledge.main_colours and not knowledge.background_colours and not any(thing.colours for thing in shown):
        yield 44, Topic("main colours")
    if knowledge.writing == "yes":
        yield 72, Topic("wording")


def _about(thing: NamedThing, knowledge: Knowledge, later: int) -> Iterator[tuple[float, Topic]]:
    """Topics about one thing. `later` lowers the score of minor things."""
    if thing.doubtful:
        return
    place = ""
    twins = knowledge.namesakes(thing)
    if twins:
        place = thing.places[0] if thing.places and thing.places[0].split()[0] in ("on", "in", "at") else ""
        if not place or any(place in twin.places for twin in twins):
            return
    name = thing.name
    head = nouns.singular(thing.head)
    if head in lexicon.GENERIC and not (thing.plural or thing.human or (thing.seen and " " in name)):
        yield 88 - later, Topic("kind", nouns.singular(name))
    scenery = head in lexicon.NATURE
    if scenery:
        later += 40
    if not thing.colours and not thing.human:
        yield 82 - later, Topic("colour", name, place)
    if thing.living and not thing.actions:
        yield 79 - later, Topic("action", name, place)
    if thing.plural and not thing.number and not (scenery or nouns.is_mass(thing.head) or twins):
        yield 83 - later, Topic("number", name)
    if thing.within is not None or scenery:
        return
    if not (thing.places or thing.spread) and not any(action.count(" ") for action in thing.actions) and not thing.lost:
        yield 74 - later, Topic("place", name)
    if thing.human and not any("wearing" in action for action in thing.actions):
        yield 66 - later, Topic("wearing", name, place)
    if head in lexicon.ARTEFACTS and not thing.material and not set(thing.adjectives) & lexicon.MATERIALS:
        yield 56 - later, Topic("material", name, place)


def _worded(wording: str, topic: Topic, knowledge: Knowledge) -> str:
    name = nouns.capitalised(topic.subject)
    many = next((thing.plural for thing in knowledge.things if thing.name == topic.subject), False)
    if topic.place:
        name += f" {topic.place}"
    a = nouns.with_article(name) if name else name
    return wording.format(a=a, thing=name, many=name, one=name, spot=name, **{"is": "are" if many else "is"})


def _bare(text: str) -> str:
    return " ".join(text.lower().replace("?", " ").split())
