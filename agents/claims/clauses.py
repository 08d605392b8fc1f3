"""Split sentences into clauses, parts that are denied or uncertain as a whole."""

from __future__ import annotations

from agents.claims import words
from agents.claims.phrases import ENDS, Token, verb


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
