// The administration: the users, what was not delivered, and the texts in both languages. Calls
// that arrive meanwhile stay in sight above it.

import { UndeliveredEvents } from "./admin_events.js";
import { Texts } from "./admin_texts.js";
import { AdminUsers } from "./admin_users.js";
import { el, reveal } from "./dom.js";

const CHECK_MS = 1_000;

export class Administration {
  /** `me` is the administrator; `onClose()` goes back to the calls. */
  constructor(me, onClose) {
    this.title = el("h1", { tabindex: "-1", t: "admin.title" });
    this.users = new AdminUsers(me);
    this.events = new UndeliveredEvents();
    this.texts = new Texts();
    this.place = document.createComment("where the undelivered notes are while this is closed");
    this.delivered = el("p", { class: "none", t: "admin.delivered" });
    this.deliveries = el("div", { class: "deliveries" }, this.events.box);
    const heading = el("h2", { id: "admin-delivered-title", t: "admin.deliveries" });
    this.nothing = el("section", { class: "card", "aria-labelledby": heading.id }, heading, this.delivered);
    this.box = el(
      "div",
      { class: "admin" },
      el("header", {}, this.title, el("button", { type: "button", class: "quiet", t: "door.close", on: { click: onClose } })),
      this.users.box,
      this.nothing,
      this.deliveries,
      this.texts.box,
    );
  }

  /** Show everything, and keep it up to date until `stop`. `undelivered` is the page's list of notes. */
  start(undelivered) {
    if (this.undelivered) return;
    this.undelivered = undelivered;
    undelivered.box.replaceWith(this.place);
    this.deliveries.prepend(undelivered.box);
    this.users.refresh();
    this.events.start();
    this.texts.refresh();
    this.timer = setInterval(() => this.check(), CHECK_MS);
    this.check();
    this.title.focus();
  }

  stop() {
    if (!this.undelivered) return;
    clearInterval(this.timer);
    this.events.stop();
    this.users.forget();
    if (this.place.isConnected) this.place.replaceWith(this.undelivered.box);
    this.undelivered = null;
  }

  /** Say that everything is delivered, while there is nothing in the lists. */
  check() {
    reveal(this.nothing, this.undelivered.box.hidden && this.events.box.hidden);
  }
}
