"""What the certain answers of a dialogue say: things, numbers, colours, places, text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from agents.claims import words
from agents.claims.extract import extract_claims
from agents.claims.phrases import Token, is_alive, singular, tokens
from core.english import wordnet
from core.records import Turn
from core.text import sentences

_LABEL: Final = re.compile(r"(?:Frame|Scene) \d{1,6}[^:]{0,40}: ")
_PARTS: Final[tuple[wordnet.Part, ...]] = ("n", "v", "a", "r")
_YES_NO: Final = re.compile(r"(?:is|are|was|were|does|do|did|has|have|can|could) ")
_NO: Final = frozenset({"no", "nope", "none", "nothing"})
_ASKS: Final = words.PICTURE | frozenset({"question", "answer", "detail", "describe", "thing", "writing", "colour"})
# What else a thing is called that WordNet does not have as a synonym or a kind.
_ALIKE: Final = {
    "person": "individual figure someone human subject people", "people": "individual figure crowd group",
    "dressed": "clothing clothes outfit attire garment", "wearing": "clothing clothes outfit attire garment",
    "tv": "television screen", "phone": "cellphone smartphone telephone", "cell phone": "cellphone smartphone phone",
    "sea": "ocean water", "river": "water", "plant": "greenery vegetation foliage plant",
    "tree": "greenery vegetation foliage", "grass": "greenery vegetation", "airplane": "plane aircraft",
    "couch": "sofa", "street": "road", "road": "street", "flower": "bloom blossom", "meadow": "field", "boy": "kid",
    "girl": "kid", "animal": "creature", "sidewalk": "pavement", "tap": "faucet", "letter": "text writing",
    "word": "text writing", "writing": "text word letter lettering inscription", "photograph": "photo picture image",
    "background": "backdrop", "lamp": "light", "rug": "carpet", "cup": "mug", "mug": "cup", "jar": "container",
    "glasses": "eyeglasses spectacles", "trousers": "pants", "pants": "trousers", "snow": "snowy", "cloud": "cloudy",
    "fur": "coat", "says": "sign", "pot": "planter", "desk": "table", "cabinet": "cupboard", "cupboard": "cabinet",
    "surfboard": "board surfer surf surfing", "skateboard": "board skater skateboarder", "ski": "skier",
    "horse": "rider horseman", "bicycle": "bike cyclist biker", "motorcycle": "motorbike motorcyclist biker",
    "mountain": "peak landscape scenery", "lake": "water landscape", "hill": "landscape", "field": "meadow landscape",
    "couple": "two", "two": "couple pair", "outdoors": "outside outdoor", "indoors": "inside indoor interior",
    "text": "writing word letter lettering inscription", "sunny": "sun sunlight sky", "cloudy": "cloud sky",
    "crowd": "people spectator onlooker audience", "bright": "sunlight", "eat": "graze feed",
    "eating": "grazing feeding", "asleep": "sleep nap", "happy": "smile", "approach": "arrive", "bride": "couple",
    "groom": "couple", "dress": "gown", "fish": "rod",
}  # fmt: skip
_ALL_ALIKE: Final = {word: frozenset(others.split()) for word, others in _ALIKE.items()}


_MEALS: Final = frozenset("dessert meal dish snack treat food".split())
_OF_THE_BODY: Final = frozenset("hand arm face head body fur".split())  # who is there has one


@dataclass(slots=True)
class Known:
    """What was said, by turn; words in their base forms."""

    said: set[str] = field(default_factory=set)
    """Words of the answers, and of the questions that were not answered by "no"."""
    hedged: set[str] = field(default_factory=set)
    """Words of uncertain parts, which a summary may repeat as uncertain."""
    denied: set[str] = field(default_factory=set)
    letters: str = ""
    """Letters and digits of all answers, for the comparison of quotations."""
    numbers: set[str] = field(default_factory=set)
    counts: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    colours: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    places: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    materials: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    above: dict[tuple[str, bool], tuple[int, set[int]]] = field(default_factory=dict)

    def has(self, word: str, *, hedged: bool = False, parts: tuple[wordnet.Part, ...] = _PARTS) -> bool:
        """Whether a word, a synonym or something of its kind was said; `parts`: the parts of speech it may be."""
        said = self.said | self.hedged if hedged else self.said
        forms = base_forms(word)
        if forms & _MEALS and any(wordnet.is_kind_of(one, "food") for one in self.said):
            return True
        if forms & _OF_THE_BODY and any(is_alive(one) for one in self.said):
            return True
        if forms & said or any(forms & _ALL_ALIKE[one] for one in said & _ALL_ALIKE.keys()):
            return True
        return any(wordnet.synsets(form, part) & self._kinds(part, hedged) for form in forms for part in parts)

    def _kinds(self, part: wordnet.Part, hedged: bool) -> set[int]:
        """The synsets of all that was said, and those above them."""
        said = self.said | self.hedged if hedged else self.said
        if (part, hedged) not in self.above or self.above[part, hedged][0] != len(said):
            found = {synset for one in said for synset in wordnet.kinds(one, part) | wordnet.derived(one)}
            self.above[part, hedged] = len(said), found
        return self.above[part, hedged][1]

    def total(self, kind: str) -> int:
        """How many of a kind there are in all, where nobody says it: two zebras and a giraffe are three animals."""
        if kind in self.counts:
            return 0
        return sum(max(counts) for one, counts in self.counts.items() if one == kind or wordnet.is_kind_of(one, kind))

    def of(self, table: dict[str, set[int]] | dict[str, set[str]], about: str) -> set[object]:
        """What a table has for a thing, or for what is the same or of its kind."""
        return {
            value
            for one, values in table.items()
            if one == about or wordnet.is_kind_of(one, about) or about in _ALL_ALIKE.get(one, ())
            for value in values
        }


def base_forms(word: str) -> set[str]:
    """A word in lower case with its base forms: "sitting" -> {"sitting", "sit"}."""
    word = word.lower()
    found = {word, singular(word), *(wordnet.base(word, part) for part in _PARTS)} - {""}
    return {words.SAME_COLOUR.get(one, one) for one in found}


def said_in(turns: Sequence[Turn]) -> Known:
    """What the certain ones of these turns say."""
    known = Known()
    for turn in turns:
        read_turn(known, turn)
    return known


def read_turn(known: Known, turn: Turn) -> None:
    """Add what one turn says, if it is certain."""
    if turn.certainty == "sure":
        _read(known, _LABEL.sub("", turn.question), turn.answer)


def _read(known: Known, question: str, answer: str) -> None:
    """Add one question and its answer."""
    token = tokens(answer)
    known.letters += f" {letters(answer)}"
    first = {one.text for one in tokens(next(iter(sentences(answer)), ""))}
    denies = bool(token) and (
        token[0].text in _NO or (bool(first & words.NEGATIONS) and _YES_NO.match(question.lower()) is not None)
    )
    asked = {form for one in tokens(question) for form in base_forms(one.text)} - _ASKS
    _add_words(known, asked, denied=denies)
    for sentence in sentences(answer):
        _read_sentence(known, sentence, denies)
    _read_claims(known, question, answer, asked)


def _read_sentence(known: Known, sentence: str, denies: bool) -> None:
    spoken = tokens(sentence)
    texts = {one.text for one in spoken}
    found = {form for one in spoken for form in _forms(one)}
    known.numbers |= {number for one in spoken if (number := as_number(one.text))}
    if texts & words.NEGATIONS:
        _add_words(known, found, denied=True)
    elif texts & words.HEDGES:
        known.hedged |= found
    else:
        _add_words(known, found, denied=False)


def _forms(token: Token) -> Iterable[str]:
    if token.kind == "quote":
        return [form for one in token.text.split() for form in base_forms(one.strip('"“”«».,!?'))]
    return [form for part in (token.text, *token.text.split("-")) for form in base_forms(part)]


def _add_words(known: Known, found: set[str], *, denied: bool) -> None:
    (known.denied if denied else known.said).update(found - words.PICTURE)


def _read_claims(known: Known, question: str, answer: str, asked: set[str]) -> None:
    """Numbers, colours and places of things; a short answer is about what the question asked for."""
    claims = extract_claims(answer)
    for claim in claims:
        if claim.kind == "number" and claim.value.isdigit():
            known.counts[claim.about].add(int(claim.value))
        elif claim.kind == "attribute" and claim.value in words.COLOURS:
            known.colours[claim.about].add(claim.value)
        elif claim.kind == "attribute" and claim.value in words.MATERIALS:
            known.materials[claim.about].add(words.SAME_MATERIAL.get(claim.value, claim.value))
        elif claim.kind == "place":
            known.places[claim.about].update(claim.value.split())
        elif claim.kind == "thing" and claim.text.startswith(("a ", "an ")) and claim.about not in known.counts:
            known.counts[claim.about].add(1)
    about = [claim.about for claim in extract_claims(question.replace("?", ".")) if claim.kind == "thing"]
    about += [form for form in asked if wordnet.known(form, "n")] if not about else []
    if any(claim.kind == "thing" for claim in claims):
        return
    for one in tokens(answer):
        for thing in about:
            if one.text in words.COLOURS:
                known.colours[thing].add(words.SAME_COLOUR.get(one.text, one.text))
            elif one.text in words.PLACE_WORDS:
                known.places[thing].add(words.PLACE_WORDS[one.text])
            elif (number := as_number(one.text)) and "many" in asked:
                known.counts[thing].add(int(number))


def as_number(text: str) -> str:
    """ "3" for "three" and "3"; "" for another word."""
    if text in words.COUNTS:
        return str(words.COUNTS[text])
    return text if text[:1].isdigit() and text.isdigit() and len(text) < 10 else ""


def letters(text: str) -> str:
    """Letters and digits in one case, for comparing what is quoted."""
    return "".join(character for character in text.casefold() if character.isalnum())
