"""Find what is wrong with what a question asks for: things that nobody named, what is not there, ideas.

    fault_of_content("What colour is the car?", said_in(turns))       # "unnamed", where no answer speaks of a car
    fault_of_content("What is not in the picture?", said_in(turns))   # "negated"
    fault_of_content("What is the main idea?", said_in(turns))        # "vague"

Rules for English. A question may always ask whether something is there ("Is there a car?"), for parts of what was named
and for what belongs to every picture: the sky, the ground, the light.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from agents.claims import words
from agents.claims.known import Known, base_forms
from agents.claims.phrases import Phrase, Token, is_alive, is_ing, is_visible, noun_phrase, singular, tokens
from core.english import wordnet

ContentFault = Literal["negated", "unnamed", "vague"]

_NEGATIONS: Final = words.NEGATIONS - {"hardly", "unable", "neither", "nor"}
_EVERYWHERE: Final = frozenset(
    """sky ground floor wall ceiling light shadow horizon air weather landscape scenery surface place person people
    someone sun cloud camera viewer photographer""".split()
)
# A question with one of these words is about the picture, whatever else it names.
_OF_THE_PICTURE: Final = (
    words.PICTURE | words.PRONOUNS | words.POSSESSIVES | words.PLACE_WORDS.keys() | words.WHERE.keys() | _EVERYWHERE
    | frozenset(
        """there here see visible shown seen show depicted photographed taken colour color colours colors setting
        surroundings weather season time text writing written words mood atmosphere lighting scene foreground background
        noteworthy else thing things object objects wearing someone anyone""".split()
    )
)  # fmt: skip
# Parts by what they are parts of.
_PARTS: Final = {
    "structure": "door window roof chimney entrance stair step balcony gate room facade sign lawn garden yard street",
    "vehicle": "door window wheel seat driver passenger licence license plate headlight engine wing tail gear sail",
    "container": "handle lid rim content saucer liquid drink label spoon steam",
    "furniture": "leg seat drawer cushion handle fabric room blanket pillow",
    "garment": "fabric sleeve collar button pocket pattern",
    "plant": "leaf petal stem branch trunk bloom root pot soil garden",
    "way": "sidewalk pavement lane curb traffic roadside",
    "region": "building street house skyline tower road traffic",
    "water": "shore bank beach wave coast water",
    "food": "bun topping sauce crust filling slice piece plate dish bowl skin peel table",
    "publication": "page cover title heading line letter",
    "instrument": "handle button screen dial hand number label key string",
}
_OWNED: Final = {kind: frozenset(parts.split()) for kind, parts in _PARTS.items()}
_WORN: Final = ("clothing", "jewelry", "footwear", "headdress", "spectacles")
# The first word of a question that may ask whether a thing is there.
_YES_NO: Final = frozenset("is are was were do does did has have".split())
_JOINS: Final = frozenset("about with under behind beside near between".split())  # before a thing that is supposed
# Kinds of what is thought and said; some of them can be seen all the same.
_THOUGHT: Final = ("cognition", "message", "reason", "rational motive")
_SHOWN: Final = frozenset(
    """theme focus subject detail pattern scheme perspective design sign text title heading inscription caption style
    word expression composition view picture photograph photo image scene side type kind look thing point lot bit whole
    palette form list name""".split()
)


def fault_of_content(question: str, known: Known) -> ContentFault | None:
    """What is wrong with what an English question asks for; None if nothing is. `known`: what the answers say."""
    token = tokens(question)
    if _is_negated(token):
        return "negated"
    if _asks_for_a_name(token, known):
        return "vague"
    anchored = not _OF_THE_PICTURE.isdisjoint(one.text for one in token)
    named = 0
    presupposes = bool(token) and token[0].text not in _YES_NO
    for phrase in _phrases(token):
        nouns = _nouns(phrase, token)
        named += bool(nouns)
        if not nouns or not known.said.isdisjoint(nouns):
            anchored = anchored or bool(nouns)
            continue
        if _is_thought(phrase.about):
            return "vague"
        if any(_is_named(noun, known) for noun in nouns):
            anchored = True
        elif (
            phrase.thing
            and not _is_owned(phrase, token, known)
            and (phrase.determiner in words.DEFINITE or (presupposes and _is_supposed(phrase, token)))
        ):
            return "unnamed"
    return None if anchored or not named else "unnamed"


def _is_supposed(phrase: Phrase, token: Sequence[Token]) -> bool:
    """Whether a question takes a thing without an article as there: "... of people wearing red hats"."""
    before = [one.text for one in token[max(phrase.first - 1, 0) : phrase.first]]
    before += [word for word, _ in phrase.modifiers]
    joined = any(word in _JOINS or is_ing(word) for word in before)
    return joined and phrase.determiner in ("a", "an", "")


def _is_owned(phrase: Phrase, token: list[Token], known: Known) -> bool:
    """Whether it is a part of something that was named: "its leg", "the leg of the dog"."""
    if phrase.determiner in words.POSSESSIVES:
        return True
    owner = (
        noun_phrase(token, phrase.last + 1) if phrase.last < len(token) and token[phrase.last].text == "of" else None
    )
    return owner is not None and any(noun in known.said or _is_named(noun, known) for noun in _nouns(owner, token))


def keeps_things(question: str, reworded: str) -> bool:
    """Whether a reworded question is about every thing of the first one, or about something of its kind."""
    things = {phrase.about for phrase in _phrases(tokens(question)) if phrase.thing}
    token = tokens(reworded)
    nouns = {noun for phrase in _phrases(token) for noun in _nouns(phrase, token)}
    return all(any(_are_alike(noun, thing) for noun in nouns) for thing in things)


def _are_alike(noun: str, thing: str) -> bool:
    return noun == thing or wordnet.is_kind_of(noun, thing) or wordnet.is_kind_of(thing, noun)


def _is_negated(token: Sequence[Token]) -> bool:
    """Whether it asks for what is not: "What is not blue?", "Isn't there a dog?"; "or not" does not count."""
    texts = [one.text for one in token]
    return any(
        (text in _NEGATIONS or text.endswith("n't")) and (at == 0 or texts[at - 1] != "or")
        for at, text in enumerate(texts)
    )


def _asks_for_a_name(token: list[Token], known: Known) -> bool:
    """Whether it asks what a thing is that the answers have named: "What is the duck?", "Which cup is this?" """
    texts = [one.text for one in token if one.kind == "word"]
    which = texts[:1] == ["which"] and texts[-1:] in (["this"], ["that"])
    at = 1 if which or texts[:1] == ["what's"] else 2
    if not which and (texts[:1] not in (["what"], ["what's"]) or (at == 2 and texts[1:2] not in (["is"], ["are"]))):
        return False
    phrase = noun_phrase(token, at)
    if phrase is None or phrase.about not in known.said:
        return False
    return which or (phrase.last >= len(texts) and bool(phrase.determiner))


def _phrases(token: list[Token]) -> Iterator[Phrase]:
    at = 0
    while at < len(token):
        phrase = noun_phrase(token, at)
        if phrase is not None:
            yield phrase
        at = max(phrase.last, at + 1) if phrase else at + 1


def _nouns(phrase: Phrase, token: Sequence[Token]) -> list[str]:
    """The nouns of a phrase in the singular; its head the last."""
    spoken = [one.text.removesuffix("'s") for one in token[phrase.first : phrase.last] if one.kind == "word"]
    found = [singular(one) for one in spoken if one not in words.COLOURS]
    return [one for one in found if wordnet.known(one, "n") and one not in words.PICTURE]


def _is_thought(about: str) -> bool:
    """Whether a noun means an idea, a reason or a message, which no picture shows."""
    return about not in _SHOWN and not is_visible(about) and any(wordnet.is_mainly(about, kind) for kind in _THOUGHT)


def _is_named(about: str, known: Known) -> bool:
    """Whether the answers name a thing, something of its kind, or something that it is a part of."""
    if about in _EVERYWHERE:
        return True
    if base_forms(about) & known.denied:
        return False
    if known.has(about, hedged=True):
        return True
    things = {one for one in known.said if wordnet.known(one, "n")} - words.NO_THINGS
    if any(wordnet.is_kind_of(about, one) for one in things):
        return True
    if wordnet.is_kind_of(about, "body part") and any(is_alive(one) for one in things):
        return True
    worn = any(wordnet.is_kind_of(about, kind) for kind in _WORN)
    if worn and any(wordnet.is_mainly(one, "person") for one in things):
        return True
    return any(
        about in parts and any(wordnet.is_kind_of(one, owner) for one in things) for owner, parts in _OWNED.items()
    )
