"""What is said of a thing without another thing: adjectives, colours, materials, writing."""

from __future__ import annotations

from dataclasses import dataclass

from agents.claims import words
from agents.claims.found import FoundClaims
from agents.claims.phrases import (
    Token,
    closed,
    is_adjective,
    is_alive,
    is_finite,
    is_ing,
    is_participle,
    noun_phrase,
    preposition,
    verb,
)


@dataclass(slots=True)
class DescribedThings(FoundClaims):
    """The claims so far, and what this clause is about."""

    host: int | None = None  # the subject of this clause
    last: int | None = None  # the thing named last
    copula: bool = False
    colours_of_picture: bool = False

    def dressed(self, at: int) -> int:
        """ "dressed in black and white", "painted white"."""
        end = at + 1 + preposition(self.token, at + 1)
        found = False
        while end < len(self.token) and (self.token[end].text in words.COLOURS | words.SHADES | {"and", ",", "a"}):
            one = self.token[end]
            if one.text == "a" and found:
                break  # "dressed in blue, a blue truck"
            if one.text in words.COLOURS and self.host is not None:
                by = self.token[at].text
                self.add_dress(self.host, f"{by} in" if by == "dressed" else by, one)
                found = True
            end += 1
        while found and self.token[end - 1].text in ("and", ","):
            end -= 1
        self.copula = False
        return end if found else at + 1

    def made_of(self, at: int, host: int | None) -> int:
        """ "of dark wood and metal", behind "made": materials of a thing; returns the end, 0 if there are none."""
        end = at
        while end < len(self.token) and (self.token[end].text.endswith("ly") or self.token[end].text in ("out", "up")):
            end += 1
        if host is None or end >= len(self.token) or self.token[end].text not in ("of", "from", "with"):
            return 0
        found = False
        for one in self.token[end + 1 :]:
            if one.text in words.MATERIALS | words.COLOURS:
                self.add_attribute(host, one.text, one.start, one.end)
                found = found or one.text in words.MATERIALS
            elif one.text not in ("a", "an", "the", "and", ",") and not (is_adjective(one.text) and not found):
                break
            end += 1
        self.copula = self.copula and not found
        return end + 1 if found else 0

    def coloured(self, at: int, host: int) -> int:
        """ "with some blue", "in black and white" at a preposition: colours of a thing; returns the end, 0 if none."""
        end = at + 1
        if [one.text for one in self.token[end : end + 1]] in (["a"], ["some"]):
            end += 1
        if end < len(self.token) and self.token[end].text in words.TOUCHES:
            end += 1 + (end + 1 < len(self.token) and self.token[end + 1].text == "of")
        elif end == at + 2 and self.token[at + 1].text == "a":
            return 0  # "with a red hat", "with a white"
        found: list[Token] = []
        for one in self.token[end:]:
            if one.text in words.COLOURS:
                found.append(one)
            elif one.text not in words.SHADES | {"and", ","}:
                break
            end += 1
        while found and self.token[end - 1].text not in words.COLOURS:
            end -= 1
        following = self.token[end] if end < len(self.token) else None
        if not found:
            return 0
        ends = following is None or closed(following) or is_ing(following.text)
        some = self.token[at + 1].text not in words.COLOURS | words.SHADES
        acts = following is not None and (is_finite(following.text) if some else verb(following.text) in words.POSTURES)
        if not (ends or acts):
            return 0
        part = noun_phrase(self.token, end + 1) if following is not None and following.text == "on" else None
        if part is not None and part.determiner in words.POSSESSIVES:
            end = part.last  # "on its chest"
        elif [one.text for one in self.token[end : end + 2]] in (["on", "it"], ["on", "them"]):
            end += 2
        if len(found) == 1:  # its span is the whole phrase: nothing of it can stay without the colour
            found = [found[0]._replace(start=self.token[at].start, end=self.token[end - 1].end)]
        for one in found:
            if self.token[at].text == "in" and is_alive(self.claims[host].about):
                self.add_dress(host, "dressed in", one)
            else:
                self.add_attribute(host, one.text, one.start, one.end)
        return end

    def add_dress(self, host: int, by: str, one: Token) -> None:
        """ "the man is dressed in black"."""
        colour = words.SAME_COLOUR.get(one.text, one.text)
        text = f"{self.the(host)} {self.be(host)} {by} {colour}"
        self.add("attribute", text, self.claims[host].about, colour, (one.start, one.end), host)

    def adjective(self, at: int) -> int:
        """An adjective behind "is": "the sky is cloudy", "the cat is black"."""
        one = self.token[at]
        if one.kind != "word" or one.text in words.ADVERBS | words.EMPTY | words.DETERMINERS | {"and", "there"}:
            return at + 1
        if self.colours_of_picture and one.text in words.COLOURS:
            self.add_of_picture(words.SAME_COLOUR.get(one.text, one.text), one.start, one.end)
        elif self.copula and self.host is not None and self.describes(one.text):
            self.add_attribute(self.host, one.text, one.start, one.end)
        return at + 1

    def describes(self, word: str) -> bool:
        return is_adjective(word) or is_participle(word) or word in words.COLOURS

    def where(self, one: Token, at: int) -> int:
        following = self.token[at + 1].text if at + 1 < len(self.token) else ""
        if following in words.DETERMINERS:
            return at + 1
        if self.host is not None:
            self.add_attribute(self.host, words.WHERE[one.text], one.start, one.end)
        else:
            self.add_of_picture(words.WHERE[one.text], one.start, one.end)
        return at + 1

    def quote(self, one: Token) -> None:
        host = self.host
        about = self.claims[host].about if host is not None else "writing"
        said = self.text[one.start + 1 : one.end - 1].strip()
        if self.last is not None and host is None:
            host, about = self.last, self.claims[self.last].about
        text = f'the {about} says "{said}"'
        self.add("text", text, about, said, (one.start, one.end), host)
