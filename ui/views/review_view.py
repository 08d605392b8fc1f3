"""What a reviewer sees and presses: the picture of a text, the key on a button, a change marked word by word."""

from __future__ import annotations

import difflib
import string
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from core.errors import InquisightError, printable
from core.images.picture import open_picture
from core.settings import get_settings
from ui.state.pictures import small
from ui.text import complete, count, plain
from ui.views.style import tag, text

if TYPE_CHECKING:
    from training.curation.review.labels import Agreement, Kinds
    from training.curation.workspace import Difference

TAKEN: Final = frozenset("cr")  # keys that Streamlit keeps for itself
MOVES: Final = {"keep": "k", "skip": "s", "back": "b", "undo": "u", "edit": "m"}
# Enter and the space bar are not among them: they press the button that has the focus.
SHOWN: Final = 900  # pixels
MOST: Final = 30  # differences, or hits of a rule, on one page


def letters(kinds: Kinds) -> dict[str, str]:
    """The key of each kind of error, by its name, and of each move; the kinds' own where a browser page can have it."""
    found: dict[str, str] = {}
    for kind in kinds.kind:
        if kind.key not in TAKEN:
            found[kind.name] = kind.key
    wanted = [(kind.name, "") for kind in kinds.kind if kind.name not in found]
    free = [key for key in string.digits[1:] + "0" + string.ascii_lowercase if key not in TAKEN]
    for name, key in [*MOVES.items(), *wanted]:
        used = set(found.values()) | (set(MOVES.values()) if name not in MOVES else set())
        if not key or key in used:
            key = next((one for one in free if one not in used), "")
        if key:
            found[name] = key
    return found


def picture_of(path: str) -> bytes | str:
    """A JPEG of the picture at `path`, or a sentence that says why there is none."""
    try:
        stamp = Path(path).stat().st_mtime_ns if path else 0
    except OSError:
        return f"The picture '{printable(path, 80)}' is not there any more."
    try:
        return _picture(path, stamp)
    except InquisightError as error:
        return complete(str(error))


@st.cache_data(max_entries=48, show_spinner=False)
def _picture(path: str, _: int) -> bytes:
    return small(open_picture(path, max_pixels=get_settings().max_pixels).image, SHOWN)


def marked_change(before: str, after: str) -> str:
    """`before` and `after` as one text, HTML: what went is struck out, what came is underlined."""
    old, new = before.split(), after.split()
    parts: list[str] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, came = (text(printable(" ".join(words), limit=None)) for words in (old[a:b], new[c:d]))
        if kind == "equal":
            parts.append(came)
            continue
        if gone:
            parts.append(f"<del>{gone}</del>")
        if came:
            parts.append(f"<ins>{came}</ins>")
    return " ".join(parts)


def draw_agreement(pairs: list[Agreement], differences: list[Difference]) -> None:
    """How far each two reviewers agree, and the texts on which they do not."""
    for pair in pairs:
        one, other = pair.reviewers
        st.subheader(plain(f"{one} and {other}"), anchor=False)
        with st.container(horizontal=True):
            st.metric("Texts seen by both", pair.texts)
            st.metric("With equal labels", pair.equal)
            st.metric(
                "Cohen's kappa", _kappa(pair.faulty), help="Of any error: 1 is full agreement, 0 what chance gives"
            )
        rows = "".join(
            f"<tr><td>{text(kind)}</td><td style='text-align:right'>{text(_kappa(value))}</td></tr>"
            for kind, value in pair.kinds.items()
        )
        with st.expander("Kappa by kind of error"):
            st.html(f"<table><tr><th scope='col'>Kind of error</th><th scope='col'>Kappa</th></tr>{rows}</table>")
            st.caption("It is not defined where both always say the same.")
    st.subheader(f"{count(len(differences), 'text')} on which they differ", anchor=False)
    for differing in differences[:MOST]:
        with st.container(border=True):
            left, right = st.columns([1, 3], gap="medium")
            shown = picture_of(differing.item.picture)
            if isinstance(shown, bytes):
                left.image(shown, alt=f"Picture {differing.item.id}", width=160)
            said = "".join(
                f"<p><b>{text(name)}:</b> {' '.join(tag(kind) for kind in label.kinds) or 'fine'}"
                f"{f' <em>{text(label.note)}</em>' if label.note else ''}</p>"
                for name, label in differing.said.items()
            )
            right.html(f"<p>{text(printable(differing.item.text, limit=None))}</p>{said}")
    if len(differences) > MOST:
        st.caption(f"These are the first {MOST}.")


def _kappa(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"
