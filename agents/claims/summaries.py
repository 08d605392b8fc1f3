"""Find the sentences of a summary that no certain answer supports, by rules.

    for one in unsupported_sentences(caption.summary, caption.dialogue.turns):
        one.text, one.reason         # "He is wearing a hat.", 'no answer speaks of "hat"'

Things, numbers, colours, places and quotations are compared with the answers, by base forms and WordNet's synonyms and
kinds: a poodle supports a dog. For English; of another language, numbers in digits and quotations are compared, and
other sentences pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agents.claims import words
from agents.claims.extract import extract_claims
from agents.claims.found import PICTURE
from agents.claims.known import Known, as_number, base_forms, letters, said_in
from agents.claims.phrases import Token, is_visible, noun_phrase, singular, tokens
from core.english import wordnet
from core.records import Claim, Turn
from core.text import sentences

# Of the person or the model that writes; "we can see a dog" is about the picture.
_SPEAKER: Final = frozenset("i i'm i've i'll i'd me my myself you you're you've you'll your yours yourself".split())
_SEES: Final = re.compile(r"\b(?:i|we|you|one) (?:can |could )?(?:also )?see\b")
# That something stayed open is nothing that an answer has to say.
_OPEN: Final = re.compile(
    r"\b(?:(?:could|can|is|are|was) ?not (?:be )?(?:told|determined|identified|made out|known|certain|clear)|"
    r"unclear|unknown)\b"
)
# Words of the request and of the notes: who writes them speaks of the work, not of the picture.
_OF_THE_WORK: Final = frozenset(
    "note notes question questions answer answers answered summary request instruction instructions prompt".split()
)
_TASK: Final = frozenset(
    "describe described describing explain paragraph paragraphs essay sorry apologize apologise".split()
)
_ENGLISH: Final = 0.5  # of the words of an English text, at least, are in WordNet or are closed-class words
_SHARE: Final = 0.3  # of the content words of a sentence, at least, stand in the answers
_LIGHT: Final = (
    words.PICTURE | words.NO_THINGS | words.EMPTY | words.VAGUE_COUNTS | words.PAIRS | words.GROUPS
    | frozenset(
        """show depict feature see have be contain include appear seem capture present display visible located locate
        situate position place stand sit lie rest set find make look there wear hold dress dominate mainly mostly can
        could also use read say write surround whole addition along together several various prominent dominant
        primarily predominantly palette tone hue""".split()
    )
)  # fmt: skip
_LIGHT_VERBS: Final = frozenset("stand sit lie hold wear rest hang visible".split())
# Actions that must have been said. Of others ("a boat floats", "she watches them") the thing and its place say enough.
_TELLING: Final = frozenset(
    """cry weep sob laugh giggle chuckle smile grin frown yawn sneeze sleep nap doze bark growl howl sing dance shout
    scream yell argue quarrel kiss hug embrace fight smoke paint arrive depart explode drink sip pour spill drop steal
    bite lick clap applaud cheer catch fall""".split()
)
_OPPOSED: Final = ({"left", "right"}, {"top", "bottom"}, {"foreground", "background"}, {"middle", "left", "right"})


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A sentence with the reason why it is not supported."""

    text: str
    reason: str


def unsupported_sentences(
    summary: str, turns: Sequence[Turn], *, language: str | None = None
) -> tuple[Unsupported, ...]:
    """The sentences of `summary` that the certain turns do not support, in order. `language`: None is English."""
    known = said_in(turns)
    if not speaks_english(summary, language) or not speaks_english(" ".join(turn.answer for turn in turns), None):
        return tuple(
            Unsupported(sentence, reason)
            for sentence in sentences(summary)
            if (reason := next(_literal(sentence, known), ""))
        )
    found: list[Unsupported] = []
    said = {letters(one) for turn in turns if turn.certainty == "sure" for one in sentences(turn.answer)}
    claims = extract_claims(summary)
    start = 0
    for sentence in sentences(summary):
        start = summary.index(sentence, start)
        end = start + len(sentence)
        own = [claim for claim in claims if start <= claim.start < end]
        if letters(sentence) not in said and (reason := next(_reasons(sentence, own, known), "")):
            found.append(Unsupported(sentence, reason))
        start = end
    return tuple(found)


def speaks_of_the_work(summary: str, turns: Sequence[Turn]) -> bool:
    """Whether a summary talks about notes, questions or answers that the picture does not show."""
    answers = {form for turn in turns for one in tokens(turn.answer) for form in base_forms(one.text)}
    return any(one.text in _OF_THE_WORK and not base_forms(one.text) & answers for one in tokens(summary))


def speaks_english(text: str, language: str | None) -> bool:
    """Whether a text is in English, as far as its words tell."""
    name = "english" if language is None else language.strip().casefold()
    if name != "en" and not name.startswith(("en-", "en_", "english")):
        return False
    spoken = [one.text for one in tokens(text) if one.kind == "word"]
    if sum(character.isalpha() and ord(character) > 0x24F for character in text) > len(text) / 10:
        return False
    known = sum(one in _CLOSED or bool(wordnet.uses(one)) for one in spoken)
    return known >= _ENGLISH * len(spoken)


_CLOSED: Final = (
    words.DETERMINERS | words.PRONOUNS | words.COPULAS | words.AUXILIARIES | words.NEGATIONS | words.HEDGES
    | words.ADVERBS | _SPEAKER | {part for phrase in words.PREPOSITIONS for part in phrase}
    | {"and", "or", "but", "while", "so", "we", "there's", "it's"}
)  # fmt: skip


def _literal(sentence: str, known: Known) -> Iterator[str]:
    """Quotations and numbers in digits that no answer has: comparable in every language."""
    for one in tokens(sentence):
        if one.kind == "quote" and letters(one.text) not in known.letters:
            yield f"no answer reads {one.text}"
        number = as_number(one.text) if one.kind == "number" else ""
        if one.kind == "number" and number not in known.numbers and letters(one.text) not in known.letters:
            yield f"no answer has the number {one.text}"


def _reasons(sentence: str, claims: Sequence[Claim], known: Known) -> Iterator[str]:
    """Why an English sentence is not supported."""
    token = tokens(sentence)
    spoken = [one for one in token if one.kind == "word"]
    if not _SEES.search(sentence.lower()) and (own := next((one for one in spoken if one.text in _SPEAKER), None)):
        yield f'it speaks of "{own.text}"'
    for one in spoken:
        if one.text in _OF_THE_WORK | _TASK and not known.has(one.text):
            yield f'it speaks of the work: "{one.text}"'
    yield from _literal(sentence, known)
    for claim in claims:
        if reason := _reason(claim, known):
            yield reason
    counted = {claim.value for claim in claims if claim.kind == "number"}
    for one in spoken:
        if (number := as_number(one.text)) and number not in known.numbers | counted | {"0", "1"}:
            yield f'no answer says "{one.text}"'
    yield from _unsaid_things(token, known)
    content = [one.text for one in spoken if is_content(one.text)]
    denies = any(one.text in words.NEGATIONS for one in spoken)
    if not content:  # "they are sitting": of the words that say little, one at least
        content = [one.text for one in spoken if base_forms(one.text) & _LIGHT_VERBS]
        denies = denies and not content
    supported = sum(known.has(word) or (denies and bool(base_forms(word) & known.denied)) for word in content)
    supported += denies and not content and bool(known.denied)  # "nobody else is there"
    compared = any(_is_compared(claim) for claim in claims)
    if _OPEN.search(sentence.lower()) and not any(claim.kind == "thing" for claim in claims):
        return
    quoted = any(one.kind == "quote" for one in token)
    if not (quoted or counted or supported or compared) or supported < _SHARE * len(content) - compared:
        yield "no answer says it"


def _is_compared(claim: Claim) -> bool:
    """Whether answers say what a claim says, not only its thing."""
    where = claim.kind == "attribute" and claim.value in words.COLOURS | set(words.WHERE.values())
    return where or claim.kind in ("number", "place", "text")


def is_content(word: str) -> bool:
    """Whether a word says something that answers can support: no grammar, no number, no "show" or "visible"."""
    return not (word in _CLOSED or base_forms(word) & _LIGHT or as_number(word))


def _reason(claim: Claim, known: Known) -> str:
    """Why a claim is not supported; "" if it is, or cannot be compared."""
    match claim.kind:
        case "thing":
            return "" if _is_said(claim.about, claim.text, known) else f'no answer speaks of "{claim.about}"'
        case "number":
            return _number(claim, known)
        case "attribute" if claim.value in words.COLOURS:
            return _colour(claim, known)
        case "attribute" if claim.value in words.WHERE.values():
            return (
                ""
                if known.said & {w for w, v in words.WHERE.items() if v == claim.value}
                else f"no answer says {claim.value}"
            )
        case "place":
            return _placed(claim, known)
        case "attribute" if claim.value in words.MATERIALS:
            return _material(claim, known)
        case "action":
            return _action(claim, known)
        case "relation":
            for side in ("left", "right"):
                if f"to {side} of" in claim.value and side not in known.said:
                    return f'no answer says "{side}"'
            return ""
        case _:
            return ""


def _is_said(about: str, name: str, known: Known, *, hedged: bool = False) -> bool:
    """Whether a thing was named: its last word, or another one of a name of two words."""
    return (
        about in _LIGHT - words.GROUPS
        or known.has(about, hedged=hedged)
        or known.has(name.removeprefix("a ").removeprefix("an "))
    )


def _number(claim: Claim, known: Known) -> str:
    counts = {int(str(value)) for value in known.of(known.counts, claim.about)}
    if not claim.value.isdigit():
        return ""
    value = int(claim.value)
    if value in counts or (counts and value in (sum(known.counts.get(claim.about, ())), known.total(claim.about))):
        return ""
    if counts - {1} or claim.value not in known.numbers:
        return f"no answer counts {claim.value} of {claim.about}"
    return ""


def _colour(claim: Claim, known: Known) -> str:
    if claim.value in ("colourful", "multicoloured", "blonde", "brunette"):
        return ""
    own = known.of(known.colours, claim.about)
    anywhere = known.said & words.COLOURS
    if claim.value in own or (not own and claim.value in anywhere):
        return ""
    if own and claim.about != PICTURE:
        return f"the answers say another colour of {claim.about}"
    return "" if claim.value in anywhere else f"no answer says {claim.value}"


def _material(claim: Claim, known: Known) -> str:
    """A material must be that of the thing, or have been said at all where the answers give the thing none."""
    same = {words.SAME_MATERIAL.get(claim.value, claim.value), claim.value}
    own = known.of(known.materials, claim.about)
    of_kind = any(wordnet.is_kind_of(str(one), material) for one in own for material in same)  # steel is metal
    if of_kind or (not own and any(known.has(one) for one in same)):
        return ""
    return f"no answer says that {claim.about} is of {claim.value}"


def _action(claim: Claim, known: Known) -> str:
    """Of actions, those that nobody infers from where a thing is or what it is: a boy that smiles, a dog that barks."""
    doing = claim.value.split()[0]
    if base_forms(doing) & _TELLING and not known.has(doing, parts=("v",)):
        return f'no answer says "{doing}"'
    return ""


def _placed(claim: Claim, known: Known) -> str:
    own = {str(value) for value in known.of(known.places, claim.about)}
    anywhere = {words.PLACE_WORDS[word] for word in known.said if word in words.PLACE_WORDS}
    for place in claim.value.split():
        if place in own or (not own and place in anywhere):
            continue
        against = own & {other for pair in _OPPOSED if place in pair for other in pair}
        if against:
            return f"the answers say {claim.about}: {', '.join(sorted(own))}"
        if place not in anywhere:
            return f"no answer says {place}"
    return ""


def _unsaid_things(token: list[Token], known: Known) -> Iterator[str]:
    """Things in denied and uncertain clauses, of which there are no claims."""
    texts = {one.text for one in token}
    denies, doubts = texts & words.NEGATIONS, texts & words.HEDGES
    if not (denies or doubts):
        return
    at = 0
    while at < len(token):
        phrase = noun_phrase(token, at)
        if phrase is None:
            at += 1
            continue
        about = singular(phrase.head) if phrase.head else ""
        if about and phrase.thing and is_visible(about):
            before = token[phrase.first - 1].text if phrase.first else ""
            if before in ("no", "without", "not") and denies and about in known.said and about not in known.denied:
                yield f'the answers speak of "{about}"'
            elif about not in known.denied and not _is_said(about, " ".join(phrase.name), known, hedged=True):
                yield f'no answer speaks of "{about}"'
        at = max(phrase.last, at + 1)
