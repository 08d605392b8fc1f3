"""Scrolling and focus after a click, and announcements for screen readers.

focus_on("talk")                                  # in a callback: scroll to the container or widget of that key
apply_focus()                                     # once on each page, at its end
announce(lines, of=item.key, key="talk-announce") # new lines are read out, earlier ones are not repeated
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from ui.component import component

_LEAD: Final = "inquisight.lead"

# The target may be drawn later than this component, or replaced: poll for it, and restore its focus for a while, unless
# the visitor moves the focus. Each number is handled once.
_LEAD_JS: Final = """
export default function (component) {
  const go = component.data.go;
  if (!go || window.inquisightLed === go.number) { return; }
  window.inquisightLed = go.number;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let target = null;
  let left = 100;                           // polls of 50 ms
  const timer = setInterval(() => {
    left -= 1;
    const elsewhere = ![document.body, target, null].includes(document.activeElement);
    if (!left || window.inquisightLed !== go.number || (target && elsewhere)) { clearInterval(timer); return; }
    if (target && target.isConnected && document.activeElement === target) { return; }
    const place = document.querySelector(".st-key-" + CSS.escape(go.key));
    if (!place) { return; }
    // Streamlit draws a button with a hint twice, one of them hidden.
    const controls = [...place.querySelectorAll("button, input, textarea, a, [tabindex='0']")];
    const control = go.control ? controls.find((one) => one.getClientRects().length && !one.disabled) : null;
    const first = target === null;
    target = control || place;
    if (!control) { target.tabIndex = -1; }
    if (first) {
      target.style.scrollMarginTop = "4.5rem";
      target.scrollIntoView({ block: go.control ? "nearest" : "start", behavior: still ? "auto" : "smooth" });
    }
    target.focus({ preventScroll: true });
  }, 50);
}
"""

_ANNOUNCE_JS: Final = """
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const log = parentElement.querySelector("[role=log]");
  if (log.of !== data.of) {                 // another dialogue: its earlier lines are not read out
    log.replaceChildren();
    log.of = data.of;
    log.told = false;
    log.lines = data.lines.slice(0, -1);
  }
  let same = 0;
  while (same < log.lines.length && log.lines[same] === data.lines[same]) { same += 1; }
  data.lines.slice(same).forEach((line) => {
    const text = document.createElement("p");
    text.textContent = line;
    log.append(text);
  });
  log.lines = data.lines;
  if (!data.typing) { return; }
  const typing = (event) => {
    if (log.told || !event.target.closest("[data-testid=stChatInput]") || !event.target.value) { return; }
    log.told = true;
    setTriggerValue("typing", data.of);
  };
  document.addEventListener("input", typing);
  return () => document.removeEventListener("input", typing);
}
"""


_lead = component("lead", "<span hidden></span>", _LEAD_JS)
_announce = component(
    "announce",
    '<div class="iq-sr" role="log" aria-live="polite" aria-label="New answers"></div>',
    _ANNOUNCE_JS,
    isolate=False,
)


def focus_on(key: str, *, control: bool = False) -> None:
    """Scroll to the container of that key and focus it as soon as it is drawn; `control`: focus the widget in it."""
    st.session_state[_LEAD] = {"key": key, "control": control, "number": secrets.token_hex(6)}


def apply_focus() -> None:
    """Follow the last `focus_on`. Call it at the end of each run of the whole page."""
    _lead(data={"go": st.session_state.get(_LEAD)}, key="inquisight-lead", height=1)


def announce(lines: Sequence[str], *, of: str, key: str, on_typing: Callable[[], None] | None = None) -> None:
    """Have screen readers read out the new lines. `of` names the dialogue; earlier lines of another one are not read.

    `on_typing` is called once when the visitor starts to type in the page's chat input.
    """
    data = {"lines": list(lines), "of": of, "typing": on_typing is not None}
    _announce(data=data, key=key, on_typing_change=on_typing or (lambda: None))
