// Changes of many captions: a form, a preview of what will change, and the change.
const FORMS = {
  replace: {
    title: "Find and replace", done: "Replace",
    fields: [["find", "Find", "text"], ["replacement", "Replace with", "text"], ["regex", "Regular expression", "checkbox"], ["case", "Match case", "checkbox"], ["words", "Whole words only", "checkbox"]],
  },
  prefix: {
    title: "Add or remove a prefix or suffix", done: "Change",
    fields: [["prefix", "Prefix, such as a trigger word", "text"], ["suffix", "Suffix", "text"], ["remove", "Remove them instead", "checkbox"]],
  },
  tags: {
    title: "Add or remove tags", done: "Change",
    fields: [["add", "Add these tags, with commas between", "text"], ["take", "Remove these tags", "text"]],
  },
  trim: { title: "Remove superfluous spaces", done: "Trim", fields: [] },
};

class Bulk {
  constructor(gallery, dialog) {
    this.gallery = gallery;
    this.dialog = dialog;
    dialog.addEventListener("keydown", (event) => event.stopPropagation());
  }

  open(kind) {
    this.gallery.flush();
    this.kind = kind;
    const form = FORMS[kind];
    this.numbers = this.gallery.targets();
    const chosen = this.gallery.selected.size > 0;
    const count = this.numbers.length.toLocaleString();
    this.fields = {};
    const fields = form.fields.map(([name, label, type]) => {
      const input = this.fields[name] = make("input", { type, name, autocomplete: "off" });
      input.oninput = () => this.schedule();
      return type === "checkbox" ? make("label", { class: "tick" }, input, " " + label) : make("label", { class: "field" }, label, input);
    });
    this.preview = make("div", { class: "preview", role: "status", "aria-live": "polite" });
    this.button = make("button", { type: "submit", class: "main", text: form.done, disabled: true });
    this.dialog.replaceChildren(make("form", { onsubmit: (event) => { event.preventDefault(); this.apply(); } },
      make("h2", { text: form.title }),
      make("p", { class: "note", text: chosen ? "In the captions of the " + count + " selected pictures." : "In the captions of all " + count + " pictures shown." }),
      ...fields, this.preview,
      make("div", { class: "bar" }, this.button, make("button", { type: "button", text: "Cancel", onclick: () => this.close() }))));
    this.dialog.setAttribute("aria-label", form.title);
    this.dialog.showModal();
    if (!form.fields.length) { this.look(); }  // nothing to fill in
  }

  close() {
    clearTimeout(this.timer);
    this.dialog.close();
    this.gallery.focus(this.gallery.current);
  }

  get request() {
    const values = Object.fromEntries(Object.entries(this.fields).map(([name, input]) => [name, input.type === "checkbox" ? input.checked : input.value]));
    return { kind: this.kind, numbers: this.numbers, ...values };
  }

  schedule() {
    this.button.disabled = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), 250);
  }

  async look() {
    const asked = this.asking = (this.asking || 0) + 1;
    try {
      const found = await this.gallery.server.tell("change", { ...this.request, preview: true });
      if (asked !== this.asking) { return; }
      this.button.disabled = found.changed === 0;
      const changed = found.changed === 1 ? "1 caption changes" : found.changed.toLocaleString() + " captions change";
      this.preview.replaceChildren(make("p", { text: found.changed ? changed + "." : "No caption changes." }),
        make("ul", {}, ...found.examples.map((one) => make("li", {}, make("span", { class: "name", text: one.name.split("/").pop() }),
          make("p", {}, ...difference(one.before, one.after))))));
    } catch (error) {
      if (asked === this.asking) { this.preview.replaceChildren(make("p", { class: "error", text: error.message })); }
    }
  }

  async apply() {
    clearTimeout(this.timer);
    this.button.disabled = true;
    try {
      const done = await this.gallery.server.tell("change", this.request);
      this.close();
      await this.gallery.refresh(true);
      this.gallery.say(done.words);
    } catch (error) {
      this.preview.replaceChildren(make("p", { class: "error", text: error.message }));
      this.button.disabled = false;
    }
  }
}

function difference(before, after) {           // by words: what both begin and end with stays plain
  const one = before.split(/(\s+)/), other = after.split(/(\s+)/);
  let start = 0, end = 0;
  while (start < one.length && start < other.length && one[start] === other[start]) { start++; }
  while (end < one.length - start && end < other.length - start && one[one.length - 1 - end] === other[other.length - 1 - end]) { end++; }
  const old = one.slice(start, one.length - end).join(""), fresh = other.slice(start, other.length - end).join("");
  return [one.slice(0, start).join(""), old ? make("del", { text: old }) : "", fresh ? make("ins", { text: fresh }) : "", one.slice(one.length - end).join("")];
}
