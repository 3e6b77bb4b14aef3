// What a screen reader is told, once each: news waits its turn, what is urgent does not. Nothing
// here ever takes the focus, and nothing that only counts the seconds is ever said.

import { el, reveal, say } from "./dom.js";
import { t } from "./i18n.js";

const KEPT_MS = 2_000; // long enough that two pieces of news at once are both heard
const STALE_MS = 60_000; // who reads the page by line must not find old news in it
const NOTICE_MS = 8_000;

/** Say a text of the locale: `urgent` for calls and recordings, which cannot wait. */
export function announce(key, values = {}, { urgent = false } = {}) {
  const region = document.getElementById(urgent ? "urgent" : "status");
  const now = performance.now();
  for (const old of [...region.children]) {
    if (now - old.saidAt > KEPT_MS) old.remove();
  }
  const text = document.createElement("p");
  text.saidAt = now;
  text.textContent = t(key, values);
  region.append(text);
  setTimeout(() => text.remove(), STALE_MS);
}

/** A sentence above the page for a few seconds, which is also said: why a key has done nothing. */
export class Notice {
  constructor() {
    this.text = el("p", {});
    this.box = el("section", { class: "notice", "data-t-label": "key.label", hidden: true }, this.text);
  }

  show(key, values = {}) {
    say(this.text, key, values);
    reveal(this.box, true);
    announce(key, values, { urgent: true });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hide(), NOTICE_MS);
  }

  hide() {
    reveal(this.box, false);
  }
}

/** Forget what was said, as when it would otherwise be said again in another language. */
export function hush() {
  for (const id of ["urgent", "status"]) document.getElementById(id).replaceChildren();
}
