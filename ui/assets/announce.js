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
