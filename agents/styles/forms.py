"""Bring what anybody wrote into the form of a style: one line, its limit in whole words, no "image of".

    text_in_form("Alt text: An image of a dog.", "alt", 125)        # "A dog."
    tags_in_form("Dogs, dog; stop_sign", 30)                        # ("dog", "stop sign")

Whatever goes in, the limits hold for what comes out. Everything here is pure and takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from agents.claims import words
from agents.styles.vocabulary import Vocabulary, base_tag, tag_key
from agents.text.cleaning import clean_summary, plain_text
from core.text import sentences, settled, shortened

MOST_TAGS: Final = 50
TAG_WORDS: Final = 4  # of one tag
TAG_CHARS: Final = 60
JOINT: Final = ", "

_PICTURES: Final = r"(?:images?|pictures?|photos?|photographs?|pics?|snapshots?)"
_OF: Final = re.compile(rf"\b({_PICTURES})\s+of\b", re.IGNORECASE)
_LABEL: Final = re.compile(
    r"(?:alt(?:ernative)?(?:[ -]?text)?|caption|description|(?:short|training) caption|tags|keywords|answer)\s*[:=]\s*",
    re.IGNORECASE,
)
_KIND: Final = r"(?:(?:an?|the|this|these|that) )?(?:[a-z-]{1,20} ){0,2}?"
_THIS: Final = rf"(?:an?|the|this|these|that) (?:[a-z-]{{1,20}} )?(?:{_PICTURES}|scene)"
_LEADS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_KIND}{_PICTURES} of ",
        rf"{_THIS} (?:is|are) (?:of )?(?=(?:an?|the|some|two|three) )",
        rf"{_THIS} (?:shows?|depicts?|features?|captures?|contains?|displays?|presents?|showing|depicting|featuring) ",
        rf"in (?:the|this) (?:{_PICTURES}|scene),? (?:there (?:is|are) |we (?:can )?see )?",
        r"(?:there|this|these|it) (?:is|are) (?=(?:an?|the|some|one|two|three|four|five|six|several|many|no) )",
        r"(?:we|you|i) (?:can )?see ",
        r"it (?:also )?(?:shows|depicts) ",
    )
)
_EDGES: Final = " `*_-–—•,;:"
_BETWEEN_TAGS: Final = re.compile(r"[,;\n•|、，；]+")
_NUMBERING: Final = re.compile(r"(?:\(?\d{1,3}[.):]|[-*#>]+)\s+|[#*]+")
_NO_TAGS: Final = words.PICTURE | words.DETERMINERS | frozenset({"", "tag", "tags", "keyword", "keywords", "none"})


def without_lead(text: str) -> str:
    """`text` without words that only say that there is a picture, and never with "image of" in it."""
    return _OF.sub(r"\1 showing", settled(_lead_once, text))


def _lead_once(text: str) -> str:
    text = unquoted(text)
    if label := _LABEL.match(text):
        text = text[label.end() :]
    for lead in _LEADS:
        if (found := lead.match(text)) and text[found.end() :].strip(" .!?"):
            text = text[found.end() :]
            return text[:1].upper() + text[1:]
    return text


def unquoted(text: str) -> str:
    """`text` without marks and signs around it; quotation marks within it stay."""
    text = text.strip(_EDGES).strip()
    for first, last in ('""', "“”", "''", "‘’", "«»"):
        inner = text[1:-1] if len(text) > 1 and text[0] == first and text[-1] == last else first
        if first not in inner and last not in inner:
            text = inner.strip()
    return text


def _cleaned(text: str) -> str:
    """A reply as one clean line; a quotation at its beginning or end keeps both its marks."""
    cleaned, text = clean_summary(text), text.strip()
    if cleaned.count('"') % 2:
        cleaned = f'{cleaned}"' if text.endswith('"') else f'"{cleaned}' if text.startswith('"') else cleaned
    return cleaned


def text_in_form(text: str, style: str, most: int) -> str:
    """A text of `style` in at most `most` characters; "" if nothing of it can be used."""
    text = _cleaned(text)
    if style in ("alt", "short", "prompt"):
        text = " ".join(without_lead(sentence) for sentence in sentences(text))
        text = without_lead(text)
    if style == "short":
        text = next(iter(sentences(text)), "")
    text = unquoted(text)
    if not any(character.isalnum() for character in text):
        return ""
    if style == "prompt":
        return lowered(_unstopped(shortened(_unstopped(text), most)))
    text = shortened(text, most)
    text = text[:1].upper() + text[1:]
    if style in ("alt", "short") and text and text[-1].isalnum() and len(text) < most:
        text += "."
    return text


def _unstopped(text: str) -> str:
    return text.rstrip(" .") if not text.endswith("...") else text


def lowered(text: str) -> str:
    """A text that follows others in a line: without its capital, unless a name or an abbreviation begins it."""
    first = text.partition(" ")[0].strip(",.;:")
    small = first.lower()
    if first[1:].islower() or len(first) == 1:
        known = (
            small in words.DETERMINERS or small in words.COUNTS or small in words.COLOURS or small in words.VAGUE_COUNTS
        )
        from core.english import wordnet

        if known or any(use in wordnet.uses(small) for use in ("a", "v")) or wordnet.known(base_tag(small), "n"):
            return text[:1].lower() + text[1:]
    return text


def split_tags(text: str) -> list[str]:
    """The tags of a reply, as they were written."""
    found = []
    for part in _BETWEEN_TAGS.split(text[:20_000]):
        part = plain_text(part)
        if label := _LABEL.match(part):
            part = part[label.end() :]
        if number := _NUMBERING.match(part):
            part = part[number.end() :]
        if part := part.strip(f"{_EDGES}.\"'“”‘’"):
            found.append(part)
    return found


def tags_in_form(given: Sequence[str], most: int, vocabulary: Vocabulary | None = None) -> tuple[str, ...]:
    """Tags in their base form or as the vocabulary has them, each once, in at most `most` characters with commas."""
    found: dict[str, str] = {}
    for tag in given:
        tag = base_tag(_without_determiner(tag))
        if vocabulary is not None:
            entry = vocabulary.entry(tag)
            if entry is not None:
                found.setdefault(tag_key(entry), entry)
            continue
        usable = tag not in _NO_TAGS and any(character.isalnum() for character in tag)
        if usable and len(tag) <= TAG_CHARS and len(tag.split()) <= TAG_WORDS and not _OF.search(tag):
            found.setdefault(tag_key(tag) or tag, tag)
    if vocabulary is None:  # "chair, black chair": the thing is said once
        for key, tag in list(found.items()):
            first, _, rest = tag.partition(" ")
            if first in words.COLOURS and tag_key(rest) in found:
                del found[key]
    kept: list[str] = []
    length = -len(JOINT)
    for tag in list(found.values())[:MOST_TAGS]:
        if length + len(JOINT) + len(tag) <= most:
            kept.append(tag)
            length += len(JOINT) + len(tag)
    return tuple(kept)


def _without_determiner(tag: str) -> str:
    spoken = tag.split()
    while len(spoken) > 1 and spoken[0].casefold() in words.DETERMINERS | words.COUNTS.keys() | words.VAGUE_COUNTS:
        spoken = spoken[1:]
    return " ".join(spoken)
