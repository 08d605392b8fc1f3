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
