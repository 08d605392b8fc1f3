"""The timeline of a video: its frames in order of time, as buttons that seek the player on the page.

Each button shows the frame's time and the number of questions about it. A click seeks in the browser to the exact time
(Streamlit's player knows whole seconds only) and reports the frame to the page. If the browser cannot play the video,
the timeline says so, because only the browser knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import streamlit as st

from ui.component import component

_JS: Final = """
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const list = parentElement.querySelector("ol");
  const said = parentElement.querySelector("[role=status]");
  const player = () => document.querySelector("video[data-testid=stVideo]");

  const seek = (video, seconds) => {
    if (video.readyState > 0) { video.currentTime = seconds; return; }
    // Streamlit seeks to its own start when the file is known; this comes after it.
    video.addEventListener("loadedmetadata", () => setTimeout(() => { video.currentTime = seconds; }), { once: true });
  };
  const follow = () => {                    // mark the frame in the player
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
      ? "This browser cannot play this video (" + data.kind + "); the frames are shown anyway." : "";
    if (said.textContent !== text) { said.textContent = text; }
  };

  while (list.children.length > data.frames.length) { list.lastElementChild.remove(); }
  data.frames.forEach((frame, place) => {   // in place, to keep the focus
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
  if (!attach()) {                          // the browser loads the player's code on first use
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


_strip = component(
    "filmstrip",
    '<ol aria-label="Frames in order of time; click to seek"></ol><div role="status" aria-live="polite"></div>',
    _JS,
    _CSS,
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
    """Draw the timeline. Each frame is a dict of

    `number`, `seconds`, `when` (as text), `words` (its label), `picture` (a data URL or ""), `asked` (the number of
    questions about it), `now` (whether it is being asked about) and `first` (whether a scene starts with it).

    The player seeks to `chosen` whenever `jumps` has changed. `kind` names the file format if it cannot be played.
    """

    def choose() -> None:
        number = (st.session_state.get(key) or {}).get("chosen")
        if isinstance(number, int | float):
            on_chosen(int(number))

    data = {"frames": frames, "chosen": chosen, "jumps": jumps, "kind": kind}
    _strip(data=data, key=key, on_chosen_change=choose)
