// The grid: only the rows in sight exist, so ten thousand pictures scroll like ten.
const WIDE = { cell: 224, height: 322 };       // pixels of a card with its gap
const NARROW = { below: 560, height: 172 };    // one column, the picture beside its caption
const AROUND = 2;                              // rows above and below those in sight

class Grid {
  constructor(gallery, scroller, element) {
    this.gallery = gallery;
    this.scroller = scroller;
    this.element = element;
    this.cards = new Map();                    // number -> Card
    this.lines = new Map();                    // row index -> element
    this.columns = 0;
    this.due = false;
    scroller.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.observer = new ResizeObserver(() => this.schedule());
    this.observer.observe(scroller);
    element.addEventListener("click", (event) => this.onClick(event));
    element.addEventListener("dblclick", (event) => this.onDouble(event));
    element.addEventListener("keydown", (event) => this.onKey(event));
    element.addEventListener("focusin", (event) => {
      const number = this.numberOf(event);
      if (number !== null && number !== this.gallery.current) { this.gallery.setCurrent(number); }
    });
  }

  close() { this.observer.disconnect(); }

  schedule() {
    if (this.due) { return; }
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.render(); });
  }

  clear() {                                    // after another list of pictures: same cards, other places
    const focused = this.element.getRootNode().activeElement;
    if (focused && this.element.contains(focused)) { this.focused = focused; }
    this.gallery.moving = true;                // what is being typed goes on in its new place
    this.lines.forEach((line) => line.remove());
    this.lines.clear();
    this.gallery.moving = false;
    this.schedule();
  }

  measure() {
    const width = this.scroller.clientWidth;
    const narrow = width < NARROW.below;
    const columns = narrow ? 1 : Math.max(1, Math.floor((width + 12) / (WIDE.cell + 12)));
    this.height = narrow ? NARROW.height : WIDE.height;
    this.element.classList.toggle("narrow", narrow);
    if (columns !== this.columns) {
      this.columns = columns;
      this.element.style.setProperty("--columns", columns);
      this.element.setAttribute("aria-colcount", columns);
      this.clear();
    }
  }

  get count() { return Math.ceil(this.gallery.numbers.length / this.columns); }

  render() {
    if (!this.scroller.clientWidth) { return; }
    const top = this.columns ? Math.floor(this.scroller.scrollTop / this.height) * this.columns : 0;
    const before = this.columns;
    this.measure();
    if (before && before !== this.columns) { this.scroller.scrollTop = Math.floor(top / this.columns) * this.height; }
    const total = this.count;
    this.element.style.height = total * this.height + "px";
    this.element.setAttribute("aria-rowcount", total);
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / this.height) - AROUND);
    const last = Math.min(total, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / this.height) + AROUND);
    const focused = this.focused ?? this.element.getRootNode().activeElement;
    this.focused = null;
    const held = focused && focused.closest?.(".card");
    const place = held ? this.gallery.places.get(Number(held.dataset.number)) : undefined;
    const wanted = new Set(Array.from({ length: Math.max(0, last - first) }, (_, step) => first + step));
    if (place !== undefined) { wanted.add(Math.floor(place / this.columns)); }    // the focus stays, even out of sight
    this.gallery.moving = true;
    for (const [index, line] of this.lines) {
      if (!wanted.has(index)) {
        line.remove();
        this.lines.delete(index);
      }
    }
    for (const index of wanted) {
      if (!this.lines.has(index)) { this.lines.set(index, this.makeLine(index)); }
    }
    for (const [number, card] of this.cards) {
      if (!card.element.isConnected) {
        if (this.gallery.editing?.number === number) { continue; }
        card.release();
        this.cards.delete(number);
      }
    }
    if (focused && focused.isConnected && this.element.getRootNode().activeElement !== focused) { focused.focus({ preventScroll: true }); }
    this.gallery.moving = false;
    this.gallery.needRows(this.gallery.numbers.slice(first * this.columns, last * this.columns));
  }

  makeLine(index) {
    const line = make("div", { role: "row", class: "line-of-cards", "aria-rowindex": index + 1 });
    line.style.transform = "translateY(" + index * this.height + "px)";
    this.gallery.numbers.slice(index * this.columns, (index + 1) * this.columns).forEach((number, column) => {
      let card = this.cards.get(number);
      if (!card) {
        card = new Card(this.gallery, number);
        this.cards.set(number, card);
      }
      card.element.setAttribute("aria-colindex", column + 1);
      card.update();
      line.append(card.element);
    });
    this.element.append(line);
    return line;
  }

  update(numbers) {
    (numbers ? numbers.map((one) => this.cards.get(one)) : [...this.cards.values()]).forEach((card) => card?.update());
  }

  reveal(number) {
    const place = this.gallery.places.get(number);
    if (place === undefined || !this.columns) { return; }
    const top = Math.floor(place / this.columns) * this.height;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) { this.scroller.scrollTop = top; }
    else if (top + this.height > scrollTop + clientHeight) { this.scroller.scrollTop = top + this.height - clientHeight; }
    this.render();
  }

  numberOf(event) {
    const card = event.target.closest?.(".card");
    return card ? Number(card.dataset.number) : null;
  }

  onClick(event) {
    const number = this.numberOf(event);
    if (number === null || event.target.closest("textarea")) { return; }
    const gallery = this.gallery;
    if (event.target.closest(".caption") && !event.shiftKey && !event.ctrlKey && !event.metaKey) {
      gallery.setCurrent(number);
      this.cards.get(number)?.edit();
      return;
    }
    if (event.shiftKey) { gallery.selectTo(number, event.ctrlKey || event.metaKey); }
    else if (event.ctrlKey || event.metaKey || event.target.closest(".tickbox")) { gallery.toggle(number); }
    else { gallery.selectOnly(number); }
    gallery.focus(number);
  }

  onDouble(event) {
    const number = this.numberOf(event);
    if (number !== null && event.target.closest(".figure")) { this.gallery.view.open(number); }
  }

  onKey(event) {
    const gallery = this.gallery;
    const number = this.numberOf(event);
    if (number === null || event.target.closest("textarea")) { return; }
    const control = event.ctrlKey || event.metaKey;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.height)) * this.columns;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in steps) { gallery.step(steps[key], { extend: event.shiftKey }); }
    else if (key === "Home" || key === "End") { gallery.step((key === "Home" ? -1 : 1) * gallery.numbers.length, { extend: event.shiftKey }); }
    else if (key === " ") { gallery.toggle(number); }
    else if (key === "a" && control) { gallery.selectAll(); }
    else if (control && (key === "y" || (key === "z" && event.shiftKey))) { gallery.undo("redo"); }
    else if (key === "z" && control) { gallery.undo(); }
    else if ((key === "Enter" || key === "F2") && !control) { this.cards.get(number)?.edit(); }
    else if (key === "o" && !control) { gallery.view.open(number); }
    else if (key === "Escape") { gallery.select([]); }
    else { return; }
    event.preventDefault();
    event.stopPropagation();
  }
}
