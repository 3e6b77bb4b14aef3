// The recordings: a search with filters, and what happened in each recording. The desk enters each
// search, and each recording that is opened, in its audit.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { clock, el, reveal, say, show, showLine } from "./dom.js";
import { FLAGS, Flags } from "./flags.js";
import { lineName, own, t, translate } from "./i18n.js";
import { LAST_DAY, codeOf, dayAfter } from "./recording_filters.js";
import { REASONS, actorOf, bar, explanations, nameOf, plain, summary } from "./timeline.js";
import { dateOf, preciseTimeOf } from "./times.js";

const PERIODS = ["", "today", "yesterday", "this week", "last week", "this month", "last month", "dates"];
const COLUMNS = ["started", "caller", "line", "advisor", "talk", "what"];
const LENGTH = /^(?:(\d{1,2}):(?=[0-5]\d:))?(\d{1,4})(?::([0-5]\d))?$/; // hours, minutes and seconds
const STYLES = new URL("./recordings.css", import.meta.url);

export class Recordings {
  /** `onClose()` goes back to the calls. */
  constructor(me, onClose) {
    this.isAdmin = me.role === "admin";
    this.title = el("h1", { tabindex: "-1", t: "recordings.title" });
    this.fields = new Map();
    this.lines = el("datalist", { id: "recordings-lines" });
    this.dates = el("div", { class: "pair", hidden: true }, this.day("since"), this.day("until"));
    this.submit = el("button", { type: "submit", class: "primary", t: "search.submit" });
    this.form = el(
      "form",
      { class: "filters", role: "search", autocomplete: "off", on: { submit: (event) => this.search(event), reset: () => this.reset(), input: () => this.accept() } },
      el("div", { class: "pair" }, this.field("number", { type: "tel" }), this.choice("when", PERIODS)),
      this.dates,
      el("div", { class: "pair" }, this.field("line", { list: this.lines.id, on: { focus: () => this.offerLines() } }), this.field("advisor")),
      el(
        "details",
        {},
        el("summary", { t: "recordings.more_filters" }),
        el("div", { class: "pair" }, this.field("extension"), this.field("reference"), this.choice("gap_reason", ["", ...REASONS]), this.choice("flag", ["", ...FLAGS])),
        el("div", { class: "pair" }, this.field("min_length_s", { hint: true }), this.field("max_length_s", { hint: true })),
      ),
      this.lines,
      el("div", { class: "buttons" }, this.submit, el("button", { type: "reset", class: "quiet", t: "recordings.clear" })),
    );
    this.problem = el("p", { class: "warning", role: "alert", id: "recordings-problem", hidden: true });
    this.count = el("p", { class: "note", t: "recordings.hint" });
    this.rows = [];
    this.body = el("tbody");
    const heads = COLUMNS.map((name) => el("th", { scope: "col", t: `recordings.${name}` }));
    this.found = el("h2", { id: "recordings-found", t: "recordings.found" });
    const table = el("table", { "aria-labelledby": this.found.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.key = el("p", { class: "key", "aria-hidden": "true" });
    this.table = el(
      "div",
      { class: "results", hidden: true },
      this.key,
      el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": this.found.id }, table),
    );
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true }); // of the next page
    this.next = el("button", { type: "button", t: "recordings.next", hidden: true, on: { click: () => this.more() } });
    this.box = el(
      "div",
      { class: "recordings" },
      el("link", { rel: "stylesheet", href: STYLES.href }),
      el("header", {}, this.title, el("button", { type: "button", class: "quiet", t: "door.close", on: { click: onClose } })),
      el("section", { class: "card", "aria-labelledby": "recordings-filters" }, el("h2", { id: "recordings-filters", t: "recordings.filters" }), this.form, this.problem),
      el("section", { class: "card", "aria-labelledby": this.found.id }, this.found, this.count, this.table, this.next, this.trouble),
    );
    this.ring = { keys: null, heard: null, showKeys: () => this.showKeys() }; // the officer's keys, and the recording that plays
    this.query = null; // of the rows that are shown
    this.after = null; // where the next page begins
  }

  field(name, { hint = false, ...attributes } = {}) {
    const input = el("input", { type: "text", id: `recordings-${name}`, maxlength: 200, autocomplete: "off", ...attributes });
    const note = hint ? el("p", { class: "note", id: `${input.id}-hint`, t: "recordings.length_hint" }) : null;
    if (note) input.setAttribute("aria-describedby", note.id);
    this.fields.set(name, input);
    return el("div", { class: "field" }, el("label", { for: input.id, t: `recordings.by.${name}` }), input, note);
  }

  day(name) {
    return this.field(name, { type: "date", max: LAST_DAY, disabled: true });
  }

  choice(name, values) {
    const options = values.map((value) => el("option", { value, t: `recordings.${name}.${value.replaceAll(" ", "_") || "any"}` }));
    const select = el("select", { id: `recordings-${name}`, on: { change: () => this.showDates() } }, ...options);
    this.fields.set(name, select);
    return el("div", { class: "field" }, el("label", { for: select.id, t: `recordings.by.${name}` }), select);
  }

  start() {
    if (this.started) return;
    this.started = true;
    this.title.focus();
  }

  /** The part is left. What was found stays until the sign-out: the way back is one key press. */
  stop() {
    this.started = false;
    this.finish();
    for (const row of this.rows) row.listening?.pause();
  }

  showKeys() {
    for (const row of this.rows) row.listening?.showKey();
  }

  /** The user has signed out: forget the keys and what was opened with them. */
  forget() {
    for (const row of this.rows) row.listening?.close();
    this.ring.keys = null;
  }

  /** Suggest the lines by the names in the page's language. */
  offerLines() {
    this.lines.replaceChildren(...Object.keys(own.lines).map((line) => el("option", { value: lineName(line) })));
  }

  /** Offer the two dates; a hidden date must not keep the browser from sending the form. */
  showDates() {
    const chosen = this.fields.get("when").value === "dates";
    for (const name of ["since", "until"]) this.fields.get(name).disabled = !chosen;
    reveal(this.dates, chosen);
  }

  reset() {
    this.accept();
    setTimeout(() => this.showDates()); // once the fields are empty
  }

  /** The filters as the desk reads them; null, with the reason shown, if one of them has no meaning. */
  filters() {
    const query = {};
    for (const [name, field] of this.fields) {
      const text = field.value.trim();
      if (text && !field.disabled) query[name] = text;
    }
    if (query.line) query.line = codeOf(query.line);
    for (const name of ["min_length_s", "max_length_s"]) {
      if (!(name in query)) continue;
      const found = LENGTH.exec(query[name]);
      if (!found) return this.refuse("recordings.bad_length", name);
      const [hours, minutes, seconds] = found.slice(1).map((part) => Number(part ?? 0));
      query[name] = (hours * 60 + minutes) * 60 + seconds;
    }
    if (query.min_length_s > query.max_length_s) return this.refuse("recordings.bad_lengths", "max_length_s");
    if (query.when !== "dates") return query;
    delete query.when;
    if (!query.since && !query.until) return this.refuse("recordings.no_dates", "since");
    if (query.since && query.until && query.since > query.until) return this.refuse("recordings.bad_dates", "until");
    if (query.until) query.until = dayAfter(query.until);
    return query;
  }

  refuse(key, name) {
    const field = this.fields.get(name);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-errormessage", this.problem.id);
    const folded = field.closest("details");
    if (folded) folded.open = true;
    warn(this.problem, key);
    field.focus();
    return null;
  }

  /** Forget the fault of a filter, because something is typed. */
  accept() {
    reveal(this.problem, false);
    for (const field of this.fields.values()) {
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-errormessage");
    }
  }

  search(event) {
    event.preventDefault();
    this.accept();
    const query = this.filters();
    return query && this.read(query, null, this.problem);
  }

  /** Show the next page below, and go to its first recording. A new search goes before it. */
  async more() {
    if (this.turn) return;
    const before = this.rows.length;
    if (await this.read(this.query, this.after, this.trouble)) this.rows[before]?.button.focus();
  }

  /** Ask for a page of recordings; whether it is shown. Only the newest request counts. */
  async read(query, after, problem) {
    const turn = {};
    this.turn = turn;
    this.submit.setAttribute("aria-busy", "true");
    reveal(this.trouble, false);
    try {
      const page = await ask("POST", "/recordings/search", after ? { ...query, after } : query);
      if (this.turn !== turn) return false;
      if (!after) {
        for (const row of this.rows) row.listening?.close();
        this.rows = [];
      }
      this.query = query;
      this.after = page.after;
      this.rows.push(...page.rows.map((row) => new Row(row, this.ring, this.isAdmin)));
      this.render();
      announce(this.count.dataset.t, JSON.parse(this.count.dataset.tValues));
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.turn === turn) warn(problem, refusalOf(error));
      return false;
    } finally {
      if (this.turn === turn) this.finish();
    }
  }

  /** No request counts any more. */
  finish() {
    this.turn = null;
    this.submit.setAttribute("aria-busy", "false");
  }

  /** Show what was found, in the language of the page. */
  render() {
    if (!this.query) return;
    const count = this.rows.length;
    const key = this.after ? "recordings.newest" : count === 1 ? "recordings.one" : count ? "recordings.all" : "recordings.none";
    say(this.count, key, { count });
    const reasons = REASONS.map((reason) => el("span", { class: `gap-${reason}`, raw: nameOf(reason) }));
    this.key.replaceChildren(...reasons, el("span", { class: "gap-unexplained", raw: t("recordings.unexplained") }));
    for (const row of this.rows) row.render();
    const boxes = this.rows.flatMap(({ line, detail }) => [line, detail]);
    if (boxes.some((box, at) => this.body.children[at] !== box) || this.body.children.length !== boxes.length) this.body.replaceChildren(...boxes);
    reveal(this.table, count > 0);
    reveal(this.next, Boolean(this.after));
  }
}

class Row {
  constructor(row, ring, isAdmin) {
    this.row = row;
    this.ring = ring;
    this.isAdmin = isAdmin;
    const id = `recording-${row.call_id}`;
    this.button = el("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": id, on: { click: () => this.toggle() } });
    this.caller = el("td");
    this.advisor = el("td");
    const line = el("td");
    if (row.named) showLine(line, row.line);
    else say(line, "recordings.unknown");
    this.words = el("p", {});
    this.marks = el("p", { class: "marks" });
    const what = el("td", { class: "what" }, bar(row), this.words, this.marks);
    this.line = el("tr", {}, el("th", { scope: "row" }, this.button), this.caller, line, this.advisor, el("td", { raw: clock(row.talk_s) }), what);
    this.content = el("div", { class: "detail", id });
    this.detail = el("tr", { hidden: true }, el("td", { colspan: COLUMNS.length }, this.content));
  }

  render() {
    const { row } = this;
    show(this.button, preciseTimeOf(row.started, { dated: true }));
    if (!row.named) {
      for (const cell of [this.caller, this.advisor]) say(cell, "recordings.unknown");
    } else {
      if (row.number) show(this.caller, plain(row.number));
      else say(this.caller, "today.no_number");
      const advisor = row.advisor || row.extension;
      if (advisor) show(this.advisor, advisor);
      else say(this.advisor, "recordings.unknown");
    }
    show(this.words, summary(row));
    this.marks.replaceChildren(...marksOf(row).map((key) => el("span", { t: key })));
    translate(this.marks);
    if (this.known) this.explain();
  }

  toggle() {
    const opens = this.detail.hidden;
    reveal(this.detail, opens);
    this.button.setAttribute("aria-expanded", String(opens));
    if (opens) this.asked ??= this.read();
    else this.listening?.pause();
  }

  /** Ask the desk, which enters both requests in its audit, so what it answers is kept. */
  async read() {
    this.content.replaceChildren(el("p", { class: "note", t: "recordings.loading" }));
    translate(this.content);
    const path = `/recordings/${encodeURIComponent(this.row.call_id)}`;
    try {
      const { holds, disposal, purposes, flags, term } = await ask("GET", path);
      this.known = { holds, term, gaps: await ask("GET", `${path}/gaps`) };
      this.row.flags = flags.map(({ flag }) => flag);
      this.flags = new Flags(this.row.call_id, flags, this.isAdmin, () => this.again());
      // Both load what others have written for the format age, which nobody needs before.
      if (disposal) this.certificate = certificateIn(disposal, await part("./keys.js"));
      else if (purposes.length) this.listening = new (await part("./listening.js")).Listening(this.row, purposes, this.ring);
      this.render();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.asked = null; // the next press asks again
      this.content.replaceChildren(el("p", { class: "warning", role: "alert", t: refusalOf(error) }));
      translate(this.content);
    }
  }

  /** Read the recording again, because a flag was changed: other people may hear it now. */
  async again() {
    this.listening?.close();
    this.listening = null;
    await (this.asked = this.read());
    this.button.focus();
  }

  /** Explain the recording's gaps, and name everybody who joined the call later. */
  explain() {
    const { holds, term, gaps } = this.known;
    const facts = [["id", this.row.call_id], ...laterParties(this.row)];
    if (term) facts.push(["term", termOf(term)]);
    for (const { hold_id: number, reference } of holds) facts.push(["hold", `${number}: ${reference}`]);
    if (this.certificate) facts.push(["disposal", disposalOf(this.certificate)]);
    const list = facts.flatMap(([name, text]) => [el("dt", { t: `recordings.fact.${name}` }), el("dd", { raw: text })]);
    const sentences = explanations(gaps).map((text) => el("li", { raw: text }));
    this.flags.render();
    const parts = [el("dl", {}, ...list), el("ul", {}, ...sentences), this.flags.box];
    if (this.listening) parts.push(this.listening.box);
    else if (!this.certificate) parts.push(el("p", { class: "note", t: "recordings.listen.not_allowed" }));
    this.content.replaceChildren(...parts);
    translate(this.content);
  }
}

/** Load a script; an error like that of a request if the desk does not send it. */
async function part(name) {
  try {
    return await import(name);
  } catch {
    throw new ApiError(0);
  }
}

/** Until when the rules keep a recording, in words. */
function termOf({ due, category }) {
  if (due === null) return t("recordings.term.by_hand", { category });
  return t("recordings.term", { day: dateOf(due), category });
}

/** The certificate of a disposal; empty if its signature is wrong. */
function certificateIn(text, { verified }) {
  try {
    return verified(text, "disposal").document;
  } catch {
    return {};
  }
}

/** When a recording was disposed of, by whom and why, in words. */
function disposalOf({ disposed, by, reason, audit }) {
  if (!disposed) return t("recordings.disposal.changed");
  const time = preciseTimeOf(Date.parse(disposed) / 1000, { dated: true });
  return t("recordings.disposal", { time, by: plain(actorOf(by)), reason: t(`recordings.disposal.${reason}`), seq: audit.seq });
}

/** Show a fault, and say it again if it is the same as before. */
function warn(node, key) {
  reveal(node, false);
  say(node, key);
  requestAnimationFrame(() => reveal(node, true));
}

/** The key of the text for a refusal of the desk. */
function refusalOf(error) {
  const known = { card_number: "search.card", step_up_needed: "stepup.needed" }[error.reason];
  return known ?? (error.status === 422 ? "recordings.refused" : "error.notsent");
}

/** The keys of the words for what is unusual about a recording. */
function marksOf(row) {
  const marks = [];
  if (row.captured_card) marks.push(`recordings.card.${row.captured_card}`);
  if (row.interrupted) marks.push("recordings.interrupted");
  if (row.raw_size) marks.push("recordings.raw");
  if (row.custody) marks.push(`recordings.${row.custody}`);
  marks.push(...row.flags.map((flag) => `recordings.flag.${flag}`));
  return marks;
}

function laterParties(row) {
  const at = ({ from_us: us }) => clock(us / 1e6);
  return [
    ...row.later_callers.map((each) => ["later_caller", `${at(each)}  ${each.withheld ? t("today.withheld") : plain(each.number) || t("today.no_number")}`]),
    ...row.later_advisors.map((each) => ["later_advisor", `${at(each)}  ${[each.advisor, each.extension].filter(Boolean).join(", ") || t("recordings.unknown")}`]),
  ];
}
