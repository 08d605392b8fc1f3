"""The claims of a caption as HTML: the text with its false claims marked, and each claim to unfold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import streamlit as st

from agents.audit.captions import counted
from agents.audit.rewrite import false_claims
from ui.text import escape, sentence, tag

if TYPE_CHECKING:
    from core.records import Caption, Claim

_COLOURS: Final = {"supported": "green", "contradicted": "red", "unsupported": "orange", "not asked": ""}


def draw_claims(caption: Caption | None) -> None:
    """The claims of an audited caption; nothing for any other."""
    if caption is not None and caption.claims:
        st.html(claims_html(caption))
    if caption is not None and caption.unaudited:
        why = escape(sentence(caption.unaudited))
        st.html(f'<p class="iq-note">The claims of the caption were not checked: {why}</p>')


def claims_html(caption: Caption) -> str:
    """The description as it was written, false claims marked, and every claim with question, score and answers."""
    rows = "".join(_claim_html(claim) for claim in caption.claims)
    title = "Before the check: " if caption.audited else ""
    marked = "".join(marked_parts(caption.summary, caption.claims))
    return (
        f'<section class="iq-note" aria-label="Checked claims"><p>{title}{marked}</p>'
        f"<details><summary>{escape(counted(caption.claims))}</summary>{rows}</details></section>"
    )


def marked_parts(text: str, claims: Sequence[Claim]) -> Iterator[str]:
    """The text as HTML, with what is not supported marked."""
    end = 0
    for claim in sorted(false_claims(claims), key=lambda one: (one.start, -one.end)):
        if claim.start < end:
            continue  # within another one
        yield escape(text[end : claim.start])
        yield f'<mark title="{claim.verdict}">{escape(text[claim.start : claim.end])}</mark>'
        end = claim.end
    yield escape(text[end:])


def _claim_html(claim: Claim) -> str:
    verdict = claim.verdict or "not asked"
    score = "" if claim.score is None else f" {claim.score:.2f}"
    facts = [
        _asked(claim),
        f"Checked by {escape(claim.evidence)}." if claim.evidence else "",
        f"Said in answer {', '.join(map(str, claim.turns))}." if claim.turns else "No answer says it in these words.",
    ]
    return (
        f"<details><summary>{escape(claim.text)}{tag(f'{verdict}{score}', _COLOURS[verdict])}</summary>"
        f"<p>{' '.join(filter(None, facts))}</p></details>"
    )


def _asked(claim: Claim) -> str:
    """The question about the claim as HTML, or why there was none; "" if witnesses had said it."""
    if claim.question:
        return f"Asked: {escape(claim.question)}"
    if claim.verdict is None:
        return "Not asked, since no single frame shows it."
    return "" if claim.verdict == "supported" else "Not asked, since what it depends on is not there."
