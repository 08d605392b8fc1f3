"""The topic of a question, independent of its wording, so that no question is asked twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

YES_NO: Final = frozenset({"presence", "text", "setting"})


@dataclass(frozen=True, slots=True)
class Topic:
    """A kind of question, and the thing that it asks about, if any."""

    kind: str
    subject: str = ""
    place: str = ""  # "the apple on the left"

    @property
    def yes_no(self) -> bool:
        return self.kind in YES_NO

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal keys: the same question."""
        return self.kind, self.subject, self.place


# In order: the first kind with a pattern that is found is the topic. <A> is a determiner, <S> the thing asked about.
_PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    "things": (r"^which things can be made out",),
    "else": (r"\b(?:what|which|who|anything|something) (?:\w+ )?(?:else|other)", r"anything more", r"apart from"),
    "wording": (r"what (?:does|do) (?:the )?(?:text|sign|writing|words?)\b", r"what (?:is|are|words are) written"),
    "text": (r"\b(?:is|are) there <A>?(?:text|writing|words|letters|lettering)", r"can you read"),
    "setting": (r"\b(?:indoors?|outdoors?|inside or outside|outside or inside)\b",),
    "weather": (r"\bweather\b",),
    "time": (r"\b(?:time of (?:day|year)|season)\b",),
    "background colour": (r"colou?rs? (?:is|are|does|has) the background", r"colou?r of the background"),
    "main colours": (
        r"\b(?:main|dominant|overall) colou?rs?",
        r"(?:what|which) colou?rs? (?:are (?:there|in)|can you see|do you see)",
    ),
    "background": (r"\b(?:background|surroundings|surrounds?|setting)\b",),
    "around": (r"\baround (?:it|them|the \w+)\b",),
    "colour": (
        r"(?:what|which) colou?rs? (?:is|are|does|do|has|have) <A>?<S>(?: have)?$",
        r"colou?rs? of <A>?<S>$",
    ),
    "total": (r"how many (?:different )?(?:things|objects|items)\b",),
    "number": (r"how many <S>(?: (?:are|is|do|can|appear)\b.*)?$",),
    "wearing": (r"what (?:is|are) <A>?<S> wearing",),
    "action": (r"what (?:is|are) <A>?<S> doing", r"what (?:does|do) <A>?<S> do$"),
    "happening": (r"what(?:'s| is) (?:happening|going on)", r"\bactivity\b"),
    "material": (
        r"what (?:is|are) <A>?<S> made (?:of|from)",
        r"(?:what|which) material (?:is|are) <A>?<S>(?: made.*)?$",
    ),
    "size": (r"how (?:big|large|small|tall|long) (?:is|are) <A>?<S>$", r"what size (?:is|are) <A>?<S>$"),
    "kind": (r"what (?:kind|type|sort|breed) of <S>(?: (?:is|are|does|do|can)\b.*)?$",),
    "place": (
        r"^where\b.*?\b(?:is|are) <A>?<S>(?: (?:located|placed|standing|sitting))?$",
        r"whereabouts (?:is|are) <A>?<S>$",
        r"in which part .*?(?:is|are) <A>?<S>$",
    ),
    "spot": (
        r"what (?:is|are|can you see|do you see) (?:there )?"
        r"(?P<s>(?:on|in|at) the (?:left|right|middle|top|bottom|foreground|centre|center)\b)",
    ),
    "presence": (r"^(?:is|are) there <A>?<S>$", r"(?:do|can) you see <A><S>$"),
    "main": (
        r"what (?:is|are) (?:the )?(?:main|most|central|biggest|shown)",
        r"what stands out",
        r"main (?:thing|subject)",
        r"^what (?:is|are) (?:it|this|that|these|they)$",
        r"what (?:can|do) you see",
    ),
    "describe": (r"\bdescribe\b", r"tell me about", r"^what does .* show$"),
}
_A = "(?:the|this|that|these|those|a|an|any|some) "


def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern; with a thing asked about, only its first match position is tried.

    The thing may be any text up to the end, so no later position could match where the first one does not.
    """
    head, mark, tail = pattern.partition("<A>?" if "<A>?" in pattern else "<S>")
    if "<S>" in pattern:
        pattern = rf"\A{''.join(f'(?>.*?(?:{part}))' for part in head.split('.*?'))}{mark}{tail}"
    pattern = pattern.replace("<A>?", f"(?:{_A})?").replace("<A>", _A).replace("<S>", "(?P<s>.+?)")
    return re.compile(pattern, re.DOTALL)


_COMPILED: Final = [(kind, _compiled(pattern)) for kind, patterns in _PATTERNS.items() for pattern in patterns]
_TAIL = re.compile(r"(?: (?:in|of|on) (?:the|this) (?:picture|image|photo|photograph|scene))?$")
_PLACE = re.compile(r" ((?:on|in|at) the (?:(?:top|bottom) )?(?:left|right|middle|top|bottom))$")


def topic_of(question: str) -> Topic:
    """The topic of a question in any wording; kind "other" if it is unknown."""
    text = re.sub(r"\s+", " ", question.lower()).strip().strip("?!. ")
    text = _TAIL.sub("", text)
    for kind, pattern in _COMPILED:
        if found := pattern.search(text):
            subject = _TAIL.sub("", (found.groupdict().get("s") or "").strip())
            place = ""
            if kind not in ("spot", "presence") and (at := _PLACE.search(subject)):
                subject, place = subject[: at.start()], at[1]
            return Topic(kind, re.sub(f"^{_A}", "", subject), place)
    return Topic("other", text)
