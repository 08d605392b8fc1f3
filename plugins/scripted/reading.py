"""Parse short answers: find the things in them, and their attributes.

It covers the answers that models give about pictures, from "yellow" and "a duck on the left" to two or three plain
sentences. A sentence is read once, from left to right, with the words of `lexicon.py`; unknown parts are skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core import nouns
from plugins.scripted import lexicon
from plugins.scripted.knowledge import Knowledge, NamedThing, Phrase
from plugins.scripted.phrases import (
    PREPOSITION_HEADS,
    is_verb_in_ing,
    names_nothing,
    noun_phrase,
    plain,
    plain_colour,
    preposition,
    tokens,
)
from plugins.scripted.topics import Topic

_OF = re.compile(r".? ?(?:(?:hand )?(?:corner|side|half|part|edge|area) )?of ")  # "on the right side of the table"
LONGEST_ANSWER = 2000  # characters that are read of an answer
AHEAD = 24  # words of look-ahead

UNSURE = re.compile(
    r"\b(?:not (?:\w+ )?(?:sure|certain|clear|visible enough)|unsure|uncertain|unclear|unknown|"
    r"(?:do not|don't) know|no idea|"
    r"(?:can ?not|can't|could not|couldn't|unable to|hard to|impossible to|difficult to) (?:really )?"
    r"(?:tell|say|see|determine|know|make out|identify|answer|be read))\b"
)
_NEGATIVE = re.compile(r"\b(?:no|not|none|nothing|nobody|never|without any|isn't|aren't|doesn't|don't|wasn't|nope)\b")
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|might|may be|could be|i think|i guess|seems? to be|appears? to be)\b"
)
_GUESS = re.compile(r"\b(?:seems?|appears?|looks?|probably|likely|perhaps|maybe)\b")
_YES = re.compile(r"^\s*(?:yes|yeah|yep|correct|right|true)\b[\s,.!]*")
_NO = re.compile(r"^\s*(?:no|nope|none|nothing)\b")
_SPOT = re.compile(
    r"(?:to|on|at|in|near|towards?|along) (?:the )?((?:(?:far|very|upper|lower|top|bottom|left|right|middle|"
    r"cent(?:er|re)|foreground|background|distance)[ -]?)+)((?:hand )?(?:corner|side|half|part|edge|area))?"
    r"( ?of (?:the|this) (?:picture|image|photo|photograph|scene|frame)| ?of it)?\b(?! of )"
)
_APPOSED = re.compile(
    r"(?P<one>(?:this|it|that) looks like (?:an?|some) [^,]+), (?P<hedge>perhaps |maybe |possibly )?"
    r"(?P<other>(?:an?|some) [^,]+?)\.?$"
)
_SETTING = re.compile(r"\b(outdoors?|outside|indoors?|inside)\b(?! (?:of|the|a|an)\b)")
_WRITING = re.compile(
    r"""\b(?:says?|reads?|reading|words?|letters?|written)\b:? ["“']?([^"”.!?]{1,40}?)["”']?\s*(?:[.!?]|$)"""
)

_QUOTED = re.compile(
    r"""\b(?:the (?:writing|sign|text)|it) (?:says|reads) ("[^"]*"(?:, | and )?)+(?:(?: and )?more)?\.?"""
)
_ONLY_QUOTED = re.compile(r"""\s*["“]([^"”]{1,40})["”]\s*\.?\s*""")
_EVERYWHERE = re.compile(r",? (?:spread )?all over the (?:picture|image)\b")


def read(knowledge: Knowledge, topic: Topic, answer: str, turn: int) -> None:
    """Add the facts of `answer`, to a question about `topic`, to `knowledge`."""
    answer = answer[:LONGEST_ANSWER]
    text = re.sub(r"\s+", " ", answer.lower().replace("’", "'")).strip().replace("i can make out", "i can see")
    if not text:
        return
    written = _WRITING.search(answer) or _ONLY_QUOTED.fullmatch(answer)
    if written and topic.kind in ("text", "wording"):
        knowledge.writing = written[1].strip()
        return
    text = _EVERYWHERE.sub("", _QUOTED.sub("", text)).replace(", from left to right", "")  # an order, no place
    sentences = [
        part.strip()
        for part in re.split(r"(?<=[a-z\d\"')])[.!?;]+(?:\s+|$)|\n|,? but (?=there|the|it|they|no)", text)
        if re.search(r"[^\W_]", part)
    ]
    for sentence in sentences:
        if UNSURE.search(sentence):
            knowledge.unnamed |= topic.kind in ("describe", "main")
        elif topic.kind == "other" and sentence.split()[0] not in _CLAUSE_OPENERS:
            continue  # an answer to an unknown kind of question
        elif not _short(knowledge, topic, sentence, turn):
            Sentence(knowledge, topic, sentence, turn).read()


# ---- answers that depend on the question ---------------------------------------------------------------------------


def _short(knowledge: Knowledge, topic: Topic, text: str, turn: int) -> bool:
    """Read an elliptical answer ("yellow", "two", "on a couch"); returns whether it was one."""
    text = text.strip(" .,!?")
    subject = _subject(knowledge, topic, turn)
    if _NO.match(text) or (topic.yes_no and _NEGATIVE.search(text)):
        if topic.kind == "presence" and topic.subject:
            _deny(knowledge, topic.subject)
        return not re.search(r"\b(?:but|only|just)\b", text)
    if yes := _YES.match(text):
        rest = text[yes.end() :].strip()
        if topic.kind == "presence" and topic.subject and not rest:
            phrase = _subject_phrase(topic.subject)
            if phrase and not any(thing.human for thing in knowledge.things if phrase.head == "person"):
                knowledge.add(phrase, turn)
        if topic.kind == "text":
            knowledge.writing = knowledge.writing or "yes"
            return True
        if rest:
            Sentence(knowledge, topic, rest, turn).read()
        return True
    setting = _SETTING.search(text)
    if setting and (topic.kind == "setting" or re.match(r"(?:it|this|the (?:picture|scene|photo|image))\b", text)):
        knowledge.setting = "outdoors" if setting[1].startswith("out") else "indoors"
        knowledge.setting_is_a_guess = bool(_GUESS.search(text))
        return True
    word = tokens(text)
    if topic.kind in ("total", "number"):
        count = next((lexicon.NUMBERS[w] for w in word if w in lexicon.NUMBERS), "")
        if not count or count == "zero" or len(word) > 8:
            return False
        if topic.kind == "number" and subject:
            subject.count(count)
        elif topic.kind == "total":
            _count(knowledge, count)
        return len(word) <= 2 or topic.kind == "number" or "thing" in text or "object" in text or "item" in text
    if topic.kind in ("colour", "background colour", "main colours") and all(w in _COLOURISH for w in word):
        colours = [plain_colour(w) for w in word if w in lexicon.COLOURS]
        if subject and topic.kind == "colour":
            knowledge.colour(subject, colours)
        elif topic.kind == "background colour":
            _extend(knowledge.background_colours, colours)
        elif topic.kind == "main colours":
            _extend(knowledge.main_colours, colours)
        return True
    if topic.kind == "material" and subject:
        found = [w for w in word if w in lexicon.MATERIALS]
        if found and not subject.material:
            subject.material = lexicon.listed([_MATERIAL_NOUN.get(w, w) for w in dict.fromkeys(found)])
        return True
    if topic.kind == "weather":
        found = [w for w in word if w in lexicon.WEATHER]
        knowledge.weather = knowledge.weather or (found[0] if found else "")
        return bool(found)
    if topic.kind == "text":
        knowledge.writing = text if len(text) <= 40 and len(word) <= 5 and word[0] not in lexicon.PRONOUNS else "yes"
        return True
    if topic.kind == "kind" and subject:
        phrase, end = noun_phrase(tokens(re.sub(r"^(?:it|this|that|they|the \w+) (?:is|are|looks like) ", "", text)), 0)
        if phrase and phrase.name and end:
            knowledge.rename(subject, phrase)
            return True
    if topic.kind == "wearing" and subject and word[0] not in _CLAUSE_OPENERS and not word[0].endswith("ing"):
        return Sentence(knowledge, topic, f"wearing {text}", turn, subject).read()
    if topic.kind == "action" and subject and word[0].endswith("ing") and word[0] not in lexicon.NOUNS_IN_ING:
        return Sentence(knowledge, topic, text, turn, subject).read()
    if topic.kind == "place" and subject and word[0] not in _CLAUSE_OPENERS:
        spot = text if word[0] in PREPOSITION_HEADS else f"on the {text}" if re.match(r"(?:left|right)\b", text) else ""
        spot = spot or (f"in the {text}" if re.match(r"(?:middle|cent|foreground|background)", text) else "")
        spot = spot or (f"at the {text}" if re.match(r"(?:top|bottom)\b", text) else "")
        if spot:
            return Sentence(knowledge, topic, spot, turn, subject).read()
    if topic.kind == "background" and word[0] not in _CLAUSE_OPENERS and not _NEGATIVE.search(text):
        _background(knowledge, text)
        return True
    return False


_COLOURISH = (
    lexicon.COLOURS
    | lexicon.SHADES
    | {"and", "mostly", "mainly", "a", "it", "is", "with", "some", "very", "are", "they", ","}
)
_CLAUSE_OPENERS = frozenset({"there", "it", "this", "the", "they", "i", "you", "that", "these"})
_MATERIAL_NOUN = {"wooden": "wood", "golden": "gold"}


def _count(knowledge: Knowledge, count: str) -> None:
    if knowledge.total and knowledge.total != count:
        knowledge.other_total = knowledge.other_total or count
    else:
        knowledge.total = count


def _deny(knowledge: Knowledge, subject: str) -> None:
    phrase = _subject_phrase(subject)
    if not phrase:
        return
    thing = knowledge.find(Phrase(phrase.name, phrase.head), -1)
    if thing and not (thing.human and phrase.head in ("person", "people") and thing.name != phrase.name):
        thing.denied, thing.doubtful = thing.doubtful, True  # denied once: doubtful; twice: gone
    knowledge.absent.add(nouns.singular(phrase.head))


def _subject_phrase(subject: str) -> Phrase | None:
    phrase, _ = noun_phrase(tokens(subject), 0)
    if phrase and phrase.head == "people":
        phrase.bare = False
    return phrase if phrase and phrase.name else None


def _subject(knowledge: Knowledge, topic: Topic, turn: int) -> NamedThing | None:
    phrase = _subject_phrase(topic.subject) if topic.subject else None
    if phrase is None or topic.kind == "presence":
        return None
    phrase.definite = True
    found = knowledge.find(phrase, turn)
    if found and topic.place:
        named = [t for t in knowledge.namesakes(found) if topic.place in t.places]
        found = found if topic.place in found.places or not named else named[0]
    return found


def _background(knowledge: Knowledge, text: str) -> None:
    """ "green", "a green field", "trees and a lake", "a blue sky with clouds"."""
    token = tokens(text)
    at = 0
    while at < len(token):
        phrase, end = noun_phrase(token, at)
        if phrase is None:
            at += 1
            continue
        while end < len(token) and token[end] not in (",", "and"):
            end += 1
        if not phrase.name or phrase.head == "background":
            _extend(knowledge.background_colours, phrase.colours)
        elif not names_nothing(phrase):
            _extend(knowledge.background, [" ".join(token[at:end])])
        at = end


def _extend(known: list[str], new: list[str]) -> None:
    known += [item for item in new if item not in known]


# ---- sentences -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sentence:
    """Reads one sentence into the knowledge. `subject` is the current thing."""

    knowledge: Knowledge
    topic: Topic
    text: str
    turn: int
    subject: NamedThing | None = None
    waiting: str = ""  # a place before its thing: "on the left is a duck"

    def read(self) -> bool:
        """Read it; always True."""
        if re.search(r"\bthere (?:is|are) (?:no|not|nothing)\b|^(?:no|not)\b", self.text) or _NEGATIVE.search(
            self.text
        ):
            for gone in re.findall(r"\b(?:no|not an?|not any) ((?:\w+ )?\w+)", self.text):
                phrase = _subject_phrase(gone)
                if phrase:
                    self.knowledge.absent.add(nouns.singular(phrase.head))
            return True
        if named := _APPOSED.match(self.text):  # one thing with two names
            Sentence(self.knowledge, self.topic, named["one"], self.turn).read()
            new = [thing for thing in self.knowledge.things if thing.turn == self.turn and not thing.within]
            if named["hedge"] and new and new[-1].name in named["one"]:
                new[-1].other_name = named["other"]
            return True
        doubtful = bool(_HEDGE.search(self.text))
        token = tokens(self.text)
        special = ""  # "background" or "colours" while the sentence is about those
        copula = False
        fresh = True  # nothing but commas and "and" since the last thing: another one may follow
        at = 0
        while at < len(token):
            word = token[at]
            rest = " ".join(token[at : at + AHEAD])
            if word in ("and", ",", "but", "while", "or"):
                fresh = True
                at += 1
                continue
            if opening := re.match(
                r"(?:there (?:is|are|'s)|(?:i|you|we) (?:can )?see|(?:it|this|that) (?:is|looks like|"
                r"seems to be|appears to be|might be|may be|could be)|these are|here (?:is|are))\b(?: also)?",
                rest,
            ):
                self.subject = self.subject if opening[0].startswith(("it", "these")) and self.subject else None
                copula = opening[0].startswith(("it", "this", "that"))
                if copula and self.subject is None and opening[0].startswith("it") and self.knowledge.shown:
                    self.subject = self.knowledge.shown[-1]
                special = ""
                at += len(opening[0].split())
                continue
            if word in ("it", "they", "he", "she") or (
                word in ("this", "that") and at + 1 < len(token) and token[at + 1] in lexicon.COPULAS
            ):
                self.subject = self.subject or (self.knowledge.shown[-1] if self.knowledge.shown else None)
                at += 1
                continue
            if word in lexicon.COPULAS:
                copula = True
                at += 1
                continue
            if (spot := _SPOT.match(rest)) and not _OF.match(rest, spot.end() - 1):
                at += self._spot(spot)
                fresh = copula = False
                continue
            if rest.startswith(("made of ", "made from ", "made out of ")):
                at = self._material(token, at)
                continue
            if is_verb_in_ing(word) or word in lexicon.PARTICIPLES:
                at = self._action(token, at)
                fresh = copula = False
                continue
            if width := preposition(token, at):
                at = self._relation(token, at, width)
                fresh = copula = False
                continue
            phrase, end = noun_phrase(token, at)
            if phrase is None or end == at:
                copula = self._adjective(word, copula)
                at += 1
                continue
            special = self._phrase(phrase, special, copula, fresh, doubtful, token[end] if end < len(token) else "")
            fresh = copula = False
            at = end
        return True

    def _phrase(self, phrase: Phrase, special: str, copula: bool, fresh: bool, doubtful: bool, following: str) -> str:
        """Read a noun phrase; returns the new special subject of the sentence."""
        if phrase.head in ("colours", "colour", "colors", "color"):
            return "" if following == "of" else "colours"
        if phrase.head in ("background", "backdrop"):
            _extend(self.knowledge.background_colours, phrase.colours)
            self.subject = None
            return "background"
        if not phrase.name:
            if special == "colours" or (self.subject is None and self.topic.kind == "main colours"):
                _extend(self.knowledge.main_colours, phrase.colours)
            elif special == "background":
                _extend(self.knowledge.background_colours, phrase.colours)
            elif self.subject and (copula or fresh):
                self.knowledge.colour(self.subject, phrase.colours)
            return special
        if special == "background":
            _extend(self.knowledge.background, [plain(phrase)])
            return special
        if phrase.head in ("things", "thing", "objects", "object", "items", "item"):
            if phrase.number and phrase.number not in ("some", "several", "few"):
                _count(self.knowledge, phrase.number)
            return special
        if names_nothing(phrase) or phrase.name in lexicon.WEATHER:
            if phrase.name in lexicon.WEATHER:
                self.knowledge.weather = self.knowledge.weather or phrase.name
            return special
        if copula and self.subject is not None and not fresh:
            if phrase.bare and not nouns.is_plural(phrase.head) and not nouns.is_mass(phrase.head):
                self.subject.adjectives += [phrase.name] if phrase.name in lexicon.ADJECTIVES else []
                return special
            if nouns.singular(self.subject.head) in lexicon.GENERIC:
                self.knowledge.rename(self.subject, phrase)
                return special
        if phrase.bare and not copula and self.topic.kind == "other" and not nouns.is_plural(phrase.head):
            return special
        self.subject = self.knowledge.add(phrase, self.turn, doubtful=doubtful)
        if self.waiting:
            self.knowledge.place(self.subject, self.waiting)
            self.waiting = ""
        return special

    def _spot(self, found: re.Match[str]) -> int:
        """A place within the frame: "on the left side of the picture"."""
        spots = re.findall(
            r"upper|lower|top|bottom|left|right|middle|cent(?:er|re)|foreground|background|distance", found[1]
        )
        spots = [{"center": "middle", "centre": "middle", "upper": "top", "lower": "bottom"}.get(s, s) for s in spots]
        upright = [s for s in spots if s in ("top", "bottom")]
        sides = [s for s in spots if s in ("left", "right", "middle")]
        if "foreground" in spots or "background" in spots or "distance" in spots:
            place = f"in the {spots[-1]}"
        elif upright and sides:
            place = f"at the {upright[0]} {sides[0]}"
        elif upright:
            place = f"at the {upright[0]}"
        else:
            place = f"{'in' if sides[0] == 'middle' else 'on'} the {sides[0]}"
        if self.subject is not None:
            self.knowledge.place(self.subject, place)
        else:
            self.waiting = place
        return len(tokens(found[0]))

    def _material(self, token: list[str], at: int) -> int:
        at += token[at:].index("of") + 1 if "of" in token[at : at + 4] else 2
        while at < len(token) and (token[at] in lexicon.MATERIALS or token[at] in ("and", "a", "the")):
            if self.subject and token[at] in lexicon.MATERIALS:
                noun = _MATERIAL_NOUN.get(token[at], token[at])
                self.subject.material = self.subject.material or noun
            at += 1
        return at

    def _action(self, token: list[str], at: int) -> int:
        """ "sitting on a couch", "riding a horse": up to the next comma or the next statement."""
        end = at + 1
        while end < len(token):
            rest = " ".join(token[end : end + AHEAD])
            if token[end] == "," and token[at] == "dressed" and lexicon.COLOURS.intersection(token[end + 1 : end + 2]):
                end += 1  # "dressed in black, grey and white"
                continue
            if (
                token[end] in (",", "while", "but")
                or _SPOT.match(rest)
                or re.match(r"and (?:there|it|they|an?|the|two|three|some)\b", rest)
            ):
                break
            if re.match(r"(?:on|against|in front of) an? (?:\w+ )?background\b", rest):
                break
            end += 1
        text = re.sub(r" (?:in|of) (?:the|this) (?:picture|image|photo|scene)$", "", " ".join(token[at:end]))
        if text.startswith("dressed in ") and set(token[at + 2 : end]) <= {",", "and", *lexicon.COLOURS}:
            worn = dict.fromkeys(plain_colour(one) for one in token[at + 2 : end] if one in lexicon.COLOURS)
            text = f"dressed in {lexicon.listed(list(worn))}"
        if self.subject is None and self.topic.kind == "action" and self.knowledge.shown:
            self.subject = self.knowledge.shown[0]
        if self.subject is not None and text not in ("made", "looking", "shown", "seen"):
            self.knowledge.action(self.subject, text)
        self._inner(token[at + 1 : end])
        return end

    def _relation(self, token: list[str], at: int, width: int) -> int:
        """A preposition and what follows it: a place, a part, a background."""
        word = token[at]
        phrase, end = noun_phrase(token, at + width)
        if phrase is None:
            if word in ("inside", "outside") and self.subject is None:
                self.knowledge.setting = "indoors" if word == "inside" else "outdoors"
            return at + width
        if phrase.head in ("background", "backdrop"):
            _extend(self.knowledge.background_colours, phrase.colours)
            if not phrase.colours and phrase.adjectives:
                _extend(self.knowledge.background, [f"a {' '.join(phrase.adjectives)} background"])
            return end
        if phrase.head in lexicon.NO_THINGS or not phrase.name or word in ("like", "of", "for", "about", "as", "from"):
            return end if phrase.head in lexicon.NO_THINGS or not phrase.name else at + width
        where = f"{' '.join(token[at : at + width])} {' '.join(token[at + width : end])}"
        if end < len(token) and token[end] == "and" and word in ("between", "with"):
            second, second_end = noun_phrase(token, end + 1)
            after = token[second_end] if second_end < len(token) else ","
            if second and second.name and (word == "between" or after == ","):
                where += f" and {' '.join(token[end + 1 : second_end])}"
                self._inner(token[end + 1 : second_end])
                end = second_end
        host = self.subject
        if host is None and where.startswith(("in front of ", "against ")):
            _extend(self.knowledge.background, [where.removeprefix("in front of ").removeprefix("against ")])
            return end
        if host is None:
            self.subject = self.knowledge.add(phrase, self.turn)
            return end
        if word == "with":
            host.parts.append(where)
        elif where not in host.places:
            self.knowledge.place(host, where)
        self._inner(token[at + width : end])
        return end

    def _inner(self, token: list[str]) -> None:
        """Add the things named inside a place or an action."""
        at = 0
        while at < len(token):
            at += max(preposition(token, at), token[at] in ("and", ","))
            phrase, end = noun_phrase(token, at) if at < len(token) else (None, at)
            if (
                phrase
                and phrase.name
                and phrase.head not in lexicon.NO_THINGS
                and (not phrase.bare or nouns.is_plural(phrase.head) or nouns.is_mass(phrase.head))
            ):
                self.knowledge.add(phrase, self.turn, within=self.subject)
            at = end if end > at else at + 1

    def _adjective(self, word: str, copula: bool) -> bool:
        """A lone word: "the grass is wet", "it is sunny"."""
        if word in lexicon.WEATHER and self.subject is None:
            self.knowledge.weather = self.knowledge.weather or word
        elif copula and self.subject is not None and word in lexicon.ADJECTIVES and word not in self.subject.adjectives:
            self.subject.adjectives.append(word)
        return copula and word in lexicon.ADVERBS | lexicon.FINITE
