"""Two small components: a button that copies a text, and a box that takes pictures from the clipboard."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from core.errors import ImageError

_COPY_JS: Final = """
export default function (component) {
  const { data, parentElement } = component;
  const button = parentElement.querySelector("button");
  const said = parentElement.querySelector("[role=status]");
  button.textContent = data.label;
  button.className = data.quiet ? "quiet" : "";
  const byHand = (text) => {              // without HTTPS a browser offers no clipboard but this one
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.appendChild(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done ? Promise.resolve() : Promise.reject();
  };
  button.onclick = () => {
    const copied = navigator.clipboard ? navigator.clipboard.writeText(data.text) : byHand(data.text);
    copied.then(() => { said.textContent = "copied"; }, () => { said.textContent = "the browser did not allow it"; });
  };
  said.textContent = "";
}
"""

_PASTE_JS: Final = """
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const box = parentElement.querySelector(".box");
  const said = parentElement.querySelector("[role=status]");
  const take = (event) => {
    const files = Array.from((event.clipboardData || {}).files || []).filter((one) => one.type.startsWith("image/"));
    if (!files.length) {
      if (event.currentTarget === box) { said.textContent = "There is no picture in the clipboard."; }
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    const large = files.find((one) => one.size > data.most);
    if (large) { said.textContent = "That picture is larger than " + data.shown + "."; return; }
    said.textContent = "";
    Promise.all(files.map((one) => new Promise((done, failed) => {
      const reader = new FileReader();
      reader.onload = () => done({ name: one.name || "pasted.png", data: String(reader.result).split(",")[1] || "" });
      reader.onerror = failed;
      reader.readAsDataURL(one);
    }))).then((pictures) => setTriggerValue("pasted", pictures),
              () => { said.textContent = "The browser could not read that picture."; });
  };
  const anywhere = (event) => {           // wherever the focus is, except in a field that text is typed into
    const field = event.target.closest && event.target.closest("input, textarea, [contenteditable=true]");
    if (!field) { take(event); }
  };
  box.onpaste = take;
  document.addEventListener("paste", anywhere);
  return () => document.removeEventListener("paste", anywhere);
}
"""

_CSS: Final = """
:host, div, button { font-family: var(--st-font); color: var(--st-text-color); font-size: 1rem; }
button { background: transparent; border: 1px solid var(--st-border-color);
         border-radius: var(--st-button-radius, .5rem);
         padding: .35rem .8rem; min-height: 2.5rem; cursor: pointer; font-size: .875rem; }
button.quiet { border-color: transparent; padding: 0; min-height: 1.6rem; font-size: .8rem; opacity: .85; }
button.quiet:hover { border-color: transparent; opacity: 1; }
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible, .box:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
.box { border: 2px dashed var(--st-border-color); border-radius: .6rem; padding: 1.4rem 1rem; text-align: center;
       cursor: text; }
[role=status] { font-size: .85rem; margin-left: .5rem; }
"""


@dataclass(frozen=True, slots=True)
class Pasted:
    """A picture from the clipboard, shaped like an uploaded file."""

    name: str
    data: bytes

    def getvalue(self) -> bytes:
        """Its bytes."""
        return self.data


@st.cache_resource(show_spinner=False)
def _components(runtime_id: int) -> tuple[Any, Any]:
    # Components live in the server they were registered with; tests have several in one process.
    copy = st.components.v2.component(
        "inquisight_copy",
        html='<button type="button"></button><span role="status" aria-live="polite"></span>',
        css=_CSS,
        js=_COPY_JS,
    )
    paste = st.components.v2.component(
        "inquisight_paste",
        html='<div class="box" tabindex="0" role="textbox" aria-multiline="false" '
        'aria-label="Paste a picture here with Ctrl V or Command V">Press Ctrl+V (or ⌘V) to paste a picture</div>'
        '<span role="status" aria-live="polite"></span>',
        css=_CSS,
        js=_PASTE_JS,
    )
    return copy, paste


def _mounted() -> tuple[Any, Any]:
    from streamlit import runtime

    return _components(id(runtime.get_instance()) if runtime.exists() else 0)


def copy_button(text: str, label: str = "Copy", *, key: str, quiet: bool = False) -> None:
    """A button that puts `text` into the clipboard; `quiet`: small and without a frame."""
    _mounted()[0](data={"text": text, "label": label, "quiet": quiet}, key=key, width="content")


def paste_box(*, key: str, most_bytes: int) -> list[Pasted]:
    """A box that takes pictures by Ctrl+V; those that were just pasted. Raises ImageError."""
    data = {"most": most_bytes, "shown": f"{most_bytes // 1_000_000} MB"}
    result = _mounted()[1](data=data, key=key, on_pasted_change=lambda: None)
    pasted = getattr(result, "pasted", None) or ()
    try:
        return [
            Pasted(str(one.get("name") or "pasted.png"), base64.b64decode(str(one.get("data") or ""), validate=True))
            for one in pasted
        ]
    except (binascii.Error, ValueError, AttributeError) as error:
        raise ImageError("what was pasted cannot be read; save it as a file and drop that") from error
