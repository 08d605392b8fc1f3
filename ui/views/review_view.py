"""Parts of the page Curate: images of texts, keyboard shortcuts, marked changes, agreement between reviewers."""

from __future__ import annotations

import difflib
import string
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from core.errors import InquisightError, printable
from core.images.picture import open_picture
from core.settings import get_settings
from ui.state.images import jpeg
from ui.text import count, escape, plain, sentence, tag

if TYPE_CHECKING:
    from training.curation.review.labels import Agreement, Kinds
    from training.curation.workspace import Difference

RESERVED: Final = frozenset("cr")  # keys that Streamlit uses
# Enter and space are not among them: they press the focused button.
MOVES: Final = {"keep": "k", "skip": "s", "back": "b", "undo": "u", "edit": "m"}
PREVIEW: Final = 900  # pixels
MAX_SHOWN: Final = 30  # differences, or hits of a rule


def shortcuts(kinds: Kinds) -> dict[str, str]:
    """The key of each type of error, by its name, and of each move; the types' own keys unless Streamlit uses them."""
    found = {kind.name: kind.key for kind in kinds.kind if kind.key not in RESERVED}
    rest = {kind.name: "" for kind in kinds.kind if kind.name not in found}
    free = [key for key in string.digits[1:] + "0" + string.ascii_lowercase if key not in RESERVED]
    for name, key in {**MOVES, **rest}.items():
        used = {*found.values(), *(() if name in MOVES else MOVES.values())}
        if not key or key in used:
            key = next((one for one in free if one not in used), "")
        if key:
            found[name] = key
    return found


def image_of(path: str) -> bytes | str:
    """A JPEG of the image at `path`, or a sentence that says why there is none."""
    try:
        return _jpeg(path, Path(path).stat().st_mtime_ns if path else 0)
    except OSError:
        return f"The image '{printable(path, 80)}' does not exist any more."
    except InquisightError as error:
        return sentence(str(error))


@st.cache_data(max_entries=48, show_spinner=False)
def _jpeg(path: str, _: int) -> bytes:
    return jpeg(open_picture(path, max_pixels=get_settings().max_pixels).image, PREVIEW)


def marked_change(before: str, after: str) -> str:
    """`before` and `after` as one HTML text: removed words are struck through, added ones underlined."""
    old, new = before.split(), after.split()
    parts: list[str] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, came = (escape(printable(" ".join(words), limit=None)) for words in (old[a:b], new[c:d]))
        if kind == "equal":
            parts.append(came)
            continue
        if gone:
            parts.append(f"<del>{gone}</del>")
        if came:
            parts.append(f"<ins>{came}</ins>")
    return " ".join(parts)


def draw_agreement(pairs: list[Agreement], differences: list[Difference]) -> None:
    """The agreement of each two reviewers, and the texts on which they differ."""
    for pair in pairs:
        one, other = pair.reviewers
        st.subheader(plain(f"{one} and {other}"), anchor=False)
        with st.container(horizontal=True):
            st.metric("Texts labelled by both", pair.texts)
            st.metric("Equal labels", pair.equal)
            about = "Error or no error: 1 is full agreement, 0 is chance"
            st.metric("Cohen's kappa", _kappa(pair.faulty), help=about)
        rows = "".join(
            f"<tr><td>{escape(kind)}</td><td style='text-align:right'>{escape(_kappa(value))}</td></tr>"
            for kind, value in pair.kinds.items()
        )
        with st.expander("Kappa by type of error"):
            st.html(f"<table><tr><th scope='col'>Type of error</th><th scope='col'>Kappa</th></tr>{rows}</table>")
            st.caption("Undefined if both always give the same label.")
    st.subheader(f"{count(len(differences), 'text')} with different labels", anchor=False)
    for differing in differences[:MAX_SHOWN]:
        with st.container(border=True):
            left, right = st.columns([1, 3], gap="medium")
            shown = image_of(differing.item.picture)
            if isinstance(shown, bytes):
                left.image(shown, alt=f"Image {differing.item.id}", width=160)
            said = "".join(
                f"<p><b>{escape(name)}:</b> {' '.join(tag(kind) for kind in label.kinds) or 'no errors'}"
                f"{f' <em>{escape(label.note)}</em>' if label.note else ''}</p>"
                for name, label in differing.labels.items()
            )
            right.html(f"<p>{escape(printable(differing.item.text, limit=None))}</p>{said}")
    if len(differences) > MAX_SHOWN:
        st.caption(f"The first {MAX_SHOWN} are shown.")


def _kappa(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
