"""A button that copies a text, and a box that takes images from the clipboard."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from core.errors import ImageError
from ui.component import component

_COPY_JS: Final = """
export default function (component) {
  const { data, parentElement } = component;
  const button = parentElement.querySelector("button");
  const said = parentElement.querySelector("[role=status]");
  button.textContent = data.label;
  button.className = data.quiet ? "quiet" : "";
  const byHand = (text) => {              // the only clipboard without HTTPS
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
      if (event.currentTarget === box) { said.textContent = "There is no image in the clipboard."; }
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    const large = files.find((one) => one.size > data.most);
    if (large) { said.textContent = "That image is larger than " + data.shown + "."; return; }
    said.textContent = "";
    Promise.all(files.map((one) => new Promise((done, failed) => {
      const reader = new FileReader();
      reader.onload = () => done({ name: one.name || "pasted.png", data: String(reader.result).split(",")[1] || "" });
      reader.onerror = failed;
      reader.readAsDataURL(one);
    }))).then((pictures) => setTriggerValue("pasted", pictures),
              () => { said.textContent = "The browser could not read that image."; });
  };
  const anywhere = (event) => {           // wherever the focus is, except in text fields
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


_copy = component(
    "copy", '<button type="button"></button><span role="status" aria-live="polite"></span>', _COPY_JS, _CSS
)
_paste = component(
    "paste",
    '<div class="box" tabindex="0" role="textbox" aria-multiline="false" '
    'aria-label="Paste an image here with Ctrl V or Command V">Press Ctrl+V (or ⌘V) to paste an image</div>'
    '<span role="status" aria-live="polite"></span>',
    _PASTE_JS,
    _CSS,
)


def copy_button(text: str, label: str, *, key: str, quiet: bool = False) -> None:
    """A button that copies `text` to the clipboard; `quiet`: small and without a border."""
    _copy(data={"text": text, "label": label, "quiet": quiet}, key=key, width="content")


def paste_box(*, key: str, max_bytes: int) -> list[tuple[bytes, str]]:
    """A box that takes images by Ctrl+V; returns bytes and name of those just pasted. Raises ImageError."""
    data = {"most": max_bytes, "shown": f"{max_bytes // 1_000_000} MB"}
    result = _paste(data=data, key=key, on_pasted_change=lambda: None)
    try:
        return [
            (base64.b64decode(str(one.get("data") or ""), validate=True), str(one.get("name") or "pasted.png"))
            for one in getattr(result, "pasted", None) or ()
        ]
    except (binascii.Error, ValueError, AttributeError) as error:
        raise ImageError("the pasted data is not readable; save it as a file and upload that") from error
