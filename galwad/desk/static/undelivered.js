// The administrator's table of contact notes that another system does not have: each can be
// delivered again, or discarded for a reason.

import { ApiError, ask } from "./api.js";
import { el, reveal, say, show } from "./dom.js";

const COLUMNS = ["call", "line", "advisor", "state", "reason", "decision"];
const REFRESH_MS = 30_000;
const MOST = 20; // rows; the command line shows all

export class Undelivered {
  constructor() {
    this.rows = new Map(); // call id and version → row
    this.title = el("h2", { t: "undelivered.title", id: "undelivered-title", tabindex: "-1" });
    const heads = COLUMNS.map((name) => el("th", { scope: "col", t: `undelivered.${name}` }));
    this.body = el("tbody");
    const table = el("table", { "aria-labelledby": this.title.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    const scroll = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": this.title.id }, table);
    this.more = el("p", { class: "note", hidden: true });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.box = el(
      "section",
      { class: "card overview", "aria-labelledby": this.title.id, hidden: true },
      this.title,
      el("p", { class: "note", t: "undelivered.hint" }),
      this.trouble,
      scroll,
      this.more,
    );
  }

  /** Show the list, and keep it up to date until `stop`. */
  start() {
    this.timer = setInterval(() => this.refresh(), REFRESH_MS);
    return this.refresh();
  }

  stop() {
    clearInterval(this.timer);
  }

  async refresh() {
    try {
      this.update(await ask("GET", "/contacts/undelivered"));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the list stays as it is
    }
  }

  update(all) {
    const notes = all.slice(0, MOST);
    say(this.more, "undelivered.more", { count: all.length - notes.length });
    reveal(this.more, all.length > notes.length);
    const keys = new Set(notes.map(keyOf));
    let lost = false;
    for (const [key, row] of this.rows) {
      if (!keys.has(key)) {
        lost ||= row.box.contains(document.activeElement);
        row.box.remove();
        this.rows.delete(key);
      }
    }
    for (const note of notes) {
      const row = this.rows.get(keyOf(note)) ?? this.add(note);
      say(row.state, `undelivered.${note.state}`, { attempts: note.attempts });
      show(row.reason, note.reason);
    }
    reveal(this.box, notes.length > 0);
    if (lost) this.title.focus();
  }

  add(note) {
    const row = { state: el("td"), reason: el("td") };
    const id = `discard-${keyOf(note)}`;
    const input = el("input", { type: "text", id, required: true, maxlength: 200, autocomplete: "off" });
    const discard = el(
      "form",
      { class: "closing", hidden: true, on: { submit: (event) => this.discard(event, note, input) } },
      el("div", { class: "field" }, el("label", { for: id, t: "undelivered.why" }), input),
      el("button", { type: "submit", t: "undelivered.discard" }),
    );
    const open = () => {
      reveal(discard, discard.hidden);
      if (!discard.hidden) input.focus();
    };
    const buttons = el(
      "div",
      { class: "buttons" },
      el("button", { type: "button", t: "undelivered.retry", on: { click: () => this.decide(note, "retry") } }),
      el("button", { type: "button", class: "quiet", t: "undelivered.open", on: { click: open } }),
    );
    row.box = el(
      "tr",
      {},
      el("th", { scope: "row", raw: note.call_id }),
      el("td", { raw: note.line }),
      el("td", { raw: note.advisor }),
      row.state,
      row.reason,
      el("td", {}, buttons, discard),
    );
    this.rows.set(keyOf(note), row);
    this.body.append(row.box);
    return row;
  }

  discard(event, note, input) {
    event.preventDefault();
    return this.decide(note, "discard", { reason: input.value });
  }

  async decide(note, decision, body = {}) {
    try {
      await ask("POST", `/contacts/${encodeURIComponent(note.call_id)}/${decision}`, body);
      reveal(this.trouble, false);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, "error.notsent");
      reveal(this.trouble, true);
    }
    await this.refresh();
  }
}

function keyOf(note) {
  return `${note.call_id}-${note.version}`;
}
