"""Where the visitor's attention goes: scrolling and focus after a click, and announcements for screen readers.

lead_to("talk")                                   # in a callback: show the container or widget of that key next
attention()                                       # once on each page, at its end
announce(lines, of=item.key, key="talk-announce") # new lines are read out, earlier ones are not repeated
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

import streamlit as st

_LEAD: Final = "inquisight.lead"

# What is led to may be drawn later than this component, or drawn anew: it is waited for, and looked after for a while,
# unless the visitor goes elsewhere. A number that was seen is not followed again.
_LEAD_JS: Final = """
export default function (component) {
  const go = component.data.go;
  if (!go || window.inquisightLed === go.number) { return; }
  window.inquisightLed = go.number;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let target = null;
  let left = 100;                           // looks of 50 ms each
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
  if (log.of !== data.of) {                 // another dialogue: what was said in it before is not read out
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


@st.cache_resource(show_spinner=False)
def _components(runtime_id: int) -> tuple[Any, Any]:
    # Components live in the server they were registered with; tests have several in one process.
    lead = st.components.v2.component("inquisight_lead", html="<span hidden></span>", js=_LEAD_JS)
    announce = st.components.v2.component(
        "inquisight_announce",
        html='<div class="iq-sr" role="log" aria-live="polite" aria-label="New answers"></div>',
        js=_ANNOUNCE_JS,
        isolate_styles=False,
    )
    return lead, announce


def _mounted() -> tuple[Any, Any]:
    from streamlit import runtime

    return _components(id(runtime.get_instance()) if runtime.exists() else 0)


def lead_to(key: str, *, control: bool = False) -> None:
    """Scroll to the container of that key and give it the focus, once it is drawn; `control`: to the widget in it."""
    st.session_state[_LEAD] = {"key": key, "control": control, "number": secrets.token_hex(6)}


def attention() -> None:
    """Follow the last `lead_to`. To be called at the end of each run of the whole page."""
    _mounted()[0](data={"go": st.session_state.get(_LEAD)}, key="inquisight-lead", height=1)


def announce(lines: Sequence[str], *, of: str, key: str, on_typing: Callable[[], None] | None = None) -> None:
    """Have what is new among `lines` read out politely. `of` names the dialogue; with another one nothing old is read.

    `on_typing` is called once when the visitor begins to write in the page's field for questions.
    """
    data = {"lines": list(lines), "of": of, "typing": on_typing is not None}
    _mounted()[1](data=data, key=key, on_typing_change=on_typing or (lambda: None))
