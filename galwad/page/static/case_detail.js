// One case: its facts and deadlines, the steps, the searches for the calls of the person, and the calls
// that were found, of which some can be excluded from the answer.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { Busy, dayOf, fieldsOf, refuseCase } from "./case_parts.js";
import { el, reveal, say, show } from "./dom.js";
import { lineName, t } from "./i18n.js";
import { cell, numberOf } from "./retention_parts.js";
import { plain } from "./timeline.js";
import { isoDayOf, momentOf, preciseTimeOf } from "./times.js";

const OUTCOMES = ["granted", "partly-refused", "refused", "withdrawn", "no-answer"];
const DIRECTORY = "directory: ";

/** The next day by which the council must act; "" while there is none. */
export function dueOf({ state, answer_by: answer, acknowledge_by: acknowledge }) {
  return state === "open" ? [answer, acknowledge].filter(Boolean).sort()[0] ?? "" : "";
}

export function stateOf(each) {
  const due = dueOf(each);
  if (due && due < isoDayOf(Date.now() / 1000)) return t("admin.cases.state.overdue");
  return t(`admin.cases.state.${each.state}`);
}

const alert = () => el("p", { class: "problem", role: "alert", hidden: true });

export class CaseDetail {
  /** `page` is the page about cases. */
  constructor(page) {
    this.page = page;
    this.title = el("h2", { id: "cases-detail", tabindex: "-1" });
    this.done = el("p", { class: "approvals", hidden: true });
    this.facts = el("dl", {});
    this.take = new Busy("button", "admin.cases.take", () => this.own());
    this.trouble = alert();
    this.steps = new Steps(this);
    this.searches = new Searches(this);
    this.calls = new Calls(this);
    this.parts = [this.steps, this.searches, this.calls];
    this.takes = el("div", { class: "buttons" }, this.take.button);
    this.number = null; // of the case that is shown
    this.box = el("section", { class: "card", "aria-labelledby": this.title.id, hidden: true }, this.title, this.done, this.facts, this.trouble, this.takes, ...this.parts.map(({ box }) => box));
  }

  /** Another case is to be shown: forget what was typed for this one. */
  leave() {
    for (const text of [this.done, this.trouble]) reveal(text, false);
    for (const part of this.parts) part.leave();
  }

  render({ shown }) {
    reveal(this.box, Boolean(shown));
    if (!shown) return;
    const { case: each } = shown;
    if (this.number !== each.case_id) this.leave(); // what was typed or read since then was for another case
    this.number = each.case_id;
    show(this.title, plain(t("admin.cases.detail", { number: each.case_id, reference: each.reference })));
    const by = each.representative && t("admin.cases.represented", { name: plain(each.representative), authority: plain(each.authority) });
    const answer = each.answer_by && (each.state === "waiting-for-scope" ? t("admin.cases.answered_today", { day: dayOf(each.answer_by) }) : dayOf(each.answer_by));
    const facts = {
      kind: t(`admin.cases.kind.${each.kind}`),
      person: plain(each.name),
      representative: by,
      details: plain(each.details),
      received: `${dayOf(each.received)}, ${t(`admin.cases.channel.${each.channel}`)} ${each.call_id}`.trim(),
      language: t(`admin.cases.language.${each.language}`),
      owner: each.owner || t("admin.cases.owner.none"),
      state: stateOf(each),
      acknowledge_by: each.acknowledge_by && dayOf(each.acknowledge_by),
      answer_by: answer,
      extend_by: each.extend_by && dayOf(each.extend_by),
    };
    const given = Object.entries(facts).filter(([, text]) => text);
    this.facts.replaceChildren(...given.flatMap(([name, raw]) => [el("dt", { t: `admin.cases.${name}` }), el("dd", { raw })]));
    reveal(this.takes, !each.owner && each.state !== "closed");
    for (const part of this.parts) part.render(shown);
  }

  /** An advisor has opened the case in a call: the signed-in administrator becomes its owner. */
  own() {
    const body = { version: this.page.state.shown.case.version, owner: this.page.me };
    return this.change(this.trouble, "PUT", "", body, () => ["admin.cases.say.taken", {}]);
  }

  /** Say what was done with a case, and go to its title if it is shown. */
  tell(number, key, values) {
    announce(key, values);
    if (this.number !== number) return;
    say(this.done, key, values);
    reveal(this.done, true);
    this.title.focus();
  }

  /** Send a change of the case that is shown; `after(answer)` returns what to say about it. */
  async change(trouble, method, path, body, after) {
    const { number } = this;
    reveal(trouble, false);
    try {
      const answer = await ask(method, `/cases/${number}${path}`, body);
      const said = after(answer, this.number === number);
      await this.page.refresh();
      this.tell(number, ...said);
    } catch (error) {
      const focused = document.activeElement;
      await this.page.refresh();
      refuseCase(trouble, error, "admin.cases.refused.changed");
      if (!focused.isConnected && this.number === number) this.title.focus(); // the pressed button was shown again
    }
  }
}

class Steps {
  constructor(section) {
    this.section = section;
    const title = el("h3", { t: "admin.cases.steps" });
    this.list = el("ol", {});
    this.none = el("p", { class: "none", t: "admin.cases.steps.none" });
    this.inputs = { step: el("select", { required: true, on: { change: () => this.settle() } }), day: el("input", { type: "date", required: true }), outcome: el("select", {}), note: el("textarea", { rows: 2, maxlength: 2000, autocomplete: "off" }) };
    const [step, day, outcome, note] = fieldsOf("cases-step", this.inputs);
    this.outcome = outcome;
    this.trouble = alert();
    this.submit = new Busy("submit", "admin.cases.step.submit");
    this.form = el("form", { autocomplete: "off", on: { submit: (event) => this.send(event) } }, el("div", { class: "pair" }, step, day, outcome), note, this.trouble, el("div", { class: "buttons" }, this.submit.button));
    this.undo = { withdrawn: el("select", { required: true }), reason: el("input", { type: "text", maxlength: 200, required: true, autocomplete: "off" }) };
    this.undone = alert();
    this.withdraw = new Busy("submit", "admin.cases.withdraw.submit");
    const undoForm = el("form", { autocomplete: "off", on: { submit: (event) => this.sendUndo(event) } }, el("div", { class: "pair" }, ...fieldsOf("cases-undo", this.undo)), this.undone, el("div", { class: "buttons" }, this.withdraw.button));
    this.undoBox = el("details", {}, el("summary", { t: "admin.cases.withdraw" }), undoForm);
    this.box = el("div", { class: "sections" }, title, this.none, this.list, this.form, this.undoBox);
  }

  leave() {
    this.form.reset();
    this.inputs.day.value = "";
    this.undo.reason.value = "";
    this.undoBox.open = false;
    for (const text of [this.trouble, this.undone]) reveal(text, false);
  }

  render({ steps, possible }) {
    const { step, day, outcome } = this.inputs;
    this.list.replaceChildren(...steps.map((each) => el("li", { value: each.position, raw: stepText(each) })));
    reveal(this.none, steps.length === 0);
    offer(step, possible, (value) => t(`admin.cases.step.${value}`));
    offer(outcome, OUTCOMES, (value) => t(`admin.cases.outcome.${value}`));
    day.max = isoDayOf(Date.now() / 1000);
    day.value ||= day.max;
    const counting = steps.filter(({ withdrawn }) => !withdrawn).reverse();
    offer(this.undo.withdrawn, counting.map(({ position }) => String(position)), (value) => stepText(steps.find(({ position }) => String(position) === value)));
    if (!this.undoBox.open && counting.length) this.undo.withdrawn.value = counting[0].position; // the newest
    reveal(this.undoBox, counting.length > 0);
    this.settle();
  }

  /** An outcome belongs to the end of a case only; a refusal and an extension need a reason. */
  settle() {
    const { step, note } = this.inputs;
    reveal(this.outcome, step.value === "closed");
    note.required = ["noted", "extended"].includes(step.value);
  }

  send(event) {
    event.preventDefault();
    const { step, day, outcome, note } = this.inputs;
    note.value = note.value.trim();
    note.required = ["noted", "extended"].includes(step.value) || (step.value === "closed" && ["partly-refused", "refused"].includes(outcome.value));
    if (!this.form.reportValidity()) return;
    const body = { kind: step.value, day: day.value, note: note.value, outcome: step.value === "closed" ? outcome.value : null, version: this.section.page.state.shown.case.version };
    this.submit.run(() =>
      this.section.change(this.trouble, "POST", "/steps", body, (_, same) => {
        if (same) this.leave();
        return ["admin.cases.say.step", {}];
      }),
    );
  }

  sendUndo(event) {
    event.preventDefault();
    const { withdrawn, reason } = this.undo;
    reason.value = reason.value.trim();
    if (!reason.reportValidity()) return;
    const body = { position: Number(withdrawn.value), reason: reason.value };
    this.withdraw.run(() =>
      this.section.change(this.undone, "POST", "/steps/withdraw", body, (_, same) => {
        if (same) this.leave();
        return ["admin.cases.say.withdrawn", {}];
      }),
    );
  }
}

function stepText({ day, kind, outcome, note, actor, withdrawn }) {
  const what = [dayOf(day), t(`admin.cases.step.${kind}`), outcome && t(`admin.cases.outcome.${outcome}`), note].filter(Boolean).join(": ");
  const end = withdrawn ? t("admin.cases.step.withdrawn", { reason: withdrawn }) : "";
  return plain(`${what} (${actor.replace(/^user:/, "")}) ${end}`.trim());
}

/** Offer values in a select; what is chosen stays if it is still offered. */
function offer(select, values, nameOf) {
  const before = select.value;
  select.replaceChildren(...values.map((value) => el("option", { value, raw: nameOf(value) })));
  if (values.includes(before)) select.value = before;
}

class Searches {
  constructor(section) {
    this.section = section;
    const title = el("h3", { t: "admin.cases.searches" });
    this.list = el("ul", {});
    this.none = el("p", { class: "none", t: "admin.cases.searches.none" });
    this.inputs = { number: el("input", { type: "tel", maxlength: 40, autocomplete: "off" }), text: el("input", { type: "text", minlength: 2, maxlength: 100, autocomplete: "off" }) };
    this.trouble = alert();
    this.submit = new Busy("submit", "admin.cases.search.submit");
    this.people = el("div", { class: "sections", role: "group", "aria-label": "", hidden: true });
    const form = el("form", { autocomplete: "off", on: { submit: (event) => this.send(event) } }, el("p", { class: "note", t: "admin.cases.search.hint" }), el("div", { class: "pair" }, ...fieldsOf("cases-search", this.inputs)), this.trouble, el("div", { class: "buttons" }, this.submit.button), this.people);
    this.form = form;
    this.box = el("div", { class: "sections" }, title, this.none, this.list, form);
  }

  leave() {
    this.form.reset();
    this.found = [];
    this.offerPeople();
    reveal(this.trouble, false);
  }

  render({ case: each, searches }) {
    reveal(this.form, each.state !== "closed");
    reveal(this.none, searches.length === 0);
    this.list.replaceChildren(...searches.map((search) => this.item(search, each.state !== "closed")));
    this.offerPeople();
  }

  item(search, changeable) {
    const { position, text, person, at, places } = search;
    const title = plain(t(person ? "admin.cases.search.of_person" : "admin.cases.search.of", { text, person, time: momentOf(at), count: numberOf(search.found) }));
    const rows = places.map((place) => el("li", { raw: placeText(place) }));
    const remove = new Busy("button", "admin.cases.search.remove", () => this.remove(position));
    remove.button.setAttribute("aria-label", t("admin.cases.search.remove.of", { text: plain(text) }));
    return el("li", {}, el("span", { raw: title }), el("ul", {}, ...rows), changeable ? remove.button : null);
  }

  remove(position) {
    return this.section.change(this.trouble, "DELETE", `/searches/${position}`, undefined, (_, same) => {
      if (same) this.section.calls.leave();
      return ["admin.cases.say.removed", {}];
    });
  }

  send(event) {
    event.preventDefault();
    for (const input of Object.values(this.inputs)) input.value = input.value.trim();
    const { number, text } = this.inputs;
    if (!number.value === !text.value) {
      say(this.trouble, "admin.cases.search.one");
      reveal(this.trouble, true);
      return;
    }
    if (this.form.reportValidity()) this.search(this.submit, number.value ? { number: number.value } : { text: text.value });
  }

  search(button, body) {
    button.run(() =>
      this.section.change(this.trouble, "POST", "/searches", body, ({ people, new: count }, same) => {
        if (same) {
          this.section.calls.leave();
          this.found = body.person || body.number ? [] : people.map((each) => ({ ...each, text: body.text }));
          if (body.person || body.number) this.form.reset();
        }
        const values = { count: numberOf(count), people: numberOf(people.length) };
        if (body.number || body.person) return ["admin.cases.say.searched", values];
        return [people.length ? "admin.cases.say.people" : "admin.cases.say.none_found", values];
      }),
    );
  }

  /** Offer the people whom the directories have found: the officer chooses the right one. */
  offerPeople() {
    const found = this.found ?? [];
    this.people.setAttribute("aria-label", t("admin.cases.people"));
    this.people.replaceChildren(...found.map((each) => this.person(each)));
    reveal(this.people, found.length > 0);
  }

  person({ person, name, reference, numbers, text }) {
    const about = [name, reference, ...numbers].filter(Boolean).join(", ");
    const choose = new Busy("button", "admin.cases.people.choose", () => {});
    choose.button.addEventListener("click", () => this.search(choose, { text, person }));
    choose.button.setAttribute("aria-label", t("admin.cases.people.choose.of", { name: plain(name) }));
    return el("div", { class: "buttons" }, el("span", { raw: plain(about) }), choose.button);
  }
}

function placeText({ place, spelling, found, failed }) {
  const name = place.startsWith(DIRECTORY) ? t("admin.cases.place.directory", { name: place.slice(DIRECTORY.length) }) : t(`admin.cases.place.${place}`);
  const result = failed ? t(`admin.cases.failed.${failed}`) : numberOf(found);
  return plain(t("admin.cases.place.result", { place: name, spelling, result }));
}

class Calls {
  constructor(section) {
    this.section = section;
    const title = el("h3", { id: "cases-calls", t: "admin.cases.calls" });
    this.summary = el("p", {});
    this.body = el("tbody");
    const heads = ["started", "line", "advisor"].map((name) => el("th", { scope: "col", t: `recordings.${name}` }));
    const own = ["recording", "confirmed", "excluded"].map((name) => el("th", { scope: "col", t: `admin.cases.${name}` }));
    const table = el("table", { "aria-labelledby": title.id }, el("thead", {}, el("tr", {}, el("th", { scope: "col", t: "admin.cases.chosen" }), ...heads, ...own)), this.body);
    this.table = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": title.id }, table);
    this.more = new Busy("button", "admin.cases.calls.show", () => this.read());
    this.inputs = { why: el("input", { type: "text", maxlength: 200, autocomplete: "off" }) };
    this.trouble = alert();
    this.exclude = new Busy("button", "admin.cases.exclude", () => this.set(true));
    this.include = new Busy("button", "admin.cases.include", () => this.set(false));
    this.form = el("div", { class: "sections" }, ...fieldsOf("cases-exclude", this.inputs), el("div", { class: "buttons" }, this.exclude.button, this.include.button));
    this.hint = el("p", { class: "note", t: "admin.cases.calls.hint" });
    this.box = el("div", { class: "sections" }, title, this.summary, this.table, el("div", { class: "buttons" }, this.more.button), this.form, this.trouble, this.hint);
    this.leave();
  }

  leave() {
    this.rows = [];
    this.after = "";
    this.chosen = new Set();
    this.turn = {}; // only an answer to a request since then counts
    this.inputs.why.value = "";
    reveal(this.trouble, false);
  }

  render({ case: each, calls, excluded }) {
    this.closed = each.state === "closed";
    this.count = calls;
    say(this.summary, "admin.cases.calls.count", { count: numberOf(calls), excluded: numberOf(excluded) });
    this.show();
  }

  async read() {
    const { turn } = this;
    reveal(this.trouble, false);
    try {
      const page = await ask("GET", `/cases/${this.section.number}/calls?after=${encodeURIComponent(this.after)}`);
      if (this.turn !== turn) return;
      const before = this.rows.length;
      this.rows.push(...page.rows);
      this.after = page.after;
      this.show();
      announce("admin.cases.say.calls", { count: numberOf(this.rows.length) });
      if (this.more.button.hidden) this.body.rows[before]?.querySelector("input")?.focus();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, "error.notsent");
      reveal(this.trouble, true);
    }
  }

  show() {
    this.body.replaceChildren(...this.rows.map((row) => this.row(row)));
    reveal(this.table, this.rows.length > 0);
    reveal(this.form, this.rows.length > 0 && !this.closed);
    reveal(this.more.button, this.count > 0 && this.after !== null);
    say(this.more.button, this.rows.length ? "recordings.next" : "admin.cases.calls.show");
  }

  row({ call_id: id, started, line, advisor, recording, flags, person, excluded }) {
    const time = preciseTimeOf(started, { dated: true });
    const box = el("input", { type: "checkbox", checked: this.chosen.has(id), "aria-label": t("admin.cases.choose", { time }), on: { change: () => (box.checked ? this.chosen.add(id) : this.chosen.delete(id)) } });
    const state = [t(`admin.cases.recording.${recording || "none"}`), ...flags.map((flag) => t(`recordings.flag.${flag}`))].join(", ");
    return el("tr", {}, el("td", {}, box), el("th", { scope: "row", raw: time }), cell(lineName(line)), cell(plain(advisor)), cell(state), cell(plain(person)), cell(plain(excluded)));
  }

  async set(excluding) {
    const { why } = this.inputs;
    why.value = why.value.trim();
    why.required = excluding;
    const isReady = why.reportValidity();
    why.required = false;
    if (!isReady) return;
    if (!this.chosen.size) {
      say(this.trouble, "admin.cases.exclude.none");
      reveal(this.trouble, true);
      return;
    }
    const body = { call_ids: [...this.chosen], reason: excluding ? why.value : "" };
    await this.section.change(this.trouble, "PUT", "/calls", body, (_, same) => {
      if (same) {
        for (const row of this.rows) if (body.call_ids.includes(row.call_id)) row.excluded = body.reason;
        for (const id of body.call_ids) this.chosen.delete(id);
        why.value = "";
      }
      return [excluding ? "admin.cases.say.excluded" : "admin.cases.say.included", { count: numberOf(body.call_ids.length) }];
    });
  }
}
