// The form that changes a list of texts: its entries in both languages, and their order. The desk
// checks everything again.

import { announce } from "./announce.js";
import { hasCardNumber } from "./card_number.js";
import { el, reveal, say } from "./dom.js";
import { translate } from "./i18n.js";

const CODE = /^[a-z0-9][a-z0-9_-]{0,31}$/;
const MOST = 200;
const CODE_LENGTH = { purposes: 200 };

export class TextForm {
  /** `list` is the list; `save(entries)` sends the entries, and `close()` leaves the form. */
  constructor(list, { save, close }) {
    this.list = list;
    this.save = save;
    this.count = 0; // of all rows that were ever made: their ids differ
    this.rows = [];
    this.items = el("ol", { class: "text-rows" });
    this.adder = el("button", { type: "button", class: "quiet", t: "admin.texts.add", on: { click: () => this.add() } });
    this.box = el(
      "form",
      { class: "text-form", hidden: true, novalidate: true, "aria-labelledby": list.id, on: { submit: (event) => this.submit(event) } },
      this.items,
      el("div", { class: "buttons" }, this.adder),
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "submit", class: "primary", t: "admin.texts.save" }),
        el("button", { type: "button", class: "quiet", t: "admin.no", on: { click: close } }),
      ),
    );
  }

  get fixed() {
    return this.list.data.fixed;
  }

  /** Begin with the entries of the list. */
  open(data) {
    this.rows = data.entries.map((entry) => this.row(entry));
    this.draw();
    reveal(this.adder, !data.fixed);
    reveal(this.box, true);
    translate(this.box);
    (this.rows[0]?.en ?? this.adder).focus();
  }

  row(entry = null) {
    const { data } = this.list;
    const id = `${this.list.id}-${this.count++}`;
    const row = { id, entry, legend: el("legend", { id }) };
    row.en = this.input(row, "en", { lang: "en", required: true, maxlength: data.longest });
    row.cy = this.input(row, "cy", { lang: "cy", required: data.name !== "lines", maxlength: data.longest });
    row.code = data.fixed ? null : this.input(row, "code", { spellcheck: "false", maxlength: CODE_LENGTH[data.name] ?? 32, readonly: Boolean(entry) && data.name !== "purposes" });
    const act = (name, press) => el("button", { type: "button", class: "quiet", "aria-describedby": id, t: `admin.texts.${name}`, on: { click: press } });
    row.up = act("up", () => this.move(row, -1));
    row.down = act("down", () => this.move(row, 1));
    row.remove = act("remove", () => this.remove(row));
    const fields = [this.field(row, "en"), this.field(row, "cy")];
    if (row.code) fields.push(this.field(row, "code"));
    const buttons = data.fixed ? null : el("div", { class: "buttons" }, row.up, row.down, row.remove);
    row.box = el("li", {}, el("fieldset", {}, row.legend, el("div", { class: "pair" }, ...fields), buttons));
    return row;
  }

  input(row, name, attributes) {
    const input = el("input", { type: "text", id: `${row.id}-${name}`, autocomplete: "off", ...attributes });
    input.value = row.entry?.[name] ?? "";
    input.addEventListener("input", () => this.mark(row, name, null));
    return input;
  }

  field(row, name) {
    const label = name === "code" ? `admin.texts.code.${this.list.name}` : `admin.texts.${name}`;
    const problem = el("p", { class: "problem", id: `${row.id}-${name}-problem`, hidden: true });
    return el("div", { class: "field" }, el("label", { for: row[name].id, t: label }), row[name], problem);
  }

  /** Show the rows in their order, with their numbers. */
  draw() {
    const boxes = this.rows.map(({ box }) => box);
    if (boxes.length !== this.items.children.length || boxes.some((box, index) => box !== this.items.children[index])) this.items.replaceChildren(...boxes);
    this.rows.forEach((row, index) => {
      if (this.fixed) row.legend.replaceChildren(el("code", { raw: row.entry.code }));
      else say(row.legend, "admin.texts.entry", { number: index + 1 });
      row.up.disabled = index === 0;
      row.down.disabled = index === this.rows.length - 1;
    });
    this.adder.disabled = this.rows.length >= MOST;
  }

  add() {
    const row = this.row();
    this.rows.push(row);
    this.draw();
    translate(row.box);
    row.en.focus();
    announce("admin.texts.say.added", { number: this.rows.length });
  }

  remove(row) {
    const index = this.rows.indexOf(row);
    this.rows.splice(index, 1);
    this.draw();
    (this.rows[index] ?? this.rows[index - 1])?.remove.focus();
    if (!this.rows.length) this.adder.focus();
    announce("admin.texts.say.removed", { number: index + 1, count: this.rows.length });
  }

  move(row, step) {
    const index = this.rows.indexOf(row);
    this.rows.splice(index, 1);
    this.rows.splice(index + step, 0, row);
    this.draw();
    const [pressed, other] = step < 0 ? [row.up, row.down] : [row.down, row.up];
    (pressed.disabled ? other : pressed).focus();
    announce("admin.texts.say.moved", { number: index + step + 1, count: this.rows.length });
  }

  /** Say beside a field what is wrong with it, or nothing if `key` is null. */
  mark(row, name, key) {
    const input = row[name];
    const problem = input.parentElement.querySelector(".problem");
    if (key) {
      say(problem, key);
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", problem.id);
    } else {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
    reveal(problem, Boolean(key));
  }

  /** Mark each field that the desk would refuse; the first of them, or undefined. */
  check() {
    const seen = { code: new Set(), text: new Set() };
    let first;
    for (const row of this.rows) {
      for (const name of ["en", "cy", ...(row.code ? ["code"] : [])]) {
        const key = this.fault(row, name, seen);
        this.mark(row, name, key);
        if (key) first ??= row[name];
      }
      seen.code.add(row.code?.value.trim());
      for (const name of ["en", "cy"]) seen.text.add(row[name].value.trim());
    }
    return first;
  }

  /** The key of what is wrong with a field, or null. `seen` has what the rows above have. */
  fault(row, name, seen) {
    const text = row[name].value.trim();
    const { name: list } = this.list;
    if (hasCardNumber(text)) return "contact.card";
    if (name === "code") {
      if (list === "purposes") return null;
      if (!CODE.test(text)) return "admin.texts.refused.code";
      return seen.code.has(text) ? "admin.texts.refused.same_code" : null;
    }
    if (!text) return name === "cy" && list === "lines" ? null : "admin.texts.refused.empty";
    return list === "purposes" && seen.text.has(text) ? "admin.texts.refused.same_text" : null;
  }

  submit(event) {
    event.preventDefault();
    const wrong = this.check();
    if (wrong) {
      wrong.focus();
      return;
    }
    this.save(this.rows.map((row) => ({ code: row.code ? row.code.value.trim() : row.entry.code, en: row.en.value.trim(), cy: row.cy.value.trim() })));
  }
}
