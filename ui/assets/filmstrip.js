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
      item.innerHTML = '<button type="button"><span class="picture"></span><span class="when"></span>' +
        '<span class="asked"></span></button>';
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
  const events = { timeupdate: follow, seeked: follow, error: check, loadedmetadata: check };
  let found = null;
  const attach = () => {
    found = player();
    if (!found) { return false; }
    Object.entries(events).forEach(([name, act]) => found.addEventListener(name, act));
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
    if (found) { Object.entries(events).forEach(([name, act]) => found.removeEventListener(name, act)); }
  };
}
