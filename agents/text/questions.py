"""Check that a questioner's reply is one question about the picture.

    fault = find_fault(clean_question(reply), said=reply, last_answer="A duck.", prompts=prompt_echo(texts))
    fault                               # None, or why it is refused: "statement", "apology", "prompt" ...

Pure rules, no model. Grammar is checked in English; in other languages a question mark, the language's own question
words, or one of its imperatives is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from agents.text.cleaning import FILLER, AskedQuestions, question_key
from core.tasks import is_nothing_new
from core.text import sentences

Fault = Literal[
    "empty",  # nothing that could be a question
    "sentences",  # more than one sentence, or too many words
    "statement",  # neither a question nor an imperative
    "apology",
    "talk",  # about the conversation, its notes or its speakers, or a role mark
    "tool call",
    "prompt",  # repeats our prompt
    "answer",  # repeats the last answer
    "vague",  # names nothing to look at, so it asks the opening question again; or what no picture shows
    "negated",  # asks for what is not there
    "unnamed",  # about a thing that no answer has named
    "repeated",  # was asked before
    "too early",  # no question: the questioner wants to end
]

MOST_WORDS: Final = 45
_SEVERAL: Final = 3  # question words of several questions in one
_RUN: Final = 5  # words of a prompt in a row
_ALIKE: Final = 0.6  # share of content words in common
_QUOTED: Final = re.compile(r"\"[^\"\n]{0,400}\"")
_SAID: Final = re.compile(r"(?<!\w)['\"“‘«][^'\"“”‘’«»\n]{0,200}['\"”’»](?!\w)")
_FIELD: Final = re.compile(r"\{[a-z_]{1,40}\}")
_WORDS: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_LATIN: Final = re.compile(r"[a-zA-ZÀ-ɏ]")
_CLAUSE: Final = re.compile(r"[,;:.!?–—]|\s-\s|\b(?:but|so)\b")
_QUESTION_MARKS: Final = "?？؟;՞፧⸮"

_IMPERATIVES: Final = frozenset(
    # English
    "describe tell name list count explain give identify specify state say mention point elaborate detail compare "
    "indicate read provide please "
    # German, Dutch
    "beschreibe beschreib beschreiben nenne nenn nennen zähle zähl zählen sage sag sagen erzähle erzählen bitte "
    "beschrijf noem tel vertel zeg "
    # French
    "décris décrivez nomme nommez compte comptez dis dites indique indiquez énumère énumérez précise précisez "
    # Spanish, Portuguese, Italian
    "describa describe di diga dime dígame nombra nombre cuenta cuente enumera enumere indica indique explica "
    "descreva descreve diga conte liste enumere descrivi descriva elenca elenchi conta nomina dimmi dica "
    # Polish, Czech, Russian, Ukrainian, Turkish
    "opisz wymień policz powiedz podaj popiš popište опиши опишите назови назовите расскажи расскажите скажи скажите "
    "перечисли перечислите опишіть tanımla anlat söyle".split()
)
# Words of a question in scripts whose questions often have no mark.
_ASKING: Final = re.compile(
    r"什么|什麼|哪|几|幾|多少|谁|誰|吗|嗎|呢|怎|请描述|請描述|描述|说说|告诉|何|どこ|どの|どれ|どんな|いくつ|いつ|だれ|なに|ですか|ますか|"
    r"ください|教えて|説明して|述べて|까|나요|니까|무엇|어디|몇|누구|무슨|어떤|설명해|อะไร|ไหน|กี่|ไหม|ใคร|อย่างไร|क्या|कहाँ|कितने|कौन|"
    r"ما|أين|كم|من|هل|صف|מה|איפה|כמה|מי|האם|תאר"
)
_WH: Final = frozenset("what which who whom whose where when why how what's where's who's how's".split())
_AUXILIARY: Final = frozenset(
    "is are was were do does did can could has have had will would should may might isn't aren't doesn't don't".split()
)
_DECLARES: Final = frozenset("this that it there he she they you we these those it's that's there's".split())
_I: Final = frozenset("i'm i'll i've i'd we're we'll we've let's let".split())
_I_AM: Final = frozenset(
    "am can cannot can't do don't have see think know want need was will would apologize apologise understand guess "
    "believe ask give are should could".split()
)
_YOU: Final = frozenset("you you're you'll you've you'd".split())
_YOU_SAID: Final = frozenset("said mentioned described noted told".split())  # "you mentioned a dog: what breed is it?"
_SORRY: Final = re.compile(
    r"^(?:i'?m |i am )?(?:so |very |really )?sorry\b|\bi(?:'m| am) (?:\w+ )?sorry\b|\b(?:i|my) apologi[sz]e?s?|"
    r"^apologies\b|^(?:unfortunately|excuse me|forgive me)\b|\b(?:as|i'?m|i am) an? (?:ai|language model|assistant)\b"
)
_ABOUT_TALK: Final = re.compile(
    r"\b(?:the|these|your|my|our|those) (?:notes?|instructions?|prompts?|conversation|dialogue|rules)\b|"
    r"\b(?:(?:an?|one|the|this|that|my|your|next|new|no|any)(?: (?:more|new|other|next|different|another|last|first|"
    r"above|following|previous|short|specific|good|very|single)){0,3}+|another|different|more|other|new|next) "
    r"(?:question|answer|reply|response)s?\b|\bask (?:me|you|about something|something|again|your|for more)\b|"
    r"\b(?:answer|reply|respond)(?:ing)? (?:me|to|with|your(?:self)?|exactly)\b|"
    r"\bnothing (?:new|is left|else|more) (?:to|for)\b"
)
_MAY_BE_SHOWN: Final = frozenset("note question answer instruction rule prompt conversation".split())
_TO_THE_SPEAKER: Final = re.compile(
    r"\bwhat (?:do|did|does) (?:you|that|it|this) (?:mean\b|(?:think|want|need)\W{0,9}$)|\b(?:help|assist) you\b|"
    r"\b(?:what|how) (?:can|should|could|do|must|shall) i (?:do|say|ask|find|know)\b|"
    r"\bwho are you\b|\bhow are you\b|\bmy\b|"
    r"\byour\b(?! (?:eyes?|attention|view|perspective|left|right|description)\b)|\byou said\W{1,3}[\"“']|"
    r"\bdo you (?:understand|need|want|like)\b|"
    r"\bwould you like\b|\bwhat (?:is|are|'s) you\b|\bare you (?:sure|there|ready|able|an?)\b|"
    r"\byou(?:'re| are| were) (?:not )?"
    r"(?:asking|talking|saying|telling|asked|told|supposed|allowed)\b|\basking (?:you|me)\b|"
    r"\byou (?:want|asked|forgot|know|feel|like|prefer|think (?:of|about|is|that))\b|"
    r"\bmakes? (?:you|me|us|one) \w|\b(?:to|for) you\b|"
    r"\bhow (?:can|could|do|did) (?:you|i|we) (?:tell\b(?! (?:me|us))|know\b)|"
    r"\bwhat (?:would|will) happen\b|\bwhat (?:happens|comes) next\b|"
    r"\bwhat (?:can|could|should) we (?:do|say|talk|ask)\b|"
    r"\bwhat if\b|\bi (?:am|saw|said|asked|can ask)\b|\byou can (?:think|imagine)\b|"
    r"\b(?:describe|find|draw|imagine|show me) an? (?:picture|photo|photograph|image)\b"
)
_ROLE: Final = re.compile(r"\b(?:system|user|human|assistant|developer|tool|question|answer)\s?\d{0,3} -(?:\s|$)|<\|")
_CALL: Final = re.compile(r"[{}<>]|```|\b\w{1,60}+\(\s?[\w\"']{1,60}+\s?[=:,]|\"\w{1,60}+\"\s?:")
_LEFT: Final = re.compile(r"\((?:colou?r|number|place|material|action)[,)]")  # the list of what is left to ask
_ENDING: Final = re.compile(
    r"(?:there is |i have |there's )?(?:nothing (?:new|else|more|left|is left)|no (?:more|further|other) questions?)\b"
)
_ABSTRACT: Final = frozenset(
    "story stories difference differences meaning definition purpose reason sentence sentences phrase phrases clause "
    "clauses topic category categories example examples concept description".split()
)
_DEFINES: Final = re.compile(r"what(?:'s| is) an? ")
_DEFINITE: Final = re.compile(r"\b(?:the|this|that|these|those|his|her|its|their)\b")
_NO_LOOKING: Final = re.compile(
    r"how to\b|how (?:do|does|did|can|could|should|would) (?:you|i|we|one)\b(?! (?:describe|characteri[sz]e)\b)|"
    r"(?:ask|write|choose)\b|how (?:is|was) (?:that|this|it) possible\b"
)
# About the picture as an object, or about what may be done.
_NOT_SHOWN: Final = re.compile(
    r"\b(?:can|could|should|may|might|would|to) (?:else )?be (?:done|made)\b|"
    r"\b(?:that|this|it) means?\b|\byou(?:'re| are) looking (?:at|for)\b|"
    r"\bhow (?:is|was) (?:it|this|that) (?:done|made)\b|"
    r"\b(?:picture|image|photo|photograph)(?:'s| is| was| are)?(?: \w+)? made\b|"
    r"\b(?:other|back|reverse|opposite) side of (?:the|this|that) (?:picture|image|photo|photograph)\b"
)
_IN_THE_PICTURE: Final = re.compile(
    r"(?:and |so )?what(?:'s| is| are| can be seen) (?:in|inside|within|on) (?:the|this|that) "
    r"(?:whole )?(?:picture|image|photo|photograph|scene)\W*$"
)
_AND: Final = re.compile(r"[,;]? and (?=(?:what|which|who|where|how|is|are|does|do|can)\b)")
_NAMELESS: Final = re.compile(
    r"(?:and |so )?(?:(?:what|which)(?: other)? (?:colou?r|object|thing|item|part|kind|type|sort|side|one|number|"
    r"place)s?(?: (?:is|are) (?:that|this|those|these|there|next))?|"
    r"what(?:'s| is| are) (?:the|an?)(?: (?:other|next|last|first))? (?:outside|inside|other|rest|middle|left|right|"
    r"top|bottom|side|corner|edge|end|front|one|object|thing|item)s?"
    r"(?: (?:of|in) (?:the|this|that) (?:picture|image|photo|photograph|scene))?)\W*$"
)
_NEEDS_THING: Final = frozenset("number place material action size shape look looking like show depict".split())
_REFERS: Final = re.compile(r"\b(?:it|its|they|them|their|he|she|him|her|his)\b")
_WHOLE: Final = re.compile(r"what does (?:the|this) (?:whole )?(?:picture|image|photo|photograph|scene)\b")
_PLAIN: Final = frozenset("what which what's how".split())
_EMPTY_WORDS: Final = frozenset(
    "thing new next name little bit more detail something anything everything much lot just".split()
)


def find_fault(
    question: str,
    *,
    said: str = "",
    last_answer: str = "",
    answers: str = "",
    prompts: PromptEcho | None = None,
    asked: AskedQuestions | None = None,
) -> Fault | None:
    """Why `question`, a reply after `clean_question`, is refused; None if it is a question about the picture.

    `said`: the reply before cleaning. `last_answer` and `answers` (all of them) are the vision model's: a question may
    speak of notes or of questions if these show some. `prompts`: what may not be repeated. `asked`: earlier questions.
    """
    bare = " ".join(question.replace("’", "'").split())
    lower = bare.casefold()
    if not lower or not _WORDS.search(lower):
        return "tool call" if _CALL.search(said) else "empty"
    if wants_to_end(question):
        return "too early"
    if _SORRY.search(lower):
        return "apology"
    if _CALL.search(bare):
        return "tool call"
    if prompts is not None and prompts.repeats(bare):
        return "prompt"
    if _ROLE.search(lower) or _NO_LOOKING.match(lower) or _about_talk(lower, answers.casefold()):
        return "talk"
    if len(sentences(bare)) > 1 or len(bare.split()) > MOST_WORDS:
        return "sentences"
    if _states(lower):
        return "statement"
    if _LEFT.search(lower):
        return "prompt"
    if sum(word in _WH for word in _WORDS.findall(lower)) >= _SEVERAL:
        return "sentences"
    if asked is not None and bare in asked:
        return "repeated"
    if last_answer and _echoes(lower, last_answer):
        return "answer"
    return "vague" if _is_vague(lower) or _is_abstract(lower, answers.casefold()) else None


def wants_to_end(text: str) -> bool:
    """Whether a reply says that there is nothing left to ask."""
    lower = " ".join(text.split()).casefold().strip(" \"'“”.*")
    return bool(lower) and (is_nothing_new(text) or ("?" not in lower and bool(_ENDING.match(lower))))


def _about_talk(lower: str, answers: str) -> bool:
    """Whether it speaks of the conversation or to its speaker, in words that no answer has used of the picture."""
    if _TO_THE_SPEAKER.search(lower):
        return True
    spoken = (found[0].split()[-1].rstrip("s") for found in _ABOUT_TALK.finditer(lower))
    return any(word not in _MAY_BE_SHOWN or word not in answers for word in spoken)


def _states(lower: str) -> bool:
    """Whether it is neither a question nor an imperative, or contains a statement of the speaker."""
    words = [word.replace("’", "'") for word in _WORDS.findall(lower)]
    marked = lower.rstrip(" \"'”’»」』)*_").endswith(tuple(_QUESTION_MARKS))
    if words[0] in _IMPERATIVES:
        return False
    clauses = [_WORDS.findall(clause) for clause in _CLAUSE.split(_SAID.sub(" ", lower))]
    if any(_is_speakers(clause) for clause in clauses):
        return True
    if marked:
        return words[0] in _DECLARES and not any(word in _WH for word in words)
    if not _LATIN.search(lower):
        return not _ASKING.search(lower)
    # A question without its mark: "what colour is the duck"
    asks = words[0] in _WH and any(word in _AUXILIARY for word in words[1:6])
    return not (asks and words[1:2] not in (["a"], ["an"]))


def _is_speakers(clause: list[str]) -> bool:
    """Whether a clause is a statement about the speakers: "I'm not sure", "you are asking me"."""
    first, second = ([*clause[1:3], "", ""] if clause[:1] == ["and"] else [*clause[:2], "", ""])[:2]
    if first in _I or (first in ("i", "we") and second in _I_AM):
        return True
    return first in _YOU and second not in _YOU_SAID


def _echoes(lower: str, answer: str) -> bool:
    """Whether the question says nothing but what one sentence of the answer says."""
    content = set(question_key(lower)) - _EMPTY_WORDS
    return len(content) > 1 and any(content <= set(question_key(one)) for one in sentences(answer))


def _is_vague(lower: str) -> bool:
    """Whether it names nothing: "What is in the picture?", "Tell me a little more." """
    if _WHOLE.match(lower) and lower.rstrip("? ").endswith("look like"):
        return True
    if (first := _AND.split(lower)[0]) != lower and _is_vague(first):
        return True
    if _NAMELESS.match(lower) or _IN_THE_PICTURE.match(lower) or _NOT_SHOWN.search(lower):
        return True
    if _DEFINES.match(lower) and not _DEFINITE.search(lower):
        return True
    refers = bool(_REFERS.search(lower))
    words = [word for one in question_key(lower) if (word := one.removesuffix("'s")) not in _NEEDS_THING or refers]
    return all(word in _PLAIN or word in _EMPTY_WORDS or word in FILLER for word in words)


def _is_abstract(lower: str, answers: str) -> bool:
    """Whether it asks for what no picture shows, in words that no answer has used."""
    return any(word in _ABSTRACT and word not in answers for word in _WORDS.findall(lower))


@dataclass(frozen=True, slots=True)
class PromptEcho:
    """The words of our prompts, to recognise a reply that repeats them."""

    sentences: tuple[frozenset[str], ...]
    runs: frozenset[tuple[str, ...]]

    def repeats(self, text: str) -> bool:
        """Whether `text` has five words of a prompt in a row, or most content words of one of its sentences."""
        words = _WORDS.findall(text.casefold())
        if any(run in self.runs for run in _runs(words)):
            return True
        content = frozenset(question_key(text))
        return len(content) > 2 and any(
            len(content & one) >= _ALIKE * len(content | one) for one in self.sentences if len(one) > 2
        )


@lru_cache(maxsize=32)
def prompt_echo(texts: tuple[str, ...]) -> PromptEcho:
    """The echo of these prompts. Examples in quotes and {fields} do not count: a question may be like an example."""
    found: list[frozenset[str]] = []
    runs: set[tuple[str, ...]] = set()
    for text in texts:
        for part in _FIELD.split(_QUOTED.sub(" {quoted} ", text)):
            for sentence in sentences(part):
                found.append(frozenset(question_key(sentence)))
                runs.update(_runs(_WORDS.findall(sentence.casefold())))
    return PromptEcho(tuple(found), frozenset(runs))


def _runs(words: list[str]) -> Iterable[tuple[str, ...]]:
    return (tuple(words[place : place + _RUN]) for place in range(len(words) - _RUN + 1))
