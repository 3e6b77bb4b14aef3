// The entry to a part of the page that has an address of its own, such as `#admin`. Its code and its
// texts are loaded when the part is opened, so that the page of the advisors stays small.

import { el, reveal } from "./dom.js";
import { load, translate } from "./i18n.js";

export class Door {
  /**
   * `name` is the fragment of the address. `code()` loads the class of the part, which is made with the user and
   * `onClose()`, and has `box`, `start(given)` and `stop()`, and perhaps `forget()` for the sign-out. `onFailure()` says
   * that it cannot be loaded. `texts` are the parts of the locale that it needs.
   */
  constructor(name, code, onFailure, texts = [name]) {
    this.name = name;
    this.fragment = `#${name}`;
    this.code = code;
    this.onFailure = onFailure;
    this.texts = texts;
    this.button = el("button", { type: "button", class: "quiet", hidden: true, t: `door.${name}`, on: { click: () => this.open() } });
    this.box = el("div", { class: "place", hidden: true });
    this.part = null;
    this.me = null; // the signed-in user who may open the part
    addEventListener("hashchange", () => this.follow());
  }

  /** Offer the part to a user who has signed in. `given` is passed on to the part. */
  start(me, given) {
    this.me = me;
    this.given = given;
    return this.follow();
  }

  /** Forget everything, because the user has signed out. */
  stop() {
    this.me = null;
    this.follow();
    this.part?.forget?.();
    this.part = null;
    this.box.replaceChildren();
  }

  open() {
    location.hash = this.fragment; // the other parts follow it too
    return this.follow();
  }

  close() {
    history.pushState(null, "", location.pathname);
    this.follow();
    this.button.focus();
  }

  get shown() {
    return Boolean(this.me) && location.hash === this.fragment;
  }

  /** Show the page as its address says. */
  async follow() {
    const { me, shown } = this;
    const root = document.documentElement;
    if (shown) root.dataset.place = this.name;
    else if (root.dataset.place === this.name) delete root.dataset.place;
    reveal(this.button, Boolean(me) && !shown);
    reveal(this.box, shown);
    if (!shown) {
      this.part?.stop();
      return;
    }
    const Part = await this.prepare();
    if (this.me !== me || !this.shown) return;
    if (!Part) {
      this.close();
      this.onFailure();
      return;
    }
    if (!this.part) {
      this.part = new Part(me, () => this.close());
      this.box.replaceChildren(this.part.box);
    }
    this.part.start(this.given);
    translate(this.box);
  }

  /** Load the code and the texts, once; the class of the part, or null if the desk does not answer. */
  async prepare() {
    this.loading ??= Promise.all([this.code(), ...this.texts.map(load)]);
    try {
      return (await this.loading)[0];
    } catch {
      this.loading = null;
      return null;
    }
  }
}
