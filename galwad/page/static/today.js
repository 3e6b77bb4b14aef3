// The advisor's day: the calls that they missed, the calls that they had, and what became of their
// transfers. It is read again when the desk says that it has changed, never on a timer.

import { ApiError, ask } from "./api.js";
import { numberLink } from "./dial.js";
import { clock, el, reveal, say, show } from "./dom.js";
import { language } from "./i18n.js";
import { timeOf } from "./times.js";

const SETTLE_MS = 400; // several changes in this time are one request
const FEW = 5; // rows of calls that are shown at first

export class Today {
  constructor() {
    this.title = el("h2", { id: "today-title", tabindex: "-1", t: "today.title" });
    this.none = el("p", { class: "note", t: "today.none" });
    this.missed = new Section("missed");
    this.calls = new Section("calls");
    this.transfers = new Section("transfers");
    this.more = el("button", { type: "button", class: "quiet", hidden: true, on: { click: () => this.toggle() } });
    this.calls.box.append(this.more);
    this.cut = el("p", { class: "note", t: "today.cut", hidden: true });
    this.box = el(
      "section",
      { class: "card today", "aria-labelledby": this.title.id, hidden: true },
      this.title,
      this.none,
      this.missed.box,
      this.calls.box,
      this.transfers.box,
      this.cut,
    );
    this.all = false;
    this.day = null;
  }

  /** Read the day again, a moment later. */
  refresh() {
    this.timer ??= setTimeout(() => this.read(), SETTLE_MS);
  }

  stop() {
    clearTimeout(this.timer);
    this.stopped = true;
  }

  async read() {
    this.timer = null;
    try {
      const day = await ask("GET", "/today");
      if (!this.stopped) this.update(day);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the list stays as it is
    }
  }

  update(day) {
    this.day = day;
    this.render();
  }

  /** Show the day that was read last, in the language now shown. */
  render() {
    const { day } = this;
    if (!day) return;
    const focused = this.box.contains(document.activeElement) && document.activeElement !== this.more;
    this.missed.update(day.missed, missedRow);
    this.calls.update(this.all ? day.calls : day.calls.slice(0, FEW), callRow);
    this.transfers.update(day.transfers, transferRow);
    reveal(this.none, !day.calls.length && !day.missed.length && !day.transfers.length);
    reveal(this.cut, day.cut);
    reveal(this.more, day.calls.length > FEW);
    this.more.setAttribute("aria-expanded", String(this.all));
    say(this.more, this.all ? "today.fewer" : "today.all", { count: day.calls.length });
    reveal(this.box, true);
    if (focused && !this.box.contains(document.activeElement)) this.title.focus();
  }

  toggle() {
    this.all = !this.all;
    this.render();
  }
}

/** One list with its heading, hidden while it is empty. */
class Section {
  constructor(name) {
    this.rows = new Map(); // key → {box, text}
    this.count = el("span", { class: "count", raw: "" });
    const heading = el("h3", { id: `today-${name}` }, el("span", { t: `today.${name}` }), this.count);
    this.list = el("ul", { "aria-labelledby": heading.id });
    this.box = el("div", { class: `day-${name}`, hidden: true }, heading, this.list);
  }

  /** Show these items; a row that has not changed stays the same element, and keeps the focus. */
  update(items, make) {
    const before = this.rows;
    this.rows = new Map();
    items.forEach((item, at) => {
      const key = `${item.call_id} ${item.at ?? ""}`;
      const text = `${language()} ${JSON.stringify(item)}`;
      const known = before.get(key);
      const row = known?.text === text ? known : { text, box: el("li", {}, ...make(item)) };
      before.delete(key);
      if (known && known !== row) known.box.remove();
      this.rows.set(key, row);
      if (this.list.children[at] !== row.box) this.list.insertBefore(row.box, this.list.children[at] ?? null);
    });
    for (const { box } of before.values()) box.remove();
    show(this.count, String(items.length));
    reveal(this.count, this.box.classList.contains("day-missed"));
    reveal(this.box, items.length > 0);
  }
}

function timeBox(seconds) {
  return el("time", { raw: timeOf(seconds), datetime: new Date(seconds * 1000).toISOString() });
}

/** The number, which a click calls where that is possible. */
function numberOf(item) {
  if (item.number) return numberLink(item.number, item.number_display ?? item.number, { class: "who", "data-number": item.number, dir: "ltr" });
  return el("span", { class: "who none", t: item.withheld ? "today.withheld" : "today.no_number" });
}

function fact(key, values) {
  const node = el("span", {});
  say(node, key, values);
  return node;
}

function missedRow(call) {
  return [
    timeBox(call.started),
    numberOf(call),
    el("span", { class: "line", line: call.line }),
    fact(call.outcome === "missed" ? "today.missed.waited" : `today.${call.outcome}`, { time: clock(call.waited) }),
  ];
}

function callRow(call) {
  const note = call.note ? el("span", { class: `badge ${call.note}`, t: `today.note.${call.note}` }) : null;
  return [
    timeBox(call.started),
    numberOf(call),
    el("span", { class: "line", ...(call.purpose ? { raw: call.purpose } : { line: call.line }) }),
    call.outgoing ? fact("today.made", { time: clock(call.length) }) : el("span", { raw: clock(call.length) }),
    note,
  ];
}

function transferRow(transfer) {
  return [
    timeBox(transfer.at),
    el("span", { class: "who", t: `today.to.${transfer.destination || "unknown"}` }),
    el("span", { class: "line", line: transfer.line }),
    el("span", { class: transfer.result === "answered" ? "" : "badge missing", t: `today.transfer.${transfer.result}` }),
  ];
}
