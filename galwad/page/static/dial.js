// Calling a number from the page: the switch rings my phone, and calls the number when I answer.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { t } from "./i18n.js";
import { refusalKey } from "./phone.js";

/** Whether my phone can be rung to call a number; the desk says so. */
export const dialling = { offered: false };

/** A number to click, where numbers can be called, else the number as text. */
export function numberLink(number, display, facts = {}) {
  if (!dialling.offered) return el("span", { ...facts, raw: display });
  const href = `tel:${number.replace(/[^0-9A-Za-z+*#]/g, "")}`;
  return el("a", { ...facts, href, raw: display, title: t("dial.this") });
}

export class Dial {
  constructor() {
    this.number = el("input", { id: "dial-number", type: "tel", autocomplete: "off", required: true, maxlength: "64" });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.done = el("p", { class: "note", hidden: true });
    this.button = el("button", { type: "submit", t: "dial.submit" });
    this.box = el(
      "form",
      { class: "dial card", hidden: true, on: { submit: (event) => this.submit(event) } },
      el("div", { class: "field" }, el("label", { for: this.number.id, t: "dial.label" }), this.number),
      this.button,
      this.done,
      this.trouble,
    );
  }

  /** Show the form where numbers can be called. */
  update() {
    reveal(this.box, dialling.offered);
  }

  /** Fill in a number, and put the focus on the button that calls it. */
  offer(number) {
    reveal(this.trouble, false);
    reveal(this.done, false);
    this.number.value = number;
    window.focus();
    this.button.focus();
  }

  async submit(event) {
    event.preventDefault();
    if (await this.call(this.number.value.trim())) this.number.value = "";
  }

  /** A click on a number of the page calls it. */
  onClick(event) {
    const link = event.target.closest?.('a[href^="tel:"]');
    if (!link || !dialling.offered) return;
    event.preventDefault();
    this.call(decodeURIComponent(link.getAttribute("href").slice(4)));
  }

  async call(number) {
    if (this.asking) return false; // one at once
    this.asking = true;
    reveal(this.trouble, false);
    reveal(this.done, false);
    try {
      await ask("POST", "/phone/dial", { number });
      say(this.done, "dial.ringing", { number });
      reveal(this.done, true);
      announce("dial.ringing", { number });
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, refusalKey(error));
      reveal(this.trouble, true);
      return false;
    } finally {
      this.asking = false;
    }
  }
}
