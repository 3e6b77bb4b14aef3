// A button for an act that takes something from a person: it first asks, and says what will happen.

import { el, reveal, say } from "./dom.js";
import { translate } from "./i18n.js";

let asked = 0;

export class AskedButton {
  /** `name` is the key of the button's texts, `values` fill them in, `act()` does it. */
  constructor(name, values, act) {
    const id = `asked-${asked++}`;
    this.question = el("p", { id, class: "question" });
    say(this.question, `admin.ask.${name}`, values);
    this.button = el("button", { type: "button", class: "quiet", t: `admin.${name}`, on: { click: () => this.open() } });
    this.yes = el("button", { type: "button", class: "primary", t: `admin.yes.${name}`, on: { click: act } });
    const no = el("button", { type: "button", t: "admin.no", on: { click: () => this.shut() } });
    this.ask = el(
      "div",
      { class: "ask", role: "group", tabindex: "-1", "aria-labelledby": id, hidden: true, on: { keydown: (event) => this.key(event) } },
      this.question,
      el("div", { class: "buttons" }, no, this.yes),
    );
    translate(this.ask);
  }

  open() {
    for (const other of this.ask.parentNode.querySelectorAll(".ask")) reveal(other, false);
    reveal(this.ask, true);
    this.ask.focus();
  }

  shut() {
    reveal(this.ask, false);
    this.button.focus();
  }

  key(event) {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    this.shut();
  }
}
