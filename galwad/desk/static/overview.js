// The supervisor's table: every call, who has it, and what its recording does.

import { clock, el, reveal, say, show } from "./dom.js";
import { Holders } from "./holders.js";
import { forgotten, limits, shownState } from "./recording.js";

const COLUMNS = ["line", "recording", "state", "time", "advisor"];

export class Overview {
  constructor() {
    this.rows = new Map();
    this.body = el("tbody");
    this.none = el("p", { class: "none", t: "overview.none" });
    const heads = COLUMNS.map((name) => el("th", { scope: "col", t: `overview.${name}` }));
    const title = el("h2", { t: "overview.title", id: "overview-title" });
    const table = el("table", { "aria-labelledby": title.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    // What scrolls sideways on a narrow screen must be reached by keyboard as well.
    this.table = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": title.id }, table);
    this.box = el("section", { class: "card overview", "aria-labelledby": title.id }, title, this.table, this.none);
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
      row = this.add(pop.call_id);
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
    reveal(row.late, known && forgotten(pop, now, limits.supervisor));
    row.holders.update(state === "paused" ? pop.holders : []);
  }

  add(callId) {
    const row = {
      line: el("th", { scope: "row" }),
      state: el("td"),
      time: el("td"),
      advisor: el("td"),
      word: el("strong"),
      since: el("span"),
      late: el("span", { class: "late", t: "overview.forgotten" }),
      holders: new Holders(callId, { supervises: true, landing: () => this.table }),
    };
    const mark = el("span", { class: "mark" }, el("span", { class: "shape", "aria-hidden": "true" }), row.word);
    row.recording = el("td", {}, mark, row.since, row.late, row.holders.box);
    row.box = el("tr", {}, ...COLUMNS.map((name) => row[name]));
    return row;
  }
}
