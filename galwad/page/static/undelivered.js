// The administrator's table of contact notes that another system does not have: each can be
// delivered again, or discarded for a reason. The table of call events is made from it.

import { ApiError, ask } from "./api.js";
import { el, reveal, say, show } from "./dom.js";
import { RefreshedList } from "./refreshed_list.js";

const NOTES = { name: "undelivered", path: "/contacts", columns: ["call", "line", "advisor", "state", "reason", "decision"] };
const REFRESH_MS = 30_000;
const MOST = 20; // rows; the command line shows all

export class Undelivered extends RefreshedList {
  /** `name` is the key of the texts, `path` the place at the desk. */
  constructor({ name, path, columns } = NOTES) {
    super(`${path}/undelivered`, REFRESH_MS);
    this.name = name;
    this.place = path;
    this.rows = new Map(); // call id and version → row
    this.title = el("h2", { t: `${name}.title`, id: `${name}-title`, tabindex: "-1" });
    const heads = columns.map((column) => el("th", { scope: "col", t: `${name}.${column}` }));
    this.body = el("tbody");
    const table = el("table", { "aria-labelledby": this.title.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    const scroll = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": this.title.id }, table);
    this.more = el("p", { class: "note", hidden: true });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.box = el(
      "section",
      { class: "card overview", "aria-labelledby": this.title.id, hidden: true },
      this.title,
      el("p", { class: "note", t: `${name}.hint` }),
      this.trouble,
      scroll,
      this.more,
    );
  }

  update(all) {
    const notes = all.slice(0, MOST);
    say(this.more, `${this.name}.more`, { count: all.length - notes.length });
    reveal(this.more, all.length > notes.length);
    const keys = new Set(notes.map((note) => this.keyOf(note)));
    let lost = false;
    for (const [key, row] of this.rows) {
      if (!keys.has(key)) {
        lost ||= row.box.contains(document.activeElement);
        row.box.remove();
        this.rows.delete(key);
      }
    }
    for (const note of notes) {
      const row = this.rows.get(this.keyOf(note)) ?? this.add(note);
      this.draw(note, row);
    }
    reveal(this.box, notes.length > 0);
    if (lost) (notes.length ? this.title : document.getElementById("main")).focus();
  }

  add(note) {
    const row = { state: el("td"), reason: el("td") };
    const first = this.cells(note, row);
    const id = `discard-${this.keyOf(note)}`;
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
    row.decision = el("div", {}, buttons, discard);
    row.box = el("tr", {}, ...first, row.state, row.reason, el("td", {}, row.decision));
    this.rows.set(this.keyOf(note), row);
    this.body.append(row.box);
    return row;
  }

  /** The key of a row, which is the same while its note is in the list. */
  keyOf(note) {
    return `${note.call_id}-${note.version}`;
  }

  /** What the desk calls the note in a decision. */
  idOf(note) {
    return note.call_id;
  }

  /** The cells that say what it is. */
  cells(note) {
    return [el("th", { scope: "row", raw: note.call_id }), el("td", { line: note.line }), el("td", { raw: note.advisor })];
  }

  /** Show what may have changed. */
  draw(note, row) {
    say(row.state, `${this.name}.${note.state}`, { attempts: note.attempts });
    show(row.reason, note.reason);
    reveal(row.decision, this.decidable(note));
  }

  decidable() {
    return true;
  }

  discard(event, note, input) {
    event.preventDefault();
    return this.decide(note, "discard", { reason: input.value });
  }

  async decide(note, decision, body = {}) {
    try {
      await ask("POST", `${this.place}/${encodeURIComponent(this.idOf(note))}/${decision}`, body);
      reveal(this.trouble, false);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, "error.notsent");
      reveal(this.trouble, true);
    }
    await this.refresh();
  }
}
