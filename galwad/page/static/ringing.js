// A ringing call in another window or tab: a desktop notification and a sound, each only for those who
// switched it on in this browser. Of several tabs of one browser, one does it. A notification has no
// name and no number unless a setting of the desk allows them.

import { announce } from "./announce.js";
import { ringTone } from "./chime.js";
import { el, reveal } from "./dom.js";
import { t } from "./i18n.js";
import { callerName } from "./strip.js";

const LOCK = "galwad.ringing";
const SHOWN = 100; // characters of a name in a notification
const DIRECTION_MARKS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g; // they turn the text around them

/** What the desk allows in notifications. */
export const notifications = { names: false };

/** Read a choice of this browser; only "on" counts. */
function chosen(name) {
  try {
    return localStorage.getItem(name) === "on";
  } catch {
    return false; // storage may be barred; the choice then lasts as long as the page
  }
}

function keep(name, on) {
  try {
    localStorage.setItem(name, on ? "on" : "off");
  } catch {
    return; // as above
  }
}

/** Hold a lock of this browser while `due`; only the tab that holds it `begin`s, until it `end`s. */
class Turn {
  constructor(name, begin, end) {
    this.name = name;
    this.begin = begin;
    this.end = end;
  }

  update(due) {
    if (due && !this.leave) this.enter();
    else if (!due && this.leave) this.stop();
  }

  enter() {
    const over = new AbortController();
    const ended = new Promise((done) => over.signal.addEventListener("abort", done));
    const act = async () => {
      if (over.signal.aborted) return;
      this.acting = true;
      this.begin();
      await ended;
    };
    this.leave = () => over.abort();
    // Without locks, as on a page without TLS, each tab acts for itself.
    const turn = navigator.locks ? navigator.locks.request(this.name, { signal: over.signal }, act) : act();
    turn.catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
  }

  stop() {
    this.leave();
    this.leave = null;
    if (this.acting) this.end();
    this.acting = false;
  }
}

export class RingingAlerts {
  /** `chime` has the audio context, which a browser opens only after a click or a key. */
  constructor(chime) {
    this.chime = chime;
    this.pops = [];
    this.shown = new Map(); // call id → Notification
    this.sounds = chosen("galwad.ring-sound");
    this.notifies = chosen("galwad.notifications");
    this.soundToggle = this.toggle("ringing.sound", () => this.switchSound());
    this.noteToggle = this.toggle("ringing.notify", () => this.switchNotifications());
    this.denied = el("p", { class: "note", t: "ringing.notify.denied", hidden: true });
    this.blocked = el("div", { class: "banner ending", role: "alert", hidden: true }, el("span", { t: "ringing.blocked" }));
    this.box = el(
      "section",
      { class: "alerting", "data-t-label": "ringing.label" },
      el("p", { class: "note", t: "ringing.offer" }),
      el("div", { class: "buttons" }, this.soundToggle, this.noteToggle),
      this.denied,
    );
    this.soundTurn = new Turn(`${LOCK}.sound`, () => this.startTone(), () => this.stopTone());
    this.noteTurn = new Turn(`${LOCK}.notification`, () => this.notify(), () => this.clear());
    this.press();
  }

  toggle(key, act) {
    return el("button", { type: "button", class: "quiet", "aria-pressed": "false", t: key, on: { click: act } });
  }

  press() {
    this.soundToggle.setAttribute("aria-pressed", String(this.sounds));
    this.noteToggle.setAttribute("aria-pressed", String(this.notifies && this.permitted()));
  }

  permitted() {
    return "Notification" in window && Notification.permission === "granted";
  }

  async switchSound() {
    this.sounds = !this.sounds;
    keep("galwad.ring-sound", this.sounds);
    this.press(); // the audio device can be slow
    await this.chime.unlock();
    announce(this.sounds ? "ringing.sound.on" : "ringing.sound.off");
    this.apply();
  }

  /** The browser is asked in the click itself, and only then. */
  async switchNotifications() {
    const wanted = !(this.notifies && this.permitted());
    if (wanted && "Notification" in window) await Notification.requestPermission();
    this.notifies = wanted && this.permitted();
    keep("galwad.notifications", this.notifies);
    announce(this.notifies ? "ringing.notify.on" : wanted ? "ringing.notify.denied" : "ringing.notify.off");
    reveal(this.denied, wanted && !this.notifies);
    this.apply();
  }

  /** Follow the calls of mine that ring. */
  update(pops) {
    this.pops = pops.filter((pop) => pop.state === "ringing");
    this.apply();
  }

  apply() {
    this.press();
    const ringing = this.pops.length > 0;
    const open = this.chime.context?.state === "running";
    this.soundTurn.update(ringing && this.sounds && open);
    this.noteTurn.update(ringing && this.notifies && this.permitted());
    if (this.noteTurn.acting) this.notify();
    reveal(this.blocked, ringing && this.sounds && !open);
  }

  /** The page is left, and with it its calls. */
  leave() {
    this.update([]);
  }

  startTone() {
    this.tone = ringTone(this.chime.context);
  }

  stopTone() {
    this.tone?.stop();
    this.tone = null;
  }

  /** Show a notification for each call that rings, and take away those of calls that do not. */
  notify() {
    const ids = this.pops.map((pop) => pop.call_id);
    for (const [id, note] of this.shown) {
      if (ids.includes(id)) continue;
      note.close();
      this.shown.delete(id);
    }
    for (const pop of this.pops) {
      const body = this.body(pop);
      if (this.shown.get(pop.call_id)?.body === body) continue;
      // A note with the same tag replaces the one before it, without a second alert.
      const note = new Notification(t("title.ringing", { line: pop.line }), { body, tag: pop.call_id, icon: "/static/icon.svg", silent: true });
      note.addEventListener("click", () => {
        window.focus();
        note.close();
      });
      this.shown.set(pop.call_id, note);
    }
  }

  body(pop) {
    if (!notifications.names) return "";
    const name = callerName(pop.caller).replace(DIRECTION_MARKS, "").slice(0, SHOWN);
    return [name, pop.caller.number_display].filter(Boolean).join(", ");
  }

  clear() {
    for (const note of this.shown.values()) note.close();
    this.shown.clear();
  }
}
