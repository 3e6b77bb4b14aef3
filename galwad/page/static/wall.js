// The wall: the view of all calls on a large screen, without controls and with larger letters. The
// button opens it in full screen, the address `#wall` opens it after a restart of that screen, and
// Escape leaves it.

import { el } from "./dom.js";

const FRAGMENT = "#wall";

export class Wall {
  constructor() {
    this.button = el("button", { type: "button", class: "quiet", t: "overview.wall", on: { click: () => this.open() } });
    addEventListener("hashchange", () => this.follow());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.leave();
    });
    document.addEventListener("fullscreenchange", () => {
      if (!document.fullscreenElement) this.leave();
    });
    this.follow();
  }

  /** Show the page as its address says. */
  follow() {
    document.documentElement.classList.toggle("wall", location.hash === FRAGMENT);
  }

  async open() {
    location.hash = FRAGMENT;
    this.follow();
    try {
      await document.documentElement.requestFullscreen();
    } catch {
      return; // a browser may bar it: the wall then fills the window
    }
  }

  leave() {
    if (location.hash !== FRAGMENT || !this.button.isConnected) return;
    history.replaceState(null, "", location.pathname);
    this.follow();
    this.button.focus();
  }
}
