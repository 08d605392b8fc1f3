"""Find the claims of an answer by rules: presence, number, colour, place, indoors or outdoors.

    for claim in claims("Is there a dog on the left?", "No."):
        claim.kind, claim.about, claim.value, claim.scope       # "there", "dog", {"no"}, {"left"}

English only, and careful rather than complete: an uncertain sentence claims nothing. A claim about a part ("the middle
of the picture", "on the table") or a moment ("frame 3", "later") holds for that part only. Claims are found once for
each answer; no pattern reads a text twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from agents.text.cleaning import certain_part, question_key
from core import nouns
from core.text import sentences

Kind = Literal["there", "number", "colour", "place", "scene", "reply"]

NUMBERS: Final = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split(),
    )
}
_COLOURS: Final = frozenset(
    "black white grey gray red green blue yellow orange brown pink purple violet beige golden gold silver turquoise "
    "teal maroon tan cream".split()
)
_SAME: Final = {
    "gray": "grey",
    "golden": "gold",
    "violet": "purple",
    "turquoise": "teal",
    "tan": "beige",
    "cream": "beige",
}
# Of each pair only one can hold for one thing, or for the whole scene.
PLACES: Final = (("left", "right"), ("foreground", "background"), ("top", "bottom"))
_DAY: Final = ("day", "daytime", "daylight")
_NIGHT: Final = ("night", "nighttime")
_STOP: Final = (
    "in on at of with near behind under above over below to from by and or but that which who where while as for next "
    "beside between visible here there anywhere present is are was were has have do does can could looks look seems "
    "appears sits stands standing sitting lying lies wearing holding shown seen else other than if it they so very too"
)
_PICTURE: Final = "picture|image|photo|photograph|scene|shot|frame|view|video"
_PART: Final = (
    "foreground|background|left|right|top|bottom|middle|cent(?:er|re)|corner|edge|side|front|back|distance|upper|lower|"
    "half|part|rest|end|inside|outside"
)
# Words that leave open where, when or which: with them, a claim is still one about the whole picture.
_EVERYWHERE: Final = frozenset(
    (
        f"{_PICTURE.replace('|', ' ')} the a an this that these those in at of to here there visible present anywhere "
        "all shown seen be being is are was were can could see i you we it do does did have has any either total "
        "altogether count exactly depicted displayed pictured captured appear appears appearing"
    ).split()
)
_POSTURES: Final = frozenset("sitting standing lying located placed positioned situated".split())
# "no other people" claims nothing about people, and "a lot of" nothing about lots.
_VAGUE: Final = frozenset(
    "other others another more additional further anything something nothing any thing lot kind pair group couple "
    "number piece bit part type sign way one you we i he she see".split()
)
# Nouns that mean a material without an article and a thing with one: "no glass" and "two glasses" go together.
_MATERIALS: Final = frozenset(
    "glass paper hair light iron wood cloth room space time work chicken lamb tin rubber ice water sand metal stone "
    "brick rock".split()
)
_COUNTED: Final = " (counted)"
# "two ducks on a pond": where all of it is, and no part of it.
_SETTING: Final = re.compile(
    r"\b(?:in|on|at|by|near|across|along) (?:a|an) (?:[a-z-]+ ){0,2}?(?:lawn|pond|lake|river|sea|field|meadow|park|"
    r"garden|beach|street|road|room|kitchen|forest|yard|farm|city|town|zoo|stage|court|pool|harbour|station|mountain|hill)\b"
)
_MANY_COLOURED: Final = frozenset(f"{_PICTURE} background foreground room".replace("|", " ").split())

_PHRASE: Final = rf"(?P<noun>(?:(?!(?:{_STOP.replace(' ', '|')})\b)[a-z][a-z'-]*+\s*+){{1,4}}+)"
_COUNT: Final = rf"(?:\d{{1,3}}|{'|'.join(NUMBERS)})"
_THERE_IS: Final = r"\bthere(?:'s| is| are|'re)"
_NOT_THERE: Final = (
    re.compile(rf"{_THERE_IS}\s++(?P<article>no|not any|not a|not an)\s++{_PHRASE}"),
    re.compile(rf"\bthere (?:isn't|aren't|is not|are not)\s++(?P<article>a |an |any )?{_PHRASE}"),
    re.compile(rf"\b(?:do not|don't|can not|cannot|can't) see\s++(?P<article>a |an |any )?{_PHRASE}"),
    re.compile(rf"\b(?P<article>no) {_PHRASE}(?=(?:is|are|can be)\b)"),
)
_THERE: Final = re.compile(
    rf"(?:{_THERE_IS}|\b(?:i see|we see|you see|shows|contains))\s++"
    rf"(?P<article>a |an |one |some |several |{_COUNT} ){_PHRASE}"
)
_NUMBERED: Final = re.compile(rf"{_THERE_IS}\s++(?:exactly |about |only )?(?P<count>{_COUNT})\s++{_PHRASE}")
_ASKS_THERE: Final = re.compile(
    rf"(?:(?:is|are) there|(?:do|can|could) you see)\s++(?P<article>also a |a |an |any |some )?{_PHRASE}"
)
_ASKS_NUMBER: Final = re.compile(rf"how many\s++{_PHRASE}")
_ASKS_COLOUR: Final = re.compile(
    rf"what colou?rs? (?:is|are|does|do|has|have)\s++(?:the |this |that |its |their )?{_PHRASE}"
)
_ASKS_WHERE: Final = re.compile(rf"where (?:is|are)\s++(?:the |this |that )?{_PHRASE}")

# "the middle of the picture is mostly blue": a thing, what it belongs to, and nothing but colours.
_BEFORE: Final = "of in on at with near behind under above over below to from by beside between inside outside".split()
_SUBJECT: Final = re.compile(
    "".join(rf"(?<!\b{word} )" for word in _BEFORE)
    + rf"\bthe {_PHRASE}(?P<belongs>(?:(?:{'|'.join(_BEFORE)})\s++(?:(?!(?:is|are)\b)[a-z'-]++\s++){{1,5}}+){{0,3}}+)"
    r"(?:is|are)\b"
)
_PREDICATE: Final = re.compile(
    rf"\s*+(?:(?:{'|'.join(sorted(_COLOURS))}|mostly|mainly|largely|primarily|predominantly|all|both|very|dark|light|"
    r"bright|pale|deep|also|a|an|colou?r|coloured|colored|painted|and|or|with)\b[\s,-]*+)++"
)
_MAINLY: Final = re.compile(r"\b(?:mostly|mainly|largely|primarily|predominantly|main|dominant|primary|overall)\b")
_WORD: Final = re.compile(r"[a-z][a-z'-]*")
_ENDS: Final = re.compile(r"[.,;:!?()\n]|\b(?:and|or|but|nor|only|because|so|just|though|although)\b")
_AT_A_SIDE: Final = re.compile(rf"\b(?:on|at|to|towards?) (?=the (?:(?:far|very) )?(?:{_PART})\b)")
_PART_WORD: Final = re.compile(rf"\b(?:{_PART})\b")
_PLACED: Final = re.compile(
    r"\b(?P<place>left|right|foreground|background|top|bottom)\b"
    r"(?![ -](?:hand(?!\W+(?:side|corner|part|half|edge))|arm|leg|foot|eye|ear|paw|shoe|next|behind|beside|above|"
    rf"below|under|in front|by)\b|(?: (?:side|half|part|edge|corner))? of (?!(?:the |this )?(?:{_PICTURE}|it)\b))"
)
_INDOORS: Final = re.compile(
    r"\b(?:(?P<whole>indoors|outdoors)|(?P<scene>indoor|outdoor)(?= (?:scene|setting|area|space|environment|location|"
    rf"place|{_PICTURE})\b|\W*$)|(?P<side>inside|outside)"
    r"(?!\s+(?:of|the|a|an|his|her|its|their|this|that|my|your|some)\b))"
)
_DAYTIME: Final = re.compile(
    rf"(?<!every )(?<!each )\b(?P<when>{'|'.join((*_DAY, *_NIGHT))})\b(?![ -]?(?:stand|table|light|lamp|gown|dress|"
    r"club|shirt|bed|care|dream)s?\b)"
)
_YES: Final = re.compile(r"\W*(?:yes|yeah|yep|indeed)\b")
_NO: Final = re.compile(r"\W*(?:no|nope)\b")
_DENIES: Final = re.compile(r"\b(?:no|not|never|none|without|neither|nor|nothing)\b|n't\b")
# A moment of a video, or one of several pictures: "Frame 3: ...", "later", "in the second picture".
_LABEL: Final = re.compile(r"\s*(?P<label>(?:frame|scene)[\s_]*+\d+)[^:]{0,40}:\s*")
_MOMENT: Final = re.compile(
    r"\b(?:at first|then|later|afterwards?|(?:at|in) the (?:end|beginning|start)|finally|now|before|after|earlier|"
    r"until|sometimes|frames? \d+|(?:first|second|third|fourth|next|last|previous|following|other) "
    rf"(?:{_PICTURE}|panel|half)s?)\b|\b\d{{1,3}}:\d\d\b"
)
_DETERMINERS: Final = frozenset("a an the one two three four some several".split())


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of an answer: `shown` is `about` in the answer's words, `value` what it claims."""

    kind: Kind
    about: str
    """The subject, in the singular; "" for the whole scene."""
    value: frozenset[str]
    shown: str = ""
    scope: frozenset[str] = frozenset()
    """The part of the picture that it is about, in words; empty for the whole picture."""
    mainly: bool = False
    """A colour is the main one, beside others."""

    @property
    def denied(self) -> str:
        """The word for what is claimed to be absent; "" for another claim, several words, or a material."""
        word = self.about.removesuffix(_COUNTED)
        nowhere = self.kind == "there" and "no" in self.value and not self.scope
        return word if nowhere and " " not in word and (word not in _MATERIALS or word != self.about) else ""


@dataclass(frozen=True, slots=True)
class Claims:
    """All claims of one answer. `moment`: of which frame of a video; "" for a picture."""

    moment: str = ""
    found: tuple[Claim, ...] = ()
    spoken: frozenset[str] = frozenset()
    """Words for things that it mentions as present, in the singular and as written."""


@lru_cache(maxsize=4096)  # a page is drawn again and again, and a dialogue grows by one answer at a time
def claims(question: str, answer: str) -> Claims:
    """What `answer` claims, understood as the answer to `question`."""
    question = question.lower().replace("’", "'").strip()
    answer = certain_part(answer).lower().replace("’", "'")
    moment = ""
    if label := _LABEL.match(question):
        moment, question = label["label"], question[label.end() :]
    found = tuple(dict.fromkeys([*_asked(question, answer), *_unasked(answer)]))
    spoken = [word for one in sentences(answer) if not _DENIES.search(one) for word in _spoken(one)]
    return Claims(moment, found, frozenset(spoken))


def _asked(question: str, answer: str) -> Iterator[Claim]:
    """Claims that follow from the question."""
    if not question:
        return
    reply = "yes" if _YES.match(answer) else "no" if _NO.match(answer) else ""
    if reply:
        yield Claim("reply", " ".join(question_key(question)), frozenset([reply]))
        if (match := _ASKS_THERE.match(question)) and (asked := _noun(match)):
            yield _there(asked, match["article"] or "", reply, _scope(question[match.end() :]))
    if _MOMENT.search(answer):
        return
    if (match := _ASKS_NUMBER.match(question)) and (counted := _noun(match)):
        numbers = re.findall(rf"\b{_COUNT}\b", answer)
        if len(numbers) == 1:
            yield _number(counted, numbers[0], _scope(question[match.end() :]))
    if (match := _ASKS_COLOUR.match(question)) and (painted := _noun(match)):
        yield from _coloured(painted, _scope(question[match.end() :]), answer)
    if (match := _ASKS_WHERE.match(question)) and (placed := _noun(match)):
        yield from _placed(placed, _scope(question[match.end() :]) - _POSTURES, answer)


def _unasked(answer: str) -> Iterator[Claim]:
    """What its sentences claim by themselves."""
    for sentence in sentences(answer):
        if _MOMENT.search(sentence):
            continue
        for pattern in _NOT_THERE:
            for match in pattern.finditer(sentence):
                if absent := _noun(match):
                    yield _there(
                        absent, match["article"] or "", "no", _scope(sentence[match.end() : match.end() + 200])
                    )
        if _DENIES.search(sentence):
            continue
        for match in _THERE.finditer(sentence):
            if present := _noun(match):
                yield _there(present, match["article"], "yes", _scope(sentence[match.end() : match.end() + 200]))
        for match in _NUMBERED.finditer(sentence):
            if counted := _noun(match):
                rest = _SETTING.sub("", sentence[match.end() : match.end() + 200])
                yield _number(counted, match["count"], _scope(rest))
        yield from _said_colours(sentence)
        yield from _scenes(sentence)


def _there(noun: str, article: str, value: str, scope: frozenset[str]) -> Claim:
    """A claim that something is there or is not; a material and a thing that is made of it are two."""
    about = one(noun)
    material = about.rpartition(" ")[2] in _MATERIALS
    if material and article.split()[-1:] not in ([], ["no"], ["any"], ["some"]):
        about += _COUNTED
    elif material and not noun.endswith(about.rpartition(" ")[2]):
        about = noun
    return Claim("there", about, frozenset([value]), noun, scope)


def _number(noun: str, count: str, scope: frozenset[str]) -> Claim:
    value = int(count) if count.isdigit() else NUMBERS[count]
    return Claim("number", one(noun), frozenset([str(value)]), noun, scope)


def _coloured(noun: str, scope: frozenset[str], answer: str) -> Iterator[Claim]:
    """The colours in an answer to "What colour is it?", but for sentences about a part or something else."""
    colours: set[str] = set()
    mainly = False
    for sentence in sentences(answer):
        other = any(_noun(match) not in ("", noun) for match in _SUBJECT.finditer(sentence))
        if _DENIES.search(sentence) or other or (_PART_WORD.search(sentence) and not scope):
            continue
        colours |= _colours(sentence)
        mainly |= _MAINLY.search(sentence) is not None
    if colours and not _DENIES.search(answer):
        yield Claim("colour", one(noun), frozenset(colours), noun, scope, mainly and one(noun) in _MANY_COLOURED)


def _said_colours(sentence: str) -> Iterator[Claim]:
    """ "the middle of the picture is mostly blue": of the middle; "the colour of the car is red": of the car."""
    end = 0
    for match in _SUBJECT.finditer(sentence):
        before = sentence[max(end, match.start() - 80) : match.start()]
        end = match.end()
        said = _PREDICATE.match(sentence, end)
        colours = _colours(said[0]) if said else set()
        noun = _noun(match)
        if not (said and colours and noun):
            continue
        end = said.end()
        scope = _scope(match["belongs"])
        rest = sentence[end : end + 200].lstrip()
        if _PART_WORD.match(rest) or rest.partition(" ")[0] in _BEFORE:
            scope |= _scope(rest)
        if _PART_WORD.search(before):
            scope |= _scope(before.rpartition(",")[0] or before)
        mainly = _MAINLY.search(f"{noun} {said[0]}") is not None
        if noun.split()[-1] in (
            "colour",
            "colours",
            "color",
            "colors",
        ):  # of what is named behind it, or of nobody knows
            of = [word for word in _WORD.findall(match["belongs"]) if word not in ("of", "the", "this", "its", "in")]
            noun, scope = " ".join(of), frozenset()
        if noun:
            about = one(noun)
            yield Claim("colour", about, frozenset(colours), noun, scope, mainly and about in _MANY_COLOURED)


def _colours(text: str) -> set[str]:
    return {_SAME.get(word, word) for word in re.findall(r"[a-z]+", text) if word in _COLOURS}


def _placed(noun: str, scope: frozenset[str], answer: str) -> Iterator[Claim]:
    named = {match["place"] for match in _PLACED.finditer(answer)}
    for pair in PLACES:
        if len(named & set(pair)) == 1:
            yield Claim("place", one(noun), frozenset(named & set(pair)), noun, scope)


def _scenes(sentence: str) -> Iterator[Claim]:
    """Indoors or outdoors, by day or by night, if a sentence claims one of them for the whole scene."""
    where = [match["whole"] or match["scene"] or match["side"] for match in _INDOORS.finditer(sentence)]
    when = [match["when"] for match in _DAYTIME.finditer(sentence)]
    for named, about, one_of_two in (
        (where, "where", lambda word: word.startswith("in")),
        (when, "when", lambda word: word in _DAY),
    ):
        sides = {one_of_two(word) for word in named}
        if len(sides) == 1:
            yield Claim("scene", about, frozenset([str(sides.pop())]), sorted(named)[0])


def _scope(rest: str) -> frozenset[str]:
    """The words behind a noun that limit it to a part, or to one of several."""
    ends = _ENDS.search(rest)
    rest = rest[: ends.start()] if ends else rest
    return frozenset(word for word in _WORD.findall(_AT_A_SIDE.sub("", rest)) if word not in _EVERYWHERE)


def _spoken(sentence: str) -> Iterator[str]:
    """Words behind "a" or "the", at most two others between."""
    tokens = sentence.split() if not _MOMENT.search(sentence) else []
    for place, token in enumerate(tokens):
        if token.lstrip("\"'“‘(*-") not in _DETERMINERS:
            continue
        for following in tokens[place + 1 : place + 4]:
            word = _WORD.match(following)
            if word is None:
                break
            bare = word[0].removesuffix("'s")
            yield from {bare} if one(bare) in _MATERIALS else (bare, bare.removesuffix("s"), bare.removesuffix("es"))
            if word[0] != following:
                break


def _noun(match: re.Match[str]) -> str:
    """The noun phrase that a pattern found; "" for one without content."""
    words = match["noun"].split()
    return "" if _VAGUE.intersection(words) else " ".join(words).strip("' -")


def one(noun: str) -> str:
    """The form in which nouns are compared: the last word in the singular, after the words before it."""
    before, space, last = noun.rpartition(" ")
    return f"{before}{space}{nouns.singular(last)}"
