// One picture of the grid, and the caption that is edited in it.
const MARKS = {
  unsure: ["unsure", "The caption rests on few certain answers"],
  edited: ["edited", "Changed by a person"],
  failed: ["check", "The check of the caption found something, or is missing"],
  missed: ["not captioned", "The last run could not caption it"],
};

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) { continue; }
    if (name === "text") { element.textContent = value; }
    else if (name.startsWith("on")) { element.addEventListener(name.slice(2), value); }
    else { element.setAttribute(name, value === true ? "" : value); }
  }
  element.append(...children.filter((one) => one !== null && one !== undefined));
  return element;
}

function marksOf(row) {
  return row.marks.map((name) => make("span", {
    class: "mark " + name, title: name === "missed" && row.error ? row.error : MARKS[name][1], text: MARKS[name][0],
  }));
}

const SAVE_WORDS = { saving: "Saving", saved: "Saved", failed: "Not saved, trying again", conflict: "Changed elsewhere" };

class Card {
  constructor(gallery, number) {
    this.gallery = gallery;
    this.number = number;
    this.image = make("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false" });
    this.image.onerror = () => { this.image.hidden = true; this.broken.hidden = false; };
    this.broken = make("span", { class: "broken", hidden: true, text: "no preview" });
    this.tick = make("span", { class: "tickbox", "aria-hidden": "true" });
    this.name = make("span", { class: "name" });
    this.marks = make("span", { class: "marks" });
    this.saved = make("span", { class: "saved", role: "status" });
    this.caption = make("div", { class: "caption" });
    this.figure = make("div", { class: "figure" }, this.image, this.broken, this.tick);
    this.element = make("div", { class: "card", role: "gridcell", tabindex: "-1", "data-number": number },
      this.figure, make("div", { class: "about" }, make("div", { class: "line" }, this.name, this.marks, this.saved), this.caption));
    this.shown = "";
    this.update();
  }

  get row() { return this.gallery.rows.get(this.number); }
  get editing() { return this.gallery.editing?.number === this.number; }

  update() {
    const row = this.row;
    this.element.setAttribute("aria-selected", this.gallery.selected.has(this.number) ? "true" : "false");
    this.element.classList.toggle("current", this.gallery.current === this.number);
    this.element.tabIndex = this.gallery.current === this.number ? 0 : -1;
    if (!row) {
      this.element.setAttribute("aria-label", "Loading");
      return;
    }
    const name = row.name.split("/").pop();
    const said = row.marks.map((one) => MARKS[one][0]).join(", ");
    this.element.setAttribute("aria-label", name + ". " + (row.caption || "No caption") + (said ? ". " + said : ""));
    const source = this.gallery.server.picture(row, "thumbnail");
    if (this.shown !== source) {
      this.shown = source;
      this.image.hidden = false;
      this.broken.hidden = true;
      this.image.src = source;
    }
    this.name.textContent = name;
    this.name.title = row.name;
    this.marks.replaceChildren(...marksOf(row));
    this.showSaved();
    if (!this.editing) {
      this.caption.textContent = row.caption || "No caption";
      this.caption.classList.toggle("none", !row.caption);
    }
  }

  showSaved() {
    const state = this.gallery.saves.get(this.number) || "";
    const words = SAVE_WORDS[state] || "";
    if (this.saved.textContent !== words) { this.saved.textContent = words; }
    this.saved.className = "saved " + state;
  }

  release() {                                  // the browser drops a request that nobody needs any more
    this.image.onerror = null;
    this.image.removeAttribute("src");
  }

  edit(text) {
    if (this.editing || !this.row) { return; }
    const row = this.row;
    const box = make("textarea", { "aria-label": "Caption of " + row.name, spellcheck: "true", rows: "4" });
    box.value = text ?? row.caption;
    this.gallery.editing = { number: this.number, box, before: row.caption };
    this.caption.replaceChildren(box);
    this.element.classList.add("editing");
    box.oninput = () => this.gallery.server.keepDraft(row, box.value);
    box.onkeydown = (event) => this.onKey(event);
    box.onblur = () => { if (!this.gallery.moving) { this.leave(true); } };
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
  }

  onKey(event) {
    event.stopPropagation();
    if (event.key === "Escape") {
      event.preventDefault();
      this.leave(false);
      this.gallery.focus(this.number);
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.leave(true);
      this.gallery.focus(this.number);
    } else if (event.key === "PageDown" || event.key === "PageUp") {
      event.preventDefault();
      this.leave(true);
      this.gallery.step(event.key === "PageDown" ? 1 : -1, { edit: true });
    }
  }

  leave(keep) {
    if (!this.editing) { return; }
    const { box, before } = this.gallery.editing;
    this.gallery.editing = null;
    this.element.classList.remove("editing");
    const row = this.row;
    if (keep) { this.gallery.save(this.number, box.value, before); }
    else if (row) { this.gallery.server.dropDraft(row.name); }
    this.update();
  }
}
