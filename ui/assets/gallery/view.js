// One picture, large, with its boxes, caption, dialogue and checked claims.
class View {
  constructor(gallery, dialog) {
    this.gallery = gallery;
    this.dialog = dialog;
    this.number = null;
    this.boxesShown = true;
    const button = (label, act, more = {}) => make("button", { type: "button", text: label, onclick: act, ...more });
    this.title = make("h2", { tabindex: "-1" });
    this.place = make("p", { class: "note", role: "status" });
    this.image = make("img", { alt: "" });
    this.overlay = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.overlay.setAttribute("aria-hidden", "true");
    this.boxes = make("label", { class: "tick" }, this.boxTick = make("input", { type: "checkbox" }), " Boxes of what was found");
    this.boxTick.checked = true;
    this.boxTick.onchange = () => { this.boxesShown = this.boxTick.checked; this.drawBoxes(); };
    this.text = make("textarea", { "aria-label": "Caption", rows: "7", spellcheck: "true" });
    this.saved = make("span", { class: "saved", role: "status" });
    this.more = make("div", { class: "more" });
    this.versionList = make("ol", { class: "versions" });
    this.versions = make("details", { ontoggle: () => this.listVersions() }, make("summary", { text: "Versions" }), this.versionList);
    this.previous = button("Previous", () => this.go(-1), { title: "Left arrow or Page Up" });
    this.next = button("Next", () => this.go(1), { title: "Right arrow or Page Down" });
    dialog.append(
      make("header", {}, this.title, make("div", { class: "bar" }, this.previous, this.next, button("Close", () => this.close(), { title: "Escape" }))),
      make("div", { class: "sides" },
        make("div", { class: "side" }, make("div", { class: "figure" }, this.image, this.overlay), this.boxes),
        make("div", { class: "side" }, this.place, this.text,
          make("div", { class: "bar" }, button("Save", () => this.save(), { title: "Ctrl+Enter" }), this.saved), this.versions, this.more)));
    this.image.onload = () => this.drawBoxes();
    this.text.oninput = () => { const row = this.row; if (row) { gallery.server.keepDraft(row, this.text.value); } };
    this.text.onblur = () => this.save();
    dialog.addEventListener("keydown", (event) => this.onKey(event));
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); this.close(); });
  }

  get row() { return this.gallery.rows.get(this.number); }

  async open(number) {
    this.number = number;
    this.gallery.setCurrent(number);
    if (!this.dialog.open) { this.dialog.showModal(); this.title.focus(); }
    await this.gallery.needRows([number]);
    await this.show();
  }

  async show() {
    const row = this.row, number = this.number;
    if (!row) { return; }
    const place = this.gallery.places.get(number);
    this.title.textContent = row.name;
    this.place.textContent = (place + 1).toLocaleString() + " of " + this.gallery.numbers.length.toLocaleString();
    this.previous.disabled = place === 0;
    this.next.disabled = place === this.gallery.numbers.length - 1;
    this.image.src = this.gallery.server.picture(row, "picture");
    this.image.alt = row.caption || row.name;
    this.text.value = row.caption;
    this.before = row.caption;
    this.details = null;
    this.overlay.replaceChildren();
    this.boxes.hidden = true;
    this.more.replaceChildren();
    this.versionList.replaceChildren();
    this.update();
    this.listVersions();
    try {
      const details = await this.gallery.server.ask("details/" + number);
      if (this.number !== number) { return; }
      this.details = details;
      this.drawBoxes();
      this.more.replaceChildren(...this.describe(details));
    } catch (error) {
      this.more.replaceChildren(make("p", { class: "error", text: error.message }));
    }
  }

  update() {
    const row = this.row;
    if (!row) { return; }
    const state = this.gallery.saves.get(this.number) || "";
    this.saved.textContent = SAVE_WORDS[state] || "";
    this.saved.className = "saved " + state;
    const root = this.dialog.getRootNode();
    if (root.activeElement !== this.text && row.caption !== this.before) {      // changed by a run or in the grid
      this.text.value = row.caption;
      this.before = row.caption;
      this.listVersions();
    }
  }

  save() {
    const row = this.row;
    if (!row || this.text.value === this.before) { return; }
    const before = this.before;
    this.before = this.text.value;
    this.saving = this.gallery.save(this.number, this.text.value, before).then(() => this.listVersions());
  }

  async listVersions() {
    const number = this.number;
    if (!this.versions.open || number === null) { return; }
    let parts;
    try {
      const { versions } = await this.gallery.server.ask("versions/" + number);
      parts = versions.map((one, place) => make("li", {},
        make("p", { class: "note", text: (one.when ? new Date(one.when).toLocaleString() + ", " : "") + one.what }),
        make("p", { text: one.text || "(no caption)" }),
        place || (one.text || "") !== this.before ? make("button", { type: "button", text: "Restore", onclick: () => this.restore(one.version) }) : make("span", { class: "mark", text: "now" })));
      if (!parts.length) { parts.push(make("li", { text: "This caption was never changed." })); }
    } catch (error) { parts = [make("li", { class: "error", text: error.message })]; }
    if (this.number === number) { this.versionList.replaceChildren(...parts); }
  }

  async restore(version) {
    const number = this.number;
    this.save();
    await this.saving;
    try {
      const found = await this.gallery.server.tell("restore", { number, version });
      this.gallery.rows.set(number, found.row);
      this.gallery.mark(number, "saved");
      if (this.number === number) { await this.show(); this.title.focus(); }
    } catch (error) { this.saved.textContent = error.message; }
  }

  async go(step) {
    this.save();
    const number = this.gallery.numbers[(this.gallery.places.get(this.number) ?? 0) + step];
    if (number === undefined) { return; }
    const typing = this.dialog.getRootNode().activeElement === this.text;
    await this.open(number);
    this.gallery.grid.reveal(number);
    if (typing) { this.text.focus(); }
  }

  close() {
    this.save();
    this.dialog.close();
    this.gallery.focus(this.number);
  }

  onKey(event) {
    event.stopPropagation();
    const typing = event.target === this.text;
    if (event.key === "PageDown" || (event.key === "ArrowRight" && !typing)) { this.go(1); }
    else if (event.key === "PageUp" || (event.key === "ArrowLeft" && !typing)) { this.go(-1); }
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { this.save(); }
    else if (event.key === "Escape" && typing && this.text.value !== this.before) {
      this.text.value = this.before;
      this.gallery.server.dropDraft(this.row.name);
    } else { return; }
    event.preventDefault();
  }

  drawBoxes() {
    const boxes = this.details?.boxes || [];
    this.boxes.hidden = boxes.length === 0;
    const { naturalWidth: width, naturalHeight: height } = this.image;
    if (!width) { return; }
    const draw = (tag, values, text) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      Object.entries(values).forEach(([name, value]) => element.setAttribute(name, value));
      if (text) { element.textContent = text; }
      return element;
    };
    this.overlay.setAttribute("viewBox", "0 0 " + width + " " + height);
    const size = Math.max(width, height) / 38;
    this.overlay.replaceChildren(...(this.boxesShown ? boxes : []).flatMap((box) => {
      const [left, top, right, bottom] = [box.place[0] * width, box.place[1] * height, box.place[2] * width, box.place[3] * height];
      return [
        draw("rect", { x: left, y: top, width: right - left, height: bottom - top, class: box.kind }),
        draw("text", { x: left + size / 4, y: Math.max(top + size, size), "font-size": size, class: box.kind }, box.words),
      ];
    }));
  }

  describe(details) {
    const parts = [];
    if (details.error) { parts.push(make("p", { class: "error", text: details.error })); }
    if (!details.made) { return parts; }
    if (details.made !== this.before) {
      parts.push(make("section", {}, make("h3", { text: "Caption of the model" }), make("p", { text: details.made }),
        make("button", { type: "button", text: "Use this caption", onclick: () => { this.text.value = details.made; this.save(); this.show(); } })));
    }
    const wrong = details.claims.filter((one) => one.verdict === "contradicted" || one.verdict === "unsupported");
    if (details.claims.length) {
      parts.push(make("details", { open: wrong.length > 0 },
        make("summary", { text: "Checked claims: " + details.claims.length + ", " + wrong.length + " not supported" }),
        make("ul", { class: "claims" }, ...details.claims.map((claim) => make("li", { class: claim.verdict },
          make("span", { text: claim.text }), make("span", { class: "mark", text: claim.verdict + (claim.score === null ? "" : " " + claim.score.toFixed(2)) }))))));
    }
    if (details.unaudited) { parts.push(make("p", { class: "error", text: "The caption was not checked: " + details.unaudited })); }
    const unsure = details.dialogue.filter((turn) => turn.unsure).length;
    parts.push(make("details", { open: true },
      make("summary", { text: "Dialogue: " + details.dialogue.length + " questions" + (unsure ? ", " + unsure + " unsure" : "") }),
      make("ol", { class: "dialogue" }, ...details.dialogue.map((turn) => make("li", { class: turn.unsure ? "unsure" : "" },
        make("p", { class: "question", text: turn.question }),
        make("p", {}, turn.answer || "(nothing)", turn.unsure ? make("span", { class: "mark unsure", text: "unsure: not used" }) : null,
          turn.answered_by ? make("span", { class: "mark", text: "answered by " + turn.answered_by }) : null))))));
    if (details.problems.length) { parts.push(make("p", { class: "note", text: "Without a witness: " + details.problems.join("; ") })); }
    if (details.models) { parts.push(make("p", { class: "note", text: "Made by " + details.models + "." })); }
    return parts;
  }
}
