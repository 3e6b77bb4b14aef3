// The supervisor's table: every call, who has it, and what its recording does.

import { clock, el, reveal, say, show } from "./dom.js";
import { forgotten, shownState } from "./recording.js";

const COLUMNS = ["line", "state", "time", "advisor", "recording"];

export class Overview {
  constructor() {
    this.rows = new Map();
    this.body = el("tbody");
    this.none = el("p", { class: "none", t: "overview.none" });
    const heads = COLUMNS.map((name) => el("th", { scope: "col", t: `overview.${name}` }));
    this.table = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.box = el("section", { class: "card overview" }, el("h2", { t: "overview.title" }), this.table, this.none);
  }

  update(pops, known, now) {
    const calls = pops.filter((pop) => pop.state !== "ended" && pop.state !== "wrapup");
    const ids = new Set(calls.map((pop) => pop.call_id));
    for (const [id, row] of this.rows) {
      if (!ids.has(id)) {
        row.box.remove();
        this.rows.delete(id);
      }
    }
    for (const pop of calls) this.row(pop, known, now);
    reveal(this.table, calls.length > 0);
    reveal(this.none, calls.length === 0);
  }

  row(pop, known, now) {
    let row = this.rows.get(pop.call_id);
    if (!row) {
      row = { line: el("td"), state: el("td"), time: el("td"), advisor: el("td"), word: el("strong"), since: el("span"), late: el("span", { class: "late", t: "overview.forgotten" }) };
      row.recording = el("td", {}, el("span", { class: "mark" }, el("span", { class: "shape", "aria-hidden": "true" }), row.word), row.since, row.late);
      row.box = el("tr", {}, ...COLUMNS.map((name) => row[name]));
      this.rows.set(pop.call_id, row);
      this.body.append(row.box);
    }
    const state = shownState(pop, known);
    row.box.dataset.state = state;
    show(row.line, pop.line);
    say(row.state, `state.${pop.state}`);
    show(row.time, clock(now - pop.since));
    show(row.advisor, pop.advisor ?? "");
    say(row.word, `rec.${state}`);
    show(row.since, state === "paused" ? ` ${clock(now - pop.recording_since)}` : "");
    reveal(row.late, known && forgotten(pop, now));
  }
}
