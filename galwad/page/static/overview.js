// The supervisors' view of all calls: how many wait, talk and pause, and a row for each call. It
// names no caller. As a wall it fills a screen that nobody operates.

import { clock, el, reveal, say, show, showLine } from "./dom.js";
import { preferredLanguage } from "./greeting.js";
import { Holders } from "./holders.js";
import { forgotten, limits, shownState } from "./recording.js";
import { Wall } from "./wall.js";

const COLUMNS = ["line", "recording", "state", "time", "advisor", "caller", "language"];
const COUNTS = ["ringing", "talking", "paused", "held", "wrapup"];

/** How many calls are in each state; a paused call also counts as talking or on hold. */
function counted(pops) {
  const count = (fits) => pops.filter(fits).length;
  return {
    ringing: count((pop) => pop.state === "ringing"),
    talking: count((pop) => pop.state === "answered"),
    paused: count((pop) => pop.recording === "paused"),
    held: count((pop) => pop.state === "held"),
    wrapup: count((pop) => pop.state === "wrapup"),
  };
}

/** What comes first: who waits, then who is paused; of these the longest; then the other calls. */
function order(a, b) {
  const rank = (pop) => (pop.state === "ringing" ? 0 : pop.recording === "paused" ? 1 : 2);
  const began = (pop) => [pop.since, pop.recording_since, pop.started][rank(pop)];
  return rank(a) - rank(b) || began(a) - began(b);
}

export class Overview {
  constructor() {
    this.rows = new Map();
    this.newest = null; // what is to be shown in the next frame
    this.resting = false; // this frame has been drawn
    this.body = el("tbody");
    this.none = el("p", { class: "none", t: "overview.none" });
    const heads = COLUMNS.map((name) => el("th", { scope: "col", class: `col-${name}`, t: `overview.${name}` }));
    const title = el("h2", { t: "overview.title", id: "overview-title" });
    const table = el("table", { "aria-labelledby": title.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    // What scrolls sideways on a narrow screen must be reached by keyboard as well.
    this.table = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": title.id }, table);
    this.counts = Object.fromEntries(COUNTS.map((name) => [name, el("dd")]));
    const pairs = COUNTS.map((name) => el("div", { "data-count": name }, el("dt", { t: `overview.count.${name}` }), this.counts[name]));
    this.wall = new Wall();
    this.box = el(
      "section",
      { class: "card overview all-calls", "aria-labelledby": title.id },
      el("div", { class: "overview-head" }, title, this.wall.button),
      el("dl", { class: "counts" }, ...pairs),
      this.table,
      this.none,
    );
  }

  /** Show these calls, now or in the next frame: however many change, a frame is drawn once. */
  update(pops, known, now) {
    this.newest = [pops, known, now];
    if (this.resting) return;
    this.draw();
    this.resting = true;
    requestAnimationFrame(() => {
      this.resting = false;
      if (this.newest) this.update(...this.newest);
    });
  }

  draw() {
    const [pops, known, now] = this.newest;
    this.newest = null;
    const numbers = counted(pops);
    for (const name of COUNTS) show(this.counts[name], String(numbers[name]));
    const calls = pops.filter((pop) => pop.state !== "ended" && pop.state !== "wrapup").sort(order);
    const ids = new Set(calls.map((pop) => pop.call_id));
    for (const [id, row] of this.rows) {
      if (!ids.has(id)) {
        row.box.remove();
        this.rows.delete(id);
      }
    }
    for (const pop of calls) this.row(pop, known, now);
    this.arrange(calls);
    reveal(this.table, calls.length > 0);
    reveal(this.none, calls.length === 0);
  }

  /** Sort the rows, but not while somebody uses one: a row that moves loses the focus. */
  arrange(calls) {
    if (this.body.contains(document.activeElement)) return;
    let here = this.body.firstElementChild;
    for (const pop of calls) {
      const { box } = this.rows.get(pop.call_id);
      if (box === here) here = here.nextElementSibling;
      else this.body.insertBefore(box, here);
    }
  }

  row(pop, known, now) {
    const row = this.rows.get(pop.call_id) ?? this.add(pop.call_id);
    const second = Math.floor(now);
    if (row.pop === pop && row.known === known && row.second === second) return;
    row.second = second;
    this.tick(row, pop, known, now);
    if (row.pop === pop && row.known === known) return;
    Object.assign(row, { pop, known });
    const state = shownState(pop, known);
    row.box.dataset.state = state;
    row.box.dataset.call = pop.state;
    showLine(row.line, pop.line);
    say(row.state, `state.${pop.state}`);
    show(row.name, pop.advisor ?? "");
    show(row.extension, pop.extension && pop.extension !== pop.advisor ? ` ${pop.extension}` : "");
    say(row.word, `rec.${state}`);
    say(row.caller, `overview.caller.${pop.caller.status}`);
    const spoken = preferredLanguage(pop.caller);
    if (spoken) say(row.language, `overview.speaks.${spoken}`);
    reveal(row.language, Boolean(spoken));
    row.holders.update(state === "paused" ? pop.holders : []);
  }

  /** The parts of a row that change with time alone. */
  tick(row, pop, known, now) {
    const waited = now - pop.since;
    show(row.clock, clock(waited));
    show(row.since, shownState(pop, known) === "paused" ? ` ${clock(now - pop.recording_since)}` : "");
    reveal(row.late, known && forgotten(pop, now, limits.supervisor));
    reveal(row.waits, pop.state === "ringing" && waited >= limits.waiting);
  }

  add(callId) {
    const row = {
      line: el("th", { scope: "row" }),
      state: el("td"),
      clock: el("span"),
      waits: el("span", { class: "late", t: "overview.waits", hidden: true }),
      name: el("span"),
      extension: el("span", { class: "note" }),
      caller: el("td"),
      language: el("span", { hidden: true }),
      word: el("strong"),
      since: el("span"),
      late: el("span", { class: "late", t: "overview.forgotten", hidden: true }),
      holders: new Holders(callId, { supervises: true, landing: () => this.table }),
    };
    const mark = el("span", { class: "mark" }, el("span", { class: "shape", "aria-hidden": "true" }), row.word);
    const cells = {
      ...row,
      recording: el("td", {}, mark, row.since, row.late, row.holders.box),
      time: el("td", {}, row.clock, row.waits),
      advisor: el("td", {}, row.name, row.extension),
      language: el("td", {}, row.language),
    };
    row.box = el("tr", {}, ...COLUMNS.map((name) => cells[name]));
    this.rows.set(callId, row);
    this.body.append(row.box);
    return row;
  }
}
