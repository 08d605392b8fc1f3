// What the gallery asks its server, and drafts that survive a reload.
class Server {
  constructor(data) { this.adopt(data); }

  adopt(data) {
    this.base = data.base + "/" + data.library;
    this.drafts = "inquisight draft " + data.folder + " ";
  }

  async ask(path, values = {}) {
    const query = new URLSearchParams(values);
    return this.answer(await fetch(this.base + "/" + path + "?" + query, { credentials: "same-origin" }));
  }

  // keepalive: the browser finishes the request when the page is left.
  async tell(path, body) {
    const text = JSON.stringify(body);
    const response = await fetch(this.base + "/" + path, {
      method: "POST", body: text, keepalive: text.length < 60000, credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-Inquisight-Gallery": "1" },
    });
    return this.answer(response);
  }

  async upload(file) {
    const query = new URLSearchParams({ name: file.name });
    return this.answer(await fetch(this.base + "/upload?" + query, {
      method: "POST", body: file, credentials: "same-origin", headers: { "X-Inquisight-Gallery": "1" },
    }));
  }

  async answer(response) {
    const value = await response.json().catch(() => ({}));
    if (!response.ok) {
      const error = new Error(value.error || "The dashboard does not answer; is it running?");
      error.status = response.status;
      error.value = value;
      throw error;
    }
    return value;
  }

  picture(row, kind) { return this.base + "/" + kind + "/" + row.number + "?v=" + row.stamp; }

  // --- drafts: what is typed and not saved yet ---
  keepDraft(row, text) { this.store(() => localStorage.setItem(this.drafts + row.name, JSON.stringify({ text, before: row.caption }))); }
  dropDraft(name) { this.store(() => localStorage.removeItem(this.drafts + name)); }
  draft(name) { return this.store(() => JSON.parse(localStorage.getItem(this.drafts + name) || "null")); }
  allDrafts() {
    return this.store(() => Object.keys(localStorage).filter((key) => key.startsWith(this.drafts))
      .map((key) => key.slice(this.drafts.length))) || [];
  }
  store(act) { try { return act(); } catch (error) { return null; } }   // storage may be switched off
}
