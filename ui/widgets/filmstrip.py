"""The timeline of a video's interview: its frames in order of time, to be clicked; it leads the player on the page.

Each frame is a button that says when it is shown and how often it was asked about. A click jumps at once, in the
browser, to the very moment (Streamlit's own player knows whole seconds only), and tells the page which frame it was.
What the browser cannot play is told here too, because only the browser knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import streamlit as st

_JS: Final = """
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const list = parentElement.querySelector("ol");
  const said = parentElement.querySelector("[role=status]");
  const player = () => document.querySelector("video[data-testid=stVideo]");

  const seek = (video, seconds) => {
    if (video.readyState > 0) { video.currentTime = seconds; return; }
    // Streamlit goes to its own start when the file is known; this comes after it.
    video.addEventListener("loadedmetadata", () => setTimeout(() => { video.currentTime = seconds; }), { once: true });
  };
  const follow = () => {                    // mark what the player shows
    const video = player();
    let now = -1;
    data.frames.forEach((frame, place) => {
      if (video && frame.seconds <= video.currentTime + 0.02) { now = place; }
    });
    [...list.querySelectorAll("button")].forEach((button, place) => {
      if (place === now) { button.setAttribute("aria-current", "true"); }
      else { button.removeAttribute("aria-current"); }
    });
  };
  const check = () => {
    const video = player();
    if (!video) { return; }
    const blind = video.readyState > 0 && video.videoWidth === 0;
    const text = video.error || blind
      ? "This browser cannot play this video (" + data.kind + "); its frames are shown all the same." : "";
    if (said.textContent !== text) { said.textContent = text; }
  };

  while (list.children.length > data.frames.length) { list.lastElementChild.remove(); }
  data.frames.forEach((frame, place) => {   // in place, so that the focus stays where it is
    let item = list.children[place];
    if (!item) {
      item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.append(document.createElement("span"), document.createElement("span"), document.createElement("span"));
      button.children[0].className = "picture";
      button.children[1].className = "when";
      button.children[2].className = "asked";
      item.append(button);
      list.append(item);
    }
    const button = item.firstElementChild;
    const [picture, when, asked] = button.children;
    item.className = frame.first ? "first" : "";
    if (picture.dataset.src !== frame.picture) {
      picture.dataset.src = frame.picture;
      const image = document.createElement("img");
      image.src = frame.picture;
      image.alt = "";
      picture.replaceChildren(...(frame.picture ? [image] : []));
    }
    when.textContent = frame.when;
    asked.textContent = frame.asked ? frame.asked + "×" : "";
    button.className = (frame.asked ? "some" : "none") + (frame.now ? " now" : "");
    button.title = frame.words;
    button.setAttribute("aria-label", frame.words);
    button.setAttribute("aria-pressed", data.chosen === frame.number ? "true" : "false");
    button.onclick = () => {
      const video = player();
      if (video) { seek(video, frame.seconds); }
      setTriggerValue("chosen", frame.number);
    };
  });

  const chosen = data.frames.find((frame) => frame.number === data.chosen);
  const jump = chosen && list.jumps !== data.jumps && data.jumps > 0;
  list.jumps = data.jumps;
  let found = null;
  const attach = () => {
    found = player();
    if (!found) { return false; }
    found.addEventListener("timeupdate", follow);
    found.addEventListener("seeked", follow);
    found.addEventListener("error", check);
    found.addEventListener("loadedmetadata", check);
    if (jump) { seek(found, chosen.seconds); }
    follow();
    check();
    return true;
  };
  let timer = null;
  if (!attach()) {                          // its part of the page is loaded when it is first needed
    let left = 100;
    timer = setInterval(() => { if (attach() || !--left) { clearInterval(timer); } }, 100);
  }
  return () => {
    clearInterval(timer);
    if (found) {
      found.removeEventListener("timeupdate", follow);
      found.removeEventListener("seeked", follow);
      found.removeEventListener("error", check);
      found.removeEventListener("loadedmetadata", check);
    }
  };
}
"""

_CSS: Final = """
:host, div, button { font-family: var(--st-font); color: var(--st-text-color); font-size: .8rem; }
ol { display: flex; gap: .4rem; overflow-x: auto; list-style: none; margin: 0; padding: 5px; scrollbar-width: thin; }
li { flex: none; padding: 0; margin: 0; }
li.first:not(:first-child) { border-left: 2px solid var(--st-border-color); padding-left: .4rem; }
button { display: grid; grid-template-columns: auto auto; align-items: center; gap: .1rem .4rem; width: 6.4rem;
         padding: 4px; margin: 0; background: transparent; border: 1px solid var(--st-border-color); cursor: pointer;
         border-radius: .5rem; }
.picture { grid-column: 1 / 3; height: 3.6rem; border-radius: .3rem; overflow: hidden;
           background: var(--st-secondary-background-color); }
img { width: 100%; height: 100%; object-fit: cover; display: block; }
.when { text-align: left; font-variant-numeric: tabular-nums; }
.asked { justify-self: end; padding: 0 .4rem; border-radius: .6rem; font-weight: 600; min-height: 1.1rem;
         background: color-mix(in srgb, var(--st-primary-color) 24%, transparent); }
button.none .asked { background: transparent; }
button.none .picture { opacity: .75; }
button.now { border-style: dashed; border-color: var(--st-primary-color); }
button:hover { border-color: var(--st-primary-color); }
button[aria-current] .when { text-decoration: underline; text-decoration-thickness: 2px; text-underline-offset: 3px; }
button[aria-pressed=true] { border-color: var(--st-primary-color); box-shadow: 0 0 0 1px var(--st-primary-color); }
button:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 1px; }
[role=status]:not(:empty) { margin: .3rem 5px 0; font-size: .85rem; }
"""


@st.cache_resource(show_spinner=False)
def _component(runtime_id: int) -> Any:
    # Components live in the server they were registered with; tests have several in one process.
    return st.components.v2.component(
        "inquisight_filmstrip",
        html='<ol aria-label="Frames in order of time; each jumps there"></ol>'
        '<div role="status" aria-live="polite"></div>',
        css=_CSS,
        js=_JS,
    )


def filmstrip(
    frames: list[dict[str, Any]],
    *,
    chosen: int | None,
    jumps: int,
    kind: str,
    key: str,
    on_chosen: Callable[[int], None],
) -> None:
    """Draw it. Each frame has `number`, `seconds`, `when`, `words`, `picture` (a data URL or ""), `asked` (how often),
    `now` (whether it is being asked about) and `first` (whether a scene begins with it).

    The player jumps to `chosen` whenever `jumps` has changed. `kind`: what the file is, where it cannot be played.
    """
    from streamlit import runtime

    def take() -> None:
        said = st.session_state.get(key) or {}
        number = said.get("chosen")
        if isinstance(number, int | float):
            on_chosen(int(number))

    component = _component(id(runtime.get_instance()) if runtime.exists() else 0)
    component(data={"frames": frames, "chosen": chosen, "jumps": jumps, "kind": kind}, key=key, on_chosen_change=take)
