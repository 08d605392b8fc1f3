// The file, or a JPEG of the same image scaled down to at most that many bytes.
async function fitting(file, most) {
  if (file.size <= most) { return file; }
  const bitmap = await createImageBitmap(file);
  for (let scale = 1; scale > 0.01; scale *= 0.7) {
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const made = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
    if (made && made.size <= most) { return made; }
  }
  throw new Error("too large");
}

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
    said.textContent = "";
    Promise.all(files.map((one) => fitting(one, data.most).then((sent) => new Promise((done, failed) => {
      const reader = new FileReader();
      const name = sent === one ? one.name || "pasted.png" : "pasted.jpg";
      reader.onload = () => done({ name, data: String(reader.result).split(",")[1] || "" });
      reader.onerror = failed;
      reader.readAsDataURL(sent);
    })))).then((pictures) => setTriggerValue("pasted", pictures),
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
