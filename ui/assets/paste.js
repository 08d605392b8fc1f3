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
