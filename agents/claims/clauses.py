"""Split sentences into clauses, parts that are denied or uncertain as a whole."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

from agents.claims import words
from agents.claims.phrases import ENDS, Token, verb

_COMES: Final = frozenset({"appear", "appears"})  # it comes into view, rather than "it seems"
_BEHIND_COMES: Final = frozenset("in on at from behind next beside near above below and later again there".split())


def clauses(token: list[Token]) -> list[list[Token]]:
    """The clauses of a text, without the signs and words between them."""
    found: list[list[Token]] = [[]]
    for at, one in enumerate(token):
        following = token[at + 1].text if at + 1 < len(token) else ""
        splits = one.text in ("but", "while", "although", "though", "because", "whereas", "suggesting", "indicating")
        new_clause = one.text == "and" and following in ("there", "it", "he", "she", "they", "the", "a", "an")
        if one.kind == "sign" and one.text in ENDS:
            found.append([])
        elif splits or (one.text == "," and following in words.HEDGES):
            found.append([one] if splits else [])
        elif new_clause and _has_verb(token, at + 1) and found[-1] and _has_verb(found[-1], 0):
            found.append([])
        else:
            found[-1].append(one)
    return [clause for clause in found if clause]


def is_hedged(clause: list[Token]) -> bool:
    """Whether a clause is uncertain: "a cup appears to be full", but not "a cup appears" or "appears on the left"."""
    for one, after in zip_longest(clause, clause[1:]):
        comes = one.text in _COMES and (after is None or after.kind == "sign" or after.text in _BEHIND_COMES)
        if one.text in words.HEDGES and not comes:
            return True
    return False


def is_open(clause: list[Token]) -> bool:
    """Whether a clause is denied or uncertain, so that it claims nothing."""
    texts = {one.text for one in clause if one.kind == "word"}
    return bool(texts & words.NEGATIONS) or is_hedged(clause) or any(text.endswith("n't") for text in texts)


def _has_verb(token: list[Token], at: int) -> bool:
    """Whether a verb follows, before the next sign or "and"."""
    if at < len(token) and token[at].text == "there":
        return True
    for one in token[at : at + 12]:
        if one.text in ENDS or one.text in ("and", ",", "with"):
            return False
        if one.text in words.COPULAS | words.AUXILIARIES or (
            one.text.endswith("s") and verb(one.text) in words.POSTURES
        ):
            return True
    return False
