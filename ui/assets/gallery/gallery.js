// The gallery: what is shown, selected and being edited; the grid, the full view and the dialogs work on it.
const POLL = 1500;                             // milliseconds between two questions whether something has changed
const RETRY = 3000;                            // milliseconds until a caption that could not be saved is sent again

class Gallery {
  constructor(root, data, trigger) {
    this.root = root;
    this.trigger = trigger;
    this.server = new Server(data);
    this.rows = new Map();                     // number -> what the server says of it
    this.numbers = [];                         // of the pictures that are shown, in order
    this.places = new Map();                   // number -> place in `numbers`
    this.selected = new Set();
    this.saves = new Map();                    // number -> "saving", "saved", "failed", "conflict"
    this.pending = new Map();                  // number -> text that is not saved yet
    this.asked = new Set();
    this.current = null;
    this.anchor = null;
    this.editing = null;
    this.version = this.listed = -1;
    this.counts = {};
    const find = (selector) => root.querySelector(selector);
    this.form = find("form.find");
    this.tools = find(".tools");
    this.status = find(".status");
    this.empty = find(".empty");
    this.grid = new Grid(this, find(".scroller"), find(".grid"));
    this.view = new View(this, find("dialog.view"));
    this.bulk = new Bulk(this, find("dialog.bulk"));
    this.form.onsubmit = (event) => { event.preventDefault(); this.list(); };
    this.form.onchange = () => this.list();
    this.form.text.oninput = () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.list(), 300); };
    this.form.addEventListener("keydown", (event) => event.stopPropagation());
    this.files = find("input[type=file]");
    this.files.onchange = () => { this.add([...this.files.files]); this.files.value = ""; };
    root.addEventListener("dragover", (event) => { if (this.data.uploads) { event.preventDefault(); } });
    root.addEventListener("drop", (event) => {
      if (this.data.uploads) { event.preventDefault(); this.add([...event.dataTransfer.files]); }
    });
    this.leaving = () => this.flush();
    addEventListener("pagehide", this.leaving);
    this.build(data);
    this.remember("read");
    this.list().then(() => this.saveDrafts());
    this.timer = setInterval(() => this.poll(), POLL);
  }

  close() {
    this.flush();
    clearInterval(this.timer);
    removeEventListener("pagehide", this.leaving);
    this.grid.close();
  }

  adopt(data, trigger) {
    this.trigger = trigger;
    const again = data.library !== this.data.library, before = this.data.folder;
    this.server.adopt(data);
    this.build(data);
    if (again) {                               // the server was started again, or another folder is open
      const other = data.folder !== before;
      this.rows.clear();
      this.asked.clear();
      if (other) { this.select([]); this.current = this.anchor = null; this.saves.clear(); }
      this.list().then(() => this.saveDrafts());
    } else { this.poll(); }
  }

  build(data) {
    this.data = data;
    const fill = (select, choices) => {
      if (select.options.length) { return; }
      select.append(...Object.entries(choices).map(([value, text]) => make("option", { value, text })));
    };
    fill(this.form.show, data.shows);
    fill(this.form.order, data.orders);
    const button = (text, act, more = {}) => make("button", { type: "button", text, onclick: act, ...more });
    const signature = JSON.stringify([data.actions, data.uploads]);
    if (this.signature === signature) { return; }
    this.signature = signature;
    this.tools.replaceChildren(
      ...(data.uploads ? [button("Add pictures", () => this.files.click(), { class: "main" })] : []),
      button("Select all", () => this.selectAll(), { title: "Ctrl+A in the grid" }),
      button("Clear selection", () => this.select([]), { title: "Escape in the grid" }),
      button("Find and replace", () => this.bulk.open("replace")),
      button("Prefix", () => this.bulk.open("prefix")),
      button("Tags", () => this.bulk.open("tags")),
      button("Trim", () => this.bulk.open("trim")),
      button("Undo", () => this.undo(), { title: "Ctrl+Z in the grid" }),
      button("Redo", () => this.undo("redo"), { title: "Ctrl+Y in the grid" }),
      ...(data.uploads ? [button("Remove", () => this.remove())] : []),
      ...data.actions.map((one) => button(one.label, () => this.act(one.name), { class: one.main ? "main" : "" })));
  }

  act(name) {                                  // what the page does with the selected pictures, or those shown
    this.flush();
    this.trigger("act", { name, numbers: this.targets(), chosen: this.selected.size > 0, at: Date.now() });
  }

  targets() { return this.selected.size ? this.numbers.filter((one) => this.selected.has(one)) : [...this.numbers]; }

  // --- lists ---

  get query() {
    const { show, text, without, order, down } = this.form;
    return { show: show.value || "all", text: text.value, without: without.checked ? 1 : 0, order: order.value || "name", down: down.checked ? 1 : 0 };
  }

  async list() {
    clearTimeout(this.typing);
    const asked = this.listing = (this.listing || 0) + 1;
    let found;
    try { found = await this.server.ask("find", this.query); } catch (error) { this.say(error.message, true); return; }
    if (asked !== this.listing) { return; }
    this.remember("write");
    this.numbers = found.numbers;
    this.places = new Map(found.numbers.map((number, place) => [number, place]));
    this.counts = found.counts;
    this.total = found.total;
    for (const number of [...this.selected]) { if (!this.places.has(number)) { this.selected.delete(number); } }
    if (!this.places.has(this.current)) { this.current = this.numbers[0] ?? null; }
    for (const option of this.form.show.options) { option.textContent = this.data.shows[option.value] + " (" + (this.counts[option.value] ?? 0).toLocaleString() + ")"; }
    this.empty.hidden = this.numbers.length > 0;
    this.empty.textContent = this.total ? "No picture fits this filter." : this.data.empty;
    this.grid.clear();
    this.grid.render();
    this.sum();
  }

  async poll() {
    if (document.hidden || this.polling) { return; }
    this.polling = true;
    try {
      const state = await this.server.ask("state");
      if (this.lost) { this.lost = false; this.sum(); }
      if (state.listed !== this.listed) {
        this.listed = state.listed;
        if (this.version >= 0) { await this.refresh(true); }
      } else if (state.version !== this.version && this.version >= 0) { await this.refresh(false); }
      this.version = state.version;
      if (this.retryDue()) { this.retry(); }
    } catch (error) {
      if (error.status !== 404) { this.lost = true; this.say("The dashboard does not answer; captions are saved when it is back.", true); }
    } finally { this.polling = false; }
  }

  async refresh(list) {
    const shown = [...this.grid.cards.keys()];
    for (const number of [...this.rows.keys()]) { if (!this.grid.cards.has(number) && number !== this.view.number) { this.rows.delete(number); } }
    await this.fetchRows(this.view.dialog.open ? [...new Set([...shown, this.view.number])] : shown);
    if (list) { await this.list(); }
  }

  async needRows(numbers) {
    const missing = numbers.filter((one) => !this.rows.has(one) && !this.asked.has(one));
    if (missing.length) { await this.fetchRows(missing); }
  }

  async fetchRows(numbers) {
    numbers.forEach((one) => this.asked.add(one));
    try {
      for (let start = 0; start < numbers.length; start += 200) {
        const part = numbers.slice(start, start + 200);
        const found = await this.server.ask("rows", { numbers: part.join(",") });
        found.rows.forEach((row) => { if (!this.pending.has(row.number)) { this.rows.set(row.number, row); } });
        this.grid.update(part);
        if (part.includes(this.view.number)) { this.view.update(); }
      }
    } catch (error) { if (error.status !== 404) { this.say(error.message, true); } }
    finally { numbers.forEach((one) => this.asked.delete(one)); }
  }

  // --- what is selected, and where the keyboard is ---

  select(numbers) {
    this.selected = new Set(numbers);
    this.grid.update();
    this.sum();
  }
  selectOnly(number) { this.anchor = number; this.select([number]); }
  selectAll() { this.select(this.numbers); }
  toggle(number) {
    this.anchor = number;
    if (!this.selected.delete(number)) { this.selected.add(number); }
    this.grid.update([number]);
    this.sum();
  }
  selectTo(number, add = false) {
    const from = this.places.get(this.anchor ?? this.current ?? number) ?? 0, to = this.places.get(number);
    const range = this.numbers.slice(Math.min(from, to), Math.max(from, to) + 1);
    this.select(add ? [...this.selected, ...range] : range);
  }

  setCurrent(number) {
    const before = this.current;
    this.current = number;
    this.grid.update([before, number]);
  }
  focus(number) {
    if (number === null || number === undefined) { return; }
    this.setCurrent(number);
    this.grid.reveal(number);
    this.grid.cards.get(number)?.element.focus({ preventScroll: true });
  }
  async step(by, { extend = false, edit = false } = {}) {
    const place = Math.max(0, Math.min(this.numbers.length - 1, (this.places.get(this.current) ?? 0) + by));
    const number = this.numbers[place];
    if (number === undefined) { return; }
    if (extend) { this.anchor ??= this.current; this.selectTo(number); }
    this.focus(number);
    if (edit) { await this.needRows([number]); this.grid.cards.get(number)?.edit(); }
  }

  // --- captions ---

  async save(number, text, before) {
    const row = this.rows.get(number);
    if (!row) { return; }
    text = text.trim();
    if (text === before.trim()) { this.server.dropDraft(row.name); return; }
    this.pending.set(number, { text, before });
    row.caption = text;
    this.mark(number, "saving");
    try {
      const found = await this.server.tell("caption", { number, text, before });
      if (this.pending.get(number)?.text === text) {
        this.pending.delete(number);
        this.rows.set(number, found.row);
        this.server.dropDraft(row.name);
        this.mark(number, "saved");
      }
      this.version = Math.max(this.version, found.version);
    } catch (error) {
      if (error.status === 409) {              // the draft stays: the text is offered again
        this.pending.delete(number);
        row.caption = error.value.now;
        this.mark(number, "conflict");
        this.say(error.message, true);
        if (!this.view.dialog.open) { this.focus(number); this.grid.cards.get(number)?.edit(text); }
        else { this.view.before = row.caption; this.view.text.value = text; }
      } else {
        this.failed = Date.now();
        this.server.keepDraft({ name: row.name, caption: before }, text);
        this.mark(number, "failed");
        this.say(error.message, true);
      }
    }
  }
  mark(number, state) {
    this.saves.set(number, state);
    this.grid.update([number]);
    if (this.view.number === number) { this.view.update(); }
  }
  retryDue() { return this.pending.size && Date.now() - (this.failed || 0) > RETRY; }
  retry() {
    for (const [number, { text, before }] of [...this.pending]) { if (this.saves.get(number) === "failed") { this.save(number, text, before); } }
  }
  flush() {                                    // save what is being typed, at the latest when the page is left
    if (this.editing) { const { number, box, before } = this.editing; this.save(number, box.value, before); this.editing.before = box.value; }
    if (this.view.dialog.open) { this.view.save(); }
  }
  async saveDrafts() {                         // texts that were typed before the page was left, and not saved
    const drafts = this.server.allDrafts();
    if (!drafts.length) { return; }
    const found = await this.server.tell("numbers", { names: drafts }).catch(() => ({ numbers: {} }));
    for (const name of drafts) {
      const number = found.numbers[name], draft = this.server.draft(name);
      if (number === undefined || !draft) { continue; }
      await this.needRows([number]);
      await this.save(number, draft.text, draft.before);
    }
  }
  // --- pictures of visitors ---

  async add(files) {
    const wrong = [];
    let done = 0;
    const next = [...files];
    const work = async () => {
      for (let file = next.shift(); file; file = next.shift()) {
        try { await this.server.upload(file); }
        catch (error) { wrong.push(file.name + ": " + error.message); }
        done += 1;
        this.say("Adding " + done.toLocaleString() + " of " + files.length.toLocaleString() + " pictures");
        if (done % 24 === 0) { await this.server.tell("rescan", {}).catch(() => null); await this.list(); }
      }
    };
    await Promise.all([work(), work(), work()]);
    await this.server.tell("rescan", {}).catch(() => null);
    await this.list();
    if (wrong.length) {
      const few = wrong.slice(0, 3).join(" ");
      this.say(wrong.length + " of " + files.length + " files were not added. " + few + (wrong.length > 3 ? " ..." : ""), true);
    }
  }
  async remove() {
    if (!this.selected.size) { this.say("Select the pictures to remove first.", true); return; }
    try {
      const done = await this.server.tell("remove", { numbers: [...this.selected] });
      this.select([]);
      await this.list();
      this.say(done.words);
    } catch (error) { this.say(error.message, true); }
  }

  async undo(path = "undo") {
    this.flush();
    try {
      const done = await this.server.tell(path, {});
      this.say(done.words);
      await this.refresh(true);
    } catch (error) { this.say(error.message, true); }
  }

  // --- words ---

  sum() {
    const shown = this.numbers.length, chosen = this.selected.size;
    const pictures = (count) => count.toLocaleString() + (count === 1 ? " picture" : " pictures");
    this.say(pictures(shown) + (shown === this.total ? "" : " of " + (this.total ?? 0).toLocaleString()) + (chosen ? ", " + chosen.toLocaleString() + " selected" : ""));
  }
  say(words, wrong = false) {
    this.status.textContent = words;
    this.status.classList.toggle("error", wrong);
  }
  remember(what) {                             // the filter survives a reload
    const key = "inquisight gallery " + this.data.folder;
    this.server.store(() => {
      if (what === "write") { sessionStorage.setItem(key, JSON.stringify(this.query)); return; }
      const query = JSON.parse(sessionStorage.getItem(key) || "null");
      if (!query) { return; }
      this.form.show.value = query.show;
      this.form.text.value = query.text;
      this.form.without.checked = !!query.without;
      this.form.order.value = query.order;
      this.form.down.checked = !!query.down;
    });
  }
}

const galleries = new WeakMap();

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".gallery");
  const known = galleries.get(root);
  if (known) { known.adopt(data, setTriggerValue); }
  else { galleries.set(root, new Gallery(root, data, setTriggerValue)); }
  return () => {
    const gallery = galleries.get(root);
    if (gallery && !root.isConnected) { gallery.close(); galleries.delete(root); }
  };
}
