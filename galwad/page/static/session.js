// The session's end, told in time (WCAG 2.2.1): whoever does something on the page stays signed
// in; whoever does nothing is asked two minutes before. Only the latest end cannot be put off.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";

const WARN_S = 120;
const STEP_S = 60; // what is done here is told to the desk at most this often

export class SessionWatch {
  /** `now()` is the desk's clock, in seconds. */
  constructor(me, now) {
    this.idle = me.idle;
    this.until = me.until;
    this.now = now;
    this.used = now();
    this.text = el("span", {});
    this.stay = el("button", { type: "button", class: "quiet", t: "session.stay", on: { click: () => this.use() } });
    this.box = el("div", { class: "banner ending", role: "region", "data-t-label": "session.label", hidden: true }, this.text, this.stay);
  }

  /** The desk was asked for the events, which is use too. */
  renewed({ until }) {
    this.until = until;
    this.used = this.now();
  }

  /** Something was done on the page. */
  act() {
    if (!this.idle) return;
    const warned = this.stage === "session.idle";
    if (warned || this.now() - this.used > Math.min(STEP_S, this.idle / 10)) this.use();
  }

  /** Tell the desk; where that fails, the stream finds out what has become of the session. */
  async use() {
    const before = this.used;
    this.used = this.now();
    try {
      await ask("GET", "/me");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.used = before;
    }
    this.tick(false);
  }

  /** Once a second; who is in a call is using the page. */
  tick(busy) {
    if (!this.idle) return;
    if (busy) this.used = this.now();
    const stage = this.due();
    const focused = this.box.contains(document.activeElement);
    reveal(this.box, Boolean(stage));
    reveal(this.stay, stage === "session.idle");
    if (stage === this.stage) return;
    this.stage = stage;
    if (stage) {
      say(this.text, stage);
      announce(stage, {}, { urgent: true });
    } else if (focused) {
      document.getElementById("main").focus();
    }
  }

  due() {
    const warn = Math.min(WARN_S, this.idle / 4);
    if (this.until - this.now() < warn) return "session.until";
    return this.used + this.idle - this.now() < warn ? "session.idle" : null;
  }
}
