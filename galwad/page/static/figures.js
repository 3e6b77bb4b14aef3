// The supervisor's figures of today: numbers, a chart by hour with a table as its text, and tables by
// line and language. They name no person.

import { ApiError, ask } from "./api.js";
import { clock, el, reveal, say, show, showLine } from "./dom.js";
import { hourOf } from "./times.js";

const REFRESH_MS = 60_000;
const SVG = "http://www.w3.org/2000/svg";
const NUMBERS = ["calls", "answered", "missed", "abandoned", "refused"];
const TIMES = ["mean_waiting_s", "longest_waiting_s", "mean_talk_s", "longest_talk_s"];
const COUNTS = ["pauses", "gaps"];
const COLUMNS = ["calls", "answered", "unanswered", "mean_waiting_s", "mean_talk_s"];
const LANGUAGES = { en: "figures.english", cy: "figures.welsh" };
const HEIGHT = 120; // of the bars, in the chart's own units
const STEP = 40;
const BAR = 26;

export class Figures {
  constructor() {
    const title = el("h2", { t: "figures.title", id: "figures-title" });
    this.values = new Map();
    const numbers = el("dl", { class: "numbers" }, ...[...NUMBERS, ...TIMES, ...COUNTS].map((name) => this.number(name)));
    this.none = el("p", { class: "note", t: "figures.none", hidden: true });
    this.chart = el("div", { class: "chart", "aria-hidden": "true" }); // the table says the same
    this.tables = ["hour", "line", "language"].map((group) => new FiguresTable(group));
    const [hours, ...others] = this.tables;
    const key = el(
      "p",
      { class: "key", "aria-hidden": "true" },
      el("span", { class: "answered", t: "figures.answered" }),
      el("span", { class: "unanswered", t: "figures.unanswered" }),
    );
    const file = "/api/v1/figures/export?when=today";
    this.parts = el("div", { class: "parts" }, key, this.chart, hours.box, ...others.map(({ box }) => box));
    this.box = el(
      "section",
      { class: "card figures", "aria-labelledby": title.id, hidden: true },
      title,
      numbers,
      this.none,
      this.parts,
      el("p", {}, el("a", { href: file, download: "galwad-figures.csv", t: "figures.export" })),
    );
  }

  number(name) {
    const value = el("dd", { raw: "" });
    this.values.set(name, value);
    return el("div", {}, el("dt", { t: `figures.${name}` }), value);
  }

  /** Show the figures, and keep them up to date until `stop`. */
  start() {
    this.timer = setInterval(() => document.hidden || this.refresh(), REFRESH_MS);
    return this.refresh();
  }

  stop() {
    clearInterval(this.timer);
  }

  async refresh() {
    try {
      this.update(await ask("GET", "/figures?when=today"));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the figures stay as they are
    }
  }

  update({ total, by_hour, by_line, by_language }) {
    for (const [name, value] of this.values) show(value, TIMES.includes(name) ? clock(total[name]) : String(total[name]));
    reveal(this.none, total.calls === 0);
    reveal(this.parts, total.calls > 0);
    this.chart.replaceChildren(chartOf(by_hour));
    for (const [table, rows] of [by_hour, by_line, by_language].map((rows, at) => [this.tables[at], rows])) table.update(rows);
    reveal(this.box, true);
  }
}

class FiguresTable {
  constructor(group) {
    this.group = group;
    const heading = el("summary", { id: `figures-${group}`, t: `figures.by_${group}` });
    const heads = [group, ...COLUMNS].map((name) => el("th", { scope: "col", t: `figures.${name}` }));
    this.body = el("tbody");
    const table = el("table", { "aria-labelledby": heading.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    const scroll = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": heading.id }, table);
    this.box = el("details", { open: group === "line" }, heading, scroll);
  }

  update(rows) {
    this.body.replaceChildren(...rows.map((row) => el("tr", {}, this.head(row), ...COLUMNS.map((name) => el("td", { raw: cell(row, name) })))));
  }

  head(row) {
    const head = el("th", { scope: "row" });
    if (this.group === "language") say(head, LANGUAGES[row.language] ?? "figures.unknown");
    else if (this.group === "hour") show(head, hourOf(row.hour));
    else showLine(head, row.line);
    return head;
  }
}

function cell(row, name) {
  if (name === "unanswered") return String(row.calls - row.answered);
  return TIMES.includes(name) ? clock(row[name]) : String(row[name]);
}

/** Bars by hour: what was answered is filled, and what was not is hatched above it. */
function chartOf(rows) {
  const first = rows.length ? rows[0].hour : 0;
  const last = rows.length ? rows[rows.length - 1].hour : 0;
  const most = Math.max(1, ...rows.map(({ calls }) => calls));
  const width = (last - first + 1) * STEP;
  const chart = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT + 40}`, width, height: HEIGHT + 40 });
  const hatch = svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  hatch.append(svg("rect", { width: 6, height: 6, class: "ground" }), svg("rect", { width: 2.5, height: 6, class: "stroke" }));
  chart.append(hatch, svg("line", { x1: 0, x2: width, y1: HEIGHT + 18, y2: HEIGHT + 18, class: "axis" }));
  for (const row of rows) {
    const x = (row.hour - first) * STEP + (STEP - BAR) / 2;
    const full = (row.calls / most) * HEIGHT;
    const answered = (row.answered / most) * HEIGHT;
    const base = HEIGHT + 18;
    chart.append(
      svg("rect", { x, y: base - answered, width: BAR, height: answered, class: "answered" }),
      svg("rect", { x, y: base - full, width: BAR, height: full - answered, class: "unanswered", fill: "url(#hatch)" }),
      label(x + BAR / 2, base - full - 4, row.calls),
      label(x + BAR / 2, base + 16, String(row.hour).padStart(2, "0")),
    );
  }
  return chart;
}

function label(x, y, text) {
  const node = svg("text", { x, y, "text-anchor": "middle" });
  show(node, String(text));
  return node;
}

function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
