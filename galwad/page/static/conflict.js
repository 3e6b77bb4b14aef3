// Two texts of one contact note, typed in two windows: the form has one, this shows the other, and
// the user chooses. Neither is lost until then.

import { announce } from "./announce.js";
import { el, reveal } from "./dom.js";

const TEXTS = ["purpose", "language", "caller_type", "on_behalf_of", "authority", "outcome", "notes"];
const CHOICES = ["language", "caller_type"];

/** Whether two notes have the same fields. */
export function same(one, other) {
  return TEXTS.every((name) => (one[name] ?? "").trim() === (other[name] ?? "").trim());
}

export class Conflict {
  /** `on` has `use(note)`, which puts a text into the form and returns the one before, and `keep()`. */
  constructor(on) {
    this.on = on;
    this.other = null;
    this.swapped = false; // the other text is the one that was in the form
    this.text = el("p", { t: "conflict.text", tabindex: "-1" });
    this.fields = el("dl", {});
    this.box = el(
      "div",
      { class: "conflict", role: "group", "data-t-label": "conflict.label", hidden: true },
      this.text,
      this.fields,
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "button", t: "conflict.use", on: { click: () => this.swap() } }),
        el("button", { type: "button", t: "conflict.keep", on: { click: () => this.keep() } }),
      ),
    );
  }

  show(other) {
    const first = this.other === null;
    this.other = other;
    const filled = TEXTS.filter((name) => other[name]);
    this.fields.replaceChildren(
      ...filled.flatMap((name) => [
        el("dt", { t: `contact.${name}` }),
        el("dd", CHOICES.includes(name) ? { t: `${name}.${other[name]}` } : { raw: other[name] }),
      ]),
    );
    reveal(this.box, true);
    if (first) announce("conflict.text", {}, { urgent: true });
  }

  /** Exchange the two texts: the one from the form can still be read here, and taken back. */
  swap() {
    this.show(this.on.use(this.other));
    this.swapped = !this.swapped;
    this.text.focus();
  }

  keep() {
    this.hide();
    this.on.keep();
  }

  hide() {
    this.other = null;
    this.swapped = false;
    reveal(this.box, false);
  }
}
