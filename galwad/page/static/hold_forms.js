// The forms of legal holds: the facts of a hold, the recordings that it retains, and a new hold.

import { sayRefusal } from "./admin_parts.js";
import { ApiError, ask } from "./api.js";
import { busily, el, reveal, say } from "./dom.js";
import { lineName, own } from "./i18n.js";
import { LAST_DAY, codeOf, dayAfter } from "./recording_filters.js";
import { numberOf } from "./retention_parts.js";
import { isoDayOf } from "./times.js";

const FILTERS = ["number", "advisor", "line", "since", "until"];
const MOST_IDS = 500; // in one request
const DAY_S = 86_400;

/** Say why the desk has refused something; `conflict()` finds the key of the text for a conflict. */
export async function refuseHold(node, error, conflict) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 409) say(node, ...[await conflict()].flat());
  else if (error.status === 0 || error.status >= 500) say(node, "admin.holds.refused.unclear");
  else if (error.status === 404) say(node, "admin.holds.refused.unknown");
  else if (error.status === 422 && !error.reason) say(node, "admin.holds.refused.invalid");
  else sayRefusal(node, error);
  reveal(node, true);
}

export function field(id, key, input) {
  input.id = id;
  return el("div", { class: "field" }, el("label", { for: id, t: key }), input);
}

/** The fields for the facts of a hold. */
export class HoldFacts {
  constructor(id) {
    const text = () => el("input", { type: "text", required: true, maxlength: 200, autocomplete: "off" });
    this.inputs = {
      reference: text(),
      reason: text(),
      owner: el("select", { required: true }),
      review: el("input", { type: "date", required: true, max: LAST_DAY }),
    };
    const fields = Object.entries(this.inputs).map(([name, input]) => field(`${id}-${name}`, `admin.holds.${name}`, input));
    this.box = el("div", { class: "pair" }, ...fields);
  }

  /** Offer the administrators as owners, and days from tomorrow on. What is chosen stays. */
  offer(owners, chosen) {
    const { owner, review } = this.inputs;
    const before = owner.value || chosen;
    owner.replaceChildren(...owners.map((name) => el("option", { value: name, raw: name })));
    owner.value = owners.includes(before) ? before : "";
    review.min = isoDayOf(Date.now() / 1000 + DAY_S);
  }

  fill(hold) {
    for (const [name, input] of Object.entries(this.inputs)) input.value = hold[name];
  }

  /** Remove spaces around the texts, so that a blank one counts as missing. */
  trim() {
    for (const input of Object.values(this.inputs)) if (input.type === "text") input.value = input.value.trim();
  }

  get values() {
    return Object.fromEntries(Object.entries(this.inputs).map(([name, input]) => [name, input.value]));
  }
}

/** The fields that name recordings for a hold: by their ids, by a search, or both. */
export class WhichRecordings {
  constructor(id, { future = false } = {}) {
    this.ids = el("textarea", { rows: 2, autocomplete: "off", "aria-describedby": `${id}-hint` });
    this.lines = el("datalist", { id: `${id}-lines` });
    this.filters = Object.fromEntries(FILTERS.map((name) => [name, el("input", { type: "text", maxlength: 200, autocomplete: "off" })]));
    const { number, line, since, until } = this.filters;
    number.type = "tel";
    line.setAttribute("list", this.lines.id);
    line.addEventListener("focus", () => this.lines.replaceChildren(...Object.keys(own.lines).map((each) => el("option", { value: lineName(each) }))));
    for (const day of [since, until]) {
      day.type = "date";
      day.max = LAST_DAY;
    }
    this.future = el("input", { type: "checkbox" });
    this.problem = el("p", { class: "problem", role: "alert", hidden: true });
    this.box = el(
      "fieldset",
      {},
      el("legend", { t: "admin.holds.which" }),
      el("p", { class: "note", id: `${id}-hint`, t: "admin.holds.which.hint" }),
      field(`${id}-ids`, "admin.holds.ids", this.ids),
      el("div", { class: "pair" }, ...FILTERS.map((name) => field(`${id}-${name}`, `recordings.by.${name}`, this.filters[name]))),
      future ? el("label", {}, this.future, " ", el("span", { t: "admin.holds.future" })) : null,
      this.lines,
      this.problem,
    );
  }

  /** The recordings as the desk reads them; null, with the reason shown, if they have no meaning. */
  read() {
    reveal(this.problem, false);
    const ids = this.ids.value.split(/[\s,]+/).filter(Boolean);
    const filled = FILTERS.map((name) => [name, this.filters[name].value.trim()]).filter(([, text]) => text);
    const query = Object.fromEntries(filled);
    if (!ids.length && !filled.length) return this.refuse("admin.holds.which.none", this.ids);
    if (ids.length > MOST_IDS) return this.refuse("admin.holds.which.many", this.ids);
    if (this.future.checked && !query.number) return this.refuse("admin.holds.future.number", this.filters.number);
    if (query.since > query.until) return this.refuse("recordings.bad_dates", this.filters.until);
    if (query.line) query.line = codeOf(query.line);
    if (query.until) query.until = dayAfter(query.until);
    return { call_ids: ids, ...(filled.length ? { query } : {}) };
  }

  refuse(key, input) {
    say(this.problem, key);
    reveal(this.problem, true);
    input.focus();
    return null;
  }
}

/** The key and the values of the text about recordings that were retained. */
export function retainedOf({ hold_id: number, retained, before, disposed }) {
  const counts = { retained: numberOf(retained), before: numberOf(before), disposed: numberOf(disposed) };
  return [`admin.holds.retained.${before || disposed ? "parts" : "all"}`, { number, ...counts }];
}

export class NewHold {
  /** `page` is the page about legal holds. */
  constructor(page) {
    this.page = page;
    const title = el("h2", { id: "holds-new", t: "admin.holds.new" });
    this.facts = new HoldFacts("holds-new");
    this.which = new WhichRecordings("holds-new", { future: true });
    this.trouble = el("p", { class: "problem", role: "alert", hidden: true });
    this.submit = el("button", { type: "submit", class: "primary", t: "admin.holds.new.submit" });
    this.form = el(
      "form",
      { autocomplete: "off", on: { submit: (event) => this.send(event) } },
      this.facts.box,
      this.which.box,
      this.trouble,
      el("div", { class: "buttons" }, this.submit),
    );
    this.box = el("section", { class: "card", "aria-labelledby": title.id }, title, this.form);
  }

  render({ owners }) {
    this.facts.offer(owners, this.page.me);
  }

  send(event) {
    event.preventDefault();
    reveal(this.trouble, false);
    this.facts.trim();
    const which = this.form.reportValidity() && this.which.read();
    if (which) busily(this.submit, () => this.open({ ...this.facts.values, ...which, future: this.which.future.checked }));
  }

  async open(body) {
    const { chosen } = this.page;
    try {
      const done = await ask("POST", "/holds", body);
      this.form.reset();
      this.facts.inputs.owner.value = ""; // the signed-in administrator is offered again
      if (this.page.chosen === chosen) await this.page.choose(done.hold_id);
      else await this.page.refresh(); // another hold was opened meanwhile
      this.page.detail.tell(done.hold_id, ...retainedOf(done));
    } catch (error) {
      await this.page.refresh(); // the desk may have opened it before the connection ended
      await refuseHold(this.trouble, error, () => "admin.holds.refused.disposed");
    }
  }
}

/** The form that retains further recordings for a hold. */
export class FurtherRecordings {
  /** `page` is the page about legal holds; `section` shows the hold. */
  constructor(page, section) {
    this.page = page;
    this.section = section;
    this.which = new WhichRecordings("holds-add");
    this.trouble = el("p", { class: "problem", role: "alert", hidden: true });
    this.submit = el("button", { type: "submit", t: "admin.holds.add.submit" });
    this.form = el(
      "form",
      { autocomplete: "off", on: { submit: (event) => this.send(event) } },
      this.which.box,
      this.trouble,
      el("div", { class: "buttons" }, this.submit),
    );
    this.box = el("details", {}, el("summary", { t: "admin.holds.add" }), this.form);
  }

  /** Forget what was typed for another hold. */
  leave() {
    this.form.reset();
    this.box.open = false;
    for (const text of [this.trouble, this.which.problem]) reveal(text, false);
  }

  send(event) {
    event.preventDefault();
    reveal(this.trouble, false);
    const which = this.which.read();
    if (which) busily(this.submit, () => this.add(which));
  }

  async add(which) {
    const { number } = this.section;
    try {
      const done = await ask("POST", `/holds/${number}/recordings`, which);
      if (this.section.number === number) this.leave();
      await this.page.refresh();
      this.section.tell(number, ...retainedOf(done));
    } catch (error) {
      await this.page.refresh();
      await refuseHold(this.trouble, error, () => "admin.holds.refused.disposed");
    }
  }
}

/** The form that changes the facts of a hold. */
export class ChangedFacts {
  /** `page` is the page about legal holds; `section` shows the hold. */
  constructor(page, section) {
    this.page = page;
    this.section = section;
    this.facts = new HoldFacts("holds-change");
    this.facts.inputs.owner.required = false; // a hold without owner can get another date only
    this.trouble = el("p", { class: "problem", role: "alert", hidden: true });
    this.submit = el("button", { type: "submit", t: "admin.holds.change.submit" });
    this.form = el(
      "form",
      { autocomplete: "off", on: { submit: (event) => this.send(event) } },
      this.facts.box,
      this.trouble,
      el("div", { class: "buttons" }, this.submit),
    );
    this.box = el("details", {}, el("summary", { t: "admin.holds.change" }), this.form);
    this.shown = null; // the hold whose facts the fields have, but for what a person has typed
  }

  leave() {
    this.box.open = false;
    this.fill();
    reveal(this.trouble, false);
  }

  /** Show the facts of the hold; what a person has changed in the form stays. */
  render(hold, owners) {
    const { inputs, values } = this.facts;
    const typed = this.shown ? Object.entries(values).filter(([name, text]) => text !== this.shown[name]) : [];
    this.facts.offer(owners.includes(hold.owner) || !hold.owner ? owners : [...owners, hold.owner], hold.owner);
    inputs.review.removeAttribute("min"); // the present date may have passed
    this.shown = hold;
    this.fill();
    for (const [name, text] of typed) inputs[name].value = text;
  }

  fill() {
    if (this.shown) this.facts.fill(this.shown);
  }

  send(event) {
    event.preventDefault();
    reveal(this.trouble, false);
    const { shown } = this;
    this.facts.trim();
    if (!this.form.reportValidity()) return;
    const changed = Object.entries(this.facts.values).filter(([name, text]) => text && text !== shown[name]);
    if (changed.length) {
      busily(this.submit, () => this.change({ version: shown.version, ...Object.fromEntries(changed) }));
      return;
    }
    say(this.trouble, "admin.holds.change.none");
    reveal(this.trouble, true);
  }

  async change(body) {
    const { number } = this.section;
    try {
      await ask("PUT", `/holds/${number}`, body);
      if (this.section.number === number) this.leave();
      await this.page.refresh();
      this.section.tell(number, "admin.holds.say.changed", { number });
    } catch (error) {
      await refuseHold(this.trouble, error, async () => {
        return (await this.page.refresh()) ? "admin.holds.refused.changed" : "admin.holds.refused.unclear";
      });
    }
  }
}
