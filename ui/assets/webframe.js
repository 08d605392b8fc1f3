export default function (component) {
  const { data, parentElement } = component;
  const hold = parentElement.querySelector(".hold");
  const said = data.sandbox + "|" + data.srcdoc;
  if (hold.shown === said) { return; }      // a rerun of the page keeps the frame's state
  hold.shown = said;
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", data.sandbox);
  frame.setAttribute("referrerpolicy", "no-referrer");
  frame.title = data.title;
  frame.srcdoc = data.srcdoc;
  hold.replaceChildren(frame);
}
