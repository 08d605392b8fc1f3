"""Errors as people read them: one sentence, never a stack."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from core.errors import InquisightError, printable

log = logging.getLogger("inquisight.ui")


def sentence(error: BaseException) -> str:
    """What a visitor is told about `error`.

    Our own errors are sentences already. Anything else is logged with its stack under a short number, and the visitor
    gets the number.
    """
    if isinstance(error, InquisightError):
        return complete(str(error))
    if isinstance(error, MemoryError):
        return "This machine has no memory left for that; try a smaller picture or model."
    number = secrets.token_hex(4)
    log.error("[%s] %s", number, type(error).__name__, exc_info=error)
    return f"Something went wrong that should not have; it is number {number} in the log of the dashboard."


def complete(text: str) -> str:
    """`text` as one sentence: a capital at its beginning, a full stop at its end, nothing that could be markup."""
    text = " ".join(printable(text, limit=600).split())
    if not text:
        return "Something went wrong."
    head, _, rest = text.partition(" ")
    # A first word that is a name ("openai:gpt-4o", "photo.jpg") is not ours to change.
    if head.islower() and head.rstrip(",;.!?").isalpha():
        text = f"{head[:1].upper()}{head[1:]}{' ' if rest else ''}{rest}"
    return text if re.search(r"[.!?…]['\"”’)]*$", text) else f"{text}."


def plain(text: object, limit: int | None = None) -> str:
    """`text` safe inside Markdown: what models and files say shows as it is, formats nothing and links nowhere."""
    clean = re.sub(r"([\\`*_\[\]<>~|$&])", r"\\\1", printable(text, limit))
    clean = re.sub(r":(?=[A-Za-z]|//)", r"\\:", clean)  # :smile:, :material/x: and addresses
    clean = re.sub(r"(?i)\bwww\.", r"www\\.", clean)
    clean = re.sub(r"^(\s*)([#+\-=])", r"\1\\\2", clean)
    return re.sub(r"^(\s*\d+)([.)])", r"\1\\\2", clean)


_ALIKE: Final = str.maketrans("*_~`$", "∗ˍ∼ʼ＄")  # what works in pairs, and what looks alike


def label(text: object, limit: int | None = None) -> str:
    """`text` as the name of a widget, without Markdown that takes effect and without escapes.

    Streamlit draws a name as Markdown and gives the very same characters to screen readers, so escapes would be read
    out. Most file names need no change. Where Markdown would take effect, its signs become others that look alike.
    """
    clean = printable(text, limit).strip()
    for sign in "*_~`$":
        # Within a word an underscore is only an underscore; a sign without a partner is only itself.
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


def count(number: int, one: str, many: str | None = None) -> str:
    """ "1 answer", "2 answers"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def seconds(value: float) -> str:
    """A span of time, in the words of a clock: "0.4 s", "12 s", "3 min 5 s", "2 h 10 min"."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(nbytes: float) -> str:
    """A number of bytes: "512 B", "24.5 MB", "1.3 GB"."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if nbytes < 1000 or unit == "TB":
            return f"{nbytes:.0f} {unit}" if unit == "B" or nbytes >= 100 else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    raise AssertionError


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong inside becomes a red box with a sentence; the page below goes on.

    Streamlit's own ways of leaving a script are no `Exception` and pass through.
    """
    import streamlit as st

    try:
        yield
    except Exception as error:  # noqa: BLE001 - the last place before the visitor
        st.error(plain(sentence(error)), icon=":material/error:")


_TROUBLE: Final = "inquisight.trouble"


def attempt(act: Callable[..., object], *args: object, **more: object) -> None:
    """For `on_click`: do it, and keep what goes wrong for `show_trouble`.

    What a click does belongs into such a callback. Where a page asks `if st.button(...)` instead, the click is gone
    if anything else reruns the page before that line is reached.
    """
    import streamlit as st

    try:
        act(*args, **more)
    except Exception as error:  # noqa: BLE001 - the last place before the visitor
        st.session_state[_TROUBLE] = sentence(error)


def show_trouble() -> None:
    """The sentence about the last `attempt` that failed, once."""
    import streamlit as st

    if said := st.session_state.pop(_TROUBLE, ""):
        st.error(plain(said), icon=":material/error:")
