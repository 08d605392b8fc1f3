"""Text for people: errors as one sentence, text of models and files escaped, numbers with units."""

from __future__ import annotations

import base64
import html
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import streamlit as st

from core.errors import InquisightError, printable

log = logging.getLogger("inquisight.ui")


def error_message(error: BaseException) -> str:
    """The sentence that a visitor reads about `error`.

    Inquisight's own errors are sentences. Any other error is logged with its traceback under a random number, and the
    visitor reads that number.
    """
    if isinstance(error, InquisightError):
        return sentence(str(error))
    if isinstance(error, MemoryError):
        return "The machine is out of memory; try a smaller image or model."
    number = secrets.token_hex(4)
    log.error("[%s] %s", number, type(error).__name__, exc_info=error)
    return f"An unexpected error occurred; the dashboard's log has the details under number {number}."


def sentence(text: str) -> str:
    """`text` in one line with a capital at its start and a full stop at its end."""
    text = " ".join(printable(text, limit=600).split())
    if not text:
        return "Something went wrong."
    head, _, rest = text.partition(" ")
    # A first word that is a name ("openai:gpt-4o", "photo.jpg") stays as it is.
    if head.islower() and head.rstrip(",;.!?").isalpha():
        text = f"{head[:1].upper()}{head[1:]}{' ' if rest else ''}{rest}"
    return text if re.search(r"[.!?…]['\"”’)]*$", text) else f"{text}."


def capital(text: str) -> str:
    """`text` with a capital at its start."""
    return text[:1].upper() + text[1:]


def plain(text: object, limit: int | None = None) -> str:
    """`text` escaped for Markdown: it is shown literally, without formatting, icons or links."""
    clean = re.sub(r"([\\`*_\[\]<>~|$&])", r"\\\1", printable(text, limit))
    clean = re.sub(r":(?=[A-Za-z]|//)", r"\\:", clean)  # :smile:, :material/x: and addresses
    clean = re.sub(r"(?i)\bwww\.", r"www\\.", clean)
    clean = re.sub(r"^(\s*)([#+\-=])", r"\1\\\2", clean)
    return re.sub(r"^(\s*\d+)([.)])", r"\1\\\2", clean)


_ALIKE: Final = str.maketrans("*_~`$", "∗ˍ∼ʼ＄")  # Markdown's paired signs, and signs that look like them


def label(text: object, limit: int | None = None) -> str:
    """`text` as a widget label: without effective Markdown, and without escapes.

    Streamlit renders a label as Markdown and gives the same characters to screen readers, which would read escapes
    aloud. Signs that Markdown would interpret are replaced by similar ones; most file names need no change.
    """
    clean = printable(text, limit).strip()
    for sign in "*_~`$":
        # An underscore within a word, or a sign without a partner, has no effect.
        free = re.findall(r"(?<!\w)_|_(?!\w)" if sign == "_" else re.escape(sign), clean)
        if len(free) > 1:
            clean = clean.replace(sign, sign.translate(_ALIKE))
    clean = clean.replace("<", "‹").replace(">", "›").replace("](", "] (").replace("][", "] [")
    clean = re.sub(r"\\(?=[!-/:-@\[-`{-~])", "∖", clean)
    clean = re.sub(r"&(?=#?\w+;)", "＆", clean)
    clean = re.sub(r":(?=//|[\w+\-/]*[:\[])", "∶", clean)  # addresses, :smile:, :red[x]
    clean = re.sub(r"(?i)\bwww\.", "www․", clean)
    clean = re.sub(r"^(#{1,6}|[-+*]|\d+[.)]) ", "\\1\u00a0", clean)  # no heading and no list
    return clean.replace("-", "‑") if re.fullmatch(r"[-= ]+", clean) else clean


def escape(value: object) -> str:
    """`value` as HTML text, for attributes too."""
    return html.escape(str(value), quote=True)


def tag(words: str, kind: str = "") -> str:
    """A small label, as HTML."""
    return f'<span class="iq-tag {escape(kind)}">{escape(words)}</span>'


def data_url(jpeg: bytes) -> str:
    """An image embedded in the page."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def count(number: int, one: str) -> str:
    """ "1 answer", "2 answers"."""
    return f"{number:,} {one if number == 1 else one + 's'}"


def seconds(value: float) -> str:
    """A duration: "0.4 s", "12 s", "3 min 5 s", "2 h 10 min"."""
    if value < 60:
        return f"{value:.{int(value < 10)}f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(nbytes: float) -> str:
    """A number of bytes: "512 B", "24.5 MB", "1.3 GB"."""
    units = ["TB", "GB", "MB", "kB"]
    unit = "B"
    while nbytes >= 1000 and units:
        nbytes, unit = nbytes / 1000, units.pop()
    return f"{nbytes:.{int(unit != 'B' and nbytes < 100)}f} {unit}"


@contextmanager
def show_errors() -> Iterator[None]:
    """Show an exception raised inside as an error box with one sentence; the rest of the page is drawn.

    Streamlit's own control flow exceptions are no `Exception` and pass through.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the last frame before the visitor
        st.error(plain(error_message(error)), icon=":material/error:")


_ATTEMPT: Final = "inquisight.attempt"


def attempt(act: Callable[..., object], *args: object, **more: object) -> None:
    """For `on_click`: call `act`, and keep its error for `show_attempt_error`.

    An action in a callback happens even if another event reruns the page before the line of its button is reached;
    after `if st.button(...)` the click would be lost.
    """
    try:
        act(*args, **more)
    except Exception as error:  # noqa: BLE001 - the last frame before the visitor
        st.session_state[_ATTEMPT] = error_message(error)


def show_attempt_error() -> None:
    """Show the error of the last `attempt` once."""
    if said := st.session_state.pop(_ATTEMPT, ""):
        st.error(plain(said), icon=":material/error:")
