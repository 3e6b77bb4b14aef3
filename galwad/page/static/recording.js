// The recording indicator and its two buttons. It shows what the writer itself reports, and
// "unknown" for as long as that cannot be heard. Shape and text say it; colour only helps.

import { ApiError, ask, callPath } from "./api.js";
import { clock, el, reveal, say, show } from "./dom.js";
import { Holders, isOwn } from "./holders.js";

export const PAUSE_KEY = "F8";
const CHIME_AGAIN_S = 60;
const LOST_MS = 2000; // a request without an answer for so long keeps none waiting
const LATE_MS = 5000; // the desk and the switch have answered by then, or the advisor must know
const DOUBLE_MS = 700; // the second click of a double click must not undo the first

const NOTHING = "rec.pause.nothing";
const NOT_RECORDED = ["not_started", "ceased", "ended"]; // the states with nothing to pause

const pass = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * After how many seconds the advisor of a pause is warned, and then the supervisors; and after how
 * many a waiting call is marked for them. The desk says so.
 */
export const limits = { advisor: 120, supervisor: 300, waiting: 20 };

/** Whether a pause has lasted so long that somebody should look. */
export function forgotten(pop, now, limit) {
  return pop.recording === "paused" && now - pop.recording_since >= limit;
}

/** What to show as the state of a pop's recording. */
export function shownState(pop, known) {
  return known ? pop.recording : "unknown";
}

export class Recording {
  constructor(callId, { announce, supervises, user, chime }) {
    this.callId = callId;
    this.announce = announce;
    this.chime = chime;
    this.chimes = 0; // how often it has sounded in this pause
    this.user = user;
    this.underWay = new Map(); // the method of each request that the gate has not answered
    this.wanted = null; // the last that the advisor pressed
    this.word = el("strong", { class: "word" });
    this.time = el("span", { class: "time" });
    this.meaning = el("span", { class: "meaning" });
    this.warning = el("p", { class: "warning", hidden: true });
    this.late = el("p", { class: "warning", hidden: true });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.pauseButton = this.button("pause", PAUSE_KEY, () => this.pause());
    this.resumeButton = this.button("resume", `Shift+${PAUSE_KEY}`, () => this.pressResume());
    this.holders = new Holders(callId, { supervises, landing: () => this.bar, user });
    this.below = el("p", { class: "meaning below" });
    // Only the bar stays in sight while the card scrolls.
    this.bar = el(
      "section",
      { class: "bar", "data-t-label": "rec.label", tabindex: "-1" },
      el("span", { class: "shape", "aria-hidden": "true" }),
      el("div", { class: "says" }, el("p", { class: "line" }, this.word, this.time), this.meaning),
      el("div", { class: "buttons" }, this.pauseButton, this.resumeButton),
    );
    const more = el("div", { class: "more" }, this.below, this.warning, this.late, this.trouble, this.holders.box);
    this.box = el("div", { class: "recording" }, this.bar, more);
  }

  button(name, key, act) {
    return el(
      "button",
      { type: "button", class: name, "aria-keyshortcuts": key, on: { click: act } },
      el("span", { t: `rec.${name}` }),
      el("kbd", { raw: key }),
    );
  }

  update(pop, known, now) {
    const before = this.box.dataset.state;
    this.pop = pop;
    const state = shownState(pop, known);
    this.box.dataset.state = state;
    say(this.word, `rec.${state}`);
    for (const meaning of [this.meaning, this.below]) say(meaning, `rec.${state}.means`);
    // Of a lost connection the banner speaks, once for all calls.
    if (before && before !== state && state !== "unknown") this.announce(`rec.${state}.means`, {}, { urgent: true });
    const live = pop.state === "answered" || pop.state === "held";
    const paused = state === "paused";
    if (!live || !this.applies(state)) reveal(this.trouble, false);
    this.offer(this.pauseButton, pop.mine && live && !paused);
    // Where others alone hold the pause, this page has nothing to let go of.
    const own = pop.holders.filter((holder) => isOwn(holder, this.user));
    const shared = own.length < pop.holders.length;
    this.offer(this.resumeButton, pop.mine && live && paused && (own.length > 0 || !shared));
    this.holders.update(live && paused && shared ? pop.holders : []);
    this.tick(now);
  }

  /** Show a button or hide it. One that has the focus gives it to the panel, not to its opposite. */
  offer(button, visible) {
    if (button.hidden === !visible) return;
    const focused = button === document.activeElement;
    reveal(button, visible);
    if (visible) button.shownAt = performance.now();
    else if (focused) this.bar.focus();
  }

  /** Whether the failure that is shown still matters: a pause once it is paused does not, nor does a resume. */
  applies(state) {
    const pause = this.trouble.dataset.t === "rec.pause.failed";
    if (this.trouble.dataset.t === NOTHING) return NOT_RECORDED.includes(state);
    return state === "unknown" || state === "fault" || (pause ? state === "recording" : state === "paused");
  }

  /** The parts that change with time alone. */
  tick(now) {
    const state = this.box.dataset.state;
    const timed = state === "recording" || state === "paused";
    show(this.time, timed && this.pop.recording_since ? clock(now - this.pop.recording_since) : "");
    const key = this.warningKey(state);
    if (key && this.warning.dataset.t !== key) this.announce(key, {}, { urgent: true });
    if (key) say(this.warning, key);
    else delete this.warning.dataset.t;
    reveal(this.warning, Boolean(key));
    this.remind(state, now);
  }

  warningKey(state) {
    const live = this.pop.state === "answered" || this.pop.state === "held";
    if (state === "unknown" || !live || this.pop.durable) return null;
    return state === "paused" ? "rec.undurable.paused" : "rec.undurable";
  }

  /** Count up in words, and chime: nothing but the advisor ends a pause that is forgotten. */
  remind(state, now) {
    const late = state === "paused" && forgotten(this.pop, now, limits.advisor);
    const values = { time: clock(now - this.pop.recording_since) };
    if (late && this.late.hidden) this.announce("rec.forgotten", values, { urgent: true });
    if (late) say(this.late, "rec.forgotten", values);
    reveal(this.late, late);
    this.box.classList.toggle("forgotten", late);
    if (state === "unknown") return; // the pause may go on: what was chimed for it still counts
    const due = late ? 1 + Math.floor((now - this.pop.recording_since - limits.advisor) / CHIME_AGAIN_S) : 0;
    if (due > this.chimes) this.chime.ring();
    else if (!due && this.chimes) this.chime.settle();
    this.chimes = due;
  }

  /** The call has gone from the page, and with it what its pause has asked for. */
  leave() {
    if (this.chimes) this.chime.settle();
  }

  /** At once, and again after a resume that was under way: that may reach the gate after this. */
  async pause() {
    const resumes = [...this.underWay.keys()].filter((answered) => this.underWay.get(answered) === "DELETE");
    this.wanted = "PUT";
    await this.hold("PUT", "rec.pause.failed");
    if (!resumes.length) return;
    await Promise.all(resumes);
    if (this.wanted === "PUT") await this.hold("PUT", "rec.pause.failed");
  }

  pressResume() {
    if (performance.now() - this.resumeButton.shownAt > DOUBLE_MS) this.resume();
  }

  /** True if it is known that there is nothing to resume. */
  cannotResume() {
    const state = this.box.dataset.state;
    return !this.underWay.size && state !== "paused" && state !== "unknown";
  }

  /** After all that is under way, unless that takes long; not at all if a pause is wanted by then. */
  async resume() {
    this.wanted = "DELETE";
    if (this.underWay.size) await Promise.race([Promise.all(this.underWay.keys()), pass(LOST_MS)]);
    if (this.wanted === "DELETE") await this.hold("DELETE", "rec.resume.failed");
  }

  /** Ask the gate; its answer comes back here and as an event. A failure is told at once. */
  async hold(method, failure) {
    const answered = this.answer(method, failure);
    this.underWay.set(answered, method);
    this.box.setAttribute("aria-busy", "true");
    try {
      await answered;
    } finally {
      this.underWay.delete(answered);
      if (!this.underWay.size) this.box.removeAttribute("aria-busy");
    }
  }

  async answer(method, failure) {
    reveal(this.trouble, false); // so that a second failure is told like the first
    const late = setTimeout(() => this.tellLate(method, failure), LATE_MS);
    try {
      const { state } = await ask(method, callPath(this.callId, "payment"), {});
      const paused = state === "paused";
      if (method === "DELETE" && paused) this.tell("rec.resume.held");
      else if (method === "PUT" && !paused) this.tell(NOT_RECORDED.includes(state) ? NOTHING : failure);
      else reveal(this.trouble, false);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.tell(failure);
    } finally {
      clearTimeout(late);
    }
  }

  /** What was asked may have happened all the same: then the gate itself has said so. */
  tellLate(method, failure) {
    if (this.box.dataset.state !== (method === "PUT" ? "paused" : "recording")) this.tell(failure);
  }

  tell(failure) {
    say(this.trouble, failure);
    reveal(this.trouble, true);
  }
}
