// The entry to the administration, which is at the address `#admin` of the page. Its code is loaded
// when an administrator opens it, so that the page of the advisors stays small.

import { el, reveal } from "./dom.js";
import { translate } from "./i18n.js";

const FRAGMENT = "#admin";

export class AdminDoor {
  constructor() {
    this.button = el("button", { type: "button", class: "quiet", hidden: true, t: "admin.open", on: { click: () => this.open() } });
    this.box = el("div", { class: "administration", hidden: true });
    this.administration = null;
    this.undelivered = null; // set for an administrator who is signed in
    addEventListener("hashchange", () => this.follow());
  }

  /** Offer the administration to an administrator who has signed in. */
  start(me, undelivered) {
    this.me = me;
    this.undelivered = undelivered;
    return this.follow();
  }

  /** Forget everything, because the administrator has signed out. */
  stop() {
    this.undelivered = null;
    this.follow();
    this.administration = null;
    this.box.replaceChildren();
  }

  open() {
    history.pushState(null, "", FRAGMENT);
    return this.follow();
  }

  close() {
    history.pushState(null, "", location.pathname);
    this.follow();
    this.button.focus();
  }

  /** Show the page as its address says. */
  async follow() {
    const allowed = Boolean(this.undelivered);
    const shown = allowed && location.hash === FRAGMENT;
    document.documentElement.classList.toggle("administering", shown);
    reveal(this.button, allowed && !shown);
    reveal(this.box, shown);
    if (!shown) {
      this.administration?.stop();
      return;
    }
    const me = this.me;
    const { Administration } = await import("./admin.js");
    if (this.me !== me || !this.undelivered || location.hash !== FRAGMENT) return;
    if (!this.administration) {
      this.administration = new Administration(me, () => this.close());
      this.box.replaceChildren(this.administration.box);
    }
    this.administration.start(this.undelivered);
    translate(this.box);
  }
}
