// The keys of the phone, for my own call: answer, hold, transfer, hang up. The desk says which of
// them are possible, and why not; after a failed transfer, it says why the caller came back.

import { ApiError, ask, callPath } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { has } from "./i18n.js";
import { keep, recall } from "./tab_memory.js";

export const PHONE_KEY = "F9"; // answers, holds and ends the hold; with Shift it hangs up
export const WELSH_KEY = "F2"; // with Shift
const DOUBLE_MS = 700; // the second press of a nervous double press must not undo the first
const FAILURES = { 403: "declined", 404: "unknown", 408: "no_answer", 410: "unknown", 480: "no_answer", 484: "unknown", 486: "busy", 487: "no_answer", 600: "busy", 603: "declined", 604: "unknown" };

/** Whether callers can be handed over in Welsh; the desk says so. */
export const welsh = { offered: false };

/** The name of the reason why a transfer failed, by its SIP status. */
export function failureOf(status) {
  return FAILURES[status] ?? (status >= 500 && status < 600 ? "unreachable" : "other");
}

/** The key of the text for a refusal of the desk. */
export function refusalKey({ status, reason }) {
  if (status === 0 || status === 503) return "phone.refused.offline";
  if (status === 429) return "phone.refused.limit";
  if (reason === "card_number") return "search.card";
  if (status === 422) return "phone.refused.unknown_number";
  return has(`phone.refused.${reason}`) ? `phone.refused.${reason}` : "phone.refused.failed";
}

export class PhoneControl {
  /** `landing()` is what takes the focus when a button that has it goes away. */
  constructor(callId, { announce, landing }) {
    this.callId = callId;
    this.announce = announce;
    this.landing = landing;
    this.pressedAt = -Infinity; // when an act was last asked for, ms
    this.dismissed = recall(`dismissed.${callId}`); // the failed transfer that the advisor has read
    this.answer = this.button("answer", PHONE_KEY, () => this.act("answer"));
    this.hold = this.button("hold", PHONE_KEY, () => this.toggleHold());
    this.transfer = this.button("transfer", "", () => this.open());
    this.welsh = this.button("welsh", `Shift+${WELSH_KEY}`, () => this.act("welsh"));
    this.hangup = this.button("hangup", `Shift+${PHONE_KEY}`, () => this.act("hangup"));
    this.transfer.setAttribute("aria-expanded", "false");
    this.number = el("input", { id: `to-${callId}`, type: "text", inputmode: "tel", autocomplete: "off", required: true, maxlength: "64" });
    this.form = el(
      "form",
      { class: "transfer", hidden: true, on: { submit: (event) => this.send(event), keydown: (event) => this.onKey(event) } },
      el("div", { class: "field" }, el("label", { for: this.number.id, t: "phone.transfer.to" }), this.number),
      el("button", { type: "submit", class: "primary", t: "phone.transfer.send" }),
      el("button", { type: "button", class: "quiet", t: "phone.transfer.cancel", on: { click: () => this.close() } }),
    );
    this.note = el("p", { class: "note", id: `phone-note-${callId}`, hidden: true });
    this.why = el("p", {});
    this.failed = el(
      "div",
      { class: "warning failed", hidden: true },
      this.why,
      el("button", { type: "button", t: "phone.dismiss", on: { click: () => this.dismiss() } }),
    );
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    const buttons = el("div", { class: "buttons" }, this.answer, this.hold, this.transfer, this.welsh, this.hangup);
    this.box = el("section", { class: "phone", "data-t-label": "phone.label", hidden: true }, buttons, this.form, this.note, this.failed, this.trouble);
  }

  button(name, key, click) {
    const word = el("span", { t: `phone.${name}` });
    const mark = key ? el("kbd", { raw: key }) : null;
    return el("button", { type: "button", class: name, "aria-keyshortcuts": key || null, on: { click } }, word, mark);
  }

  update(pop, known) {
    const before = this.pop;
    this.pop = pop;
    const acts = known && pop.mine ? (pop.acts ?? {}) : {};
    const held = "resume" in acts;
    const focused = this.box.contains(document.activeElement) ? document.activeElement : null;
    this.holds = held ? "resume" : "hold";
    say(this.hold.firstChild, `phone.${this.holds}`);
    this.offer(this.answer, acts.answer === "" ? "" : undefined);
    this.offer(this.hold, acts[this.holds]);
    this.offer(this.transfer, acts.transfer);
    this.offer(this.welsh, welsh.offered ? acts.transfer : undefined);
    this.offer(this.hangup, acts.hangup);
    if (!("transfer" in acts)) this.shut();
    this.sayNote(acts, pop);
    this.showFailure(pop, before);
    if (before && before.state !== pop.state) reveal(this.trouble, false);
    const shown = Object.keys(acts).length > 0 || !this.failed.hidden;
    reveal(this.box, shown);
    if (focused && !focused.getClientRects().length) this.landing().focus();
  }

  /** Show a button: possible where `refused` is "", else marked as not possible; undefined hides it. */
  offer(button, refused) {
    reveal(button, refused !== undefined);
    if (refused) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    if (refused) button.setAttribute("aria-describedby", this.note.id);
    else button.removeAttribute("aria-describedby");
  }

  /** Say what the phone cannot do, or that a transfer is in progress. */
  sayNote(acts, pop) {
    const reason = pop.transferring && "transfer" in acts ? "transferring" : Object.values(acts).find(Boolean);
    const key = reason && (has(`phone.refused.${reason}`) ? `phone.refused.${reason}` : "phone.refused.failed");
    if (key) say(this.note, key);
    reveal(this.note, Boolean(key));
  }

  showFailure(pop, before) {
    const key = `${pop.transfers_begun} ${pop.transfer_failed}`;
    const due = Boolean(pop.transfer_failed) && key !== this.dismissed;
    const changed = before && (before.transfer_failed !== pop.transfer_failed || before.transfers_begun !== pop.transfers_begun);
    const values = { status: pop.transfer_failed };
    if (due) say(this.why, `phone.failed.${failureOf(pop.transfer_failed)}`, values);
    if (due && changed) this.announce(`phone.failed.${failureOf(pop.transfer_failed)}`, values, { urgent: true });
    reveal(this.failed, due);
  }

  dismiss() {
    this.dismissed = `${this.pop.transfers_begun} ${this.pop.transfer_failed}`;
    keep(`dismissed.${this.callId}`, this.dismissed);
    reveal(this.failed, false);
    this.landing().focus();
  }

  open() {
    if (this.transfer.hasAttribute("aria-disabled")) return;
    if (!this.form.hidden) {
      this.close();
      return;
    }
    reveal(this.form, true);
    this.transfer.setAttribute("aria-expanded", "true");
    this.number.focus();
  }

  shut() {
    reveal(this.form, false);
    this.transfer.setAttribute("aria-expanded", "false");
    this.number.value = "";
  }

  close() {
    this.shut();
    this.transfer.focus();
  }

  onKey(event) {
    if (event.key === "Escape") this.close();
  }

  async send(event) {
    event.preventDefault();
    if (await this.act("transfer", this.number.value.trim())) this.close();
  }

  toggleHold() {
    this.act(this.holds);
  }

  /** Whether the keyboard can do this act now. */
  can(name) {
    const button = { answer: this.answer, hold: this.hold, hangup: this.hangup, welsh: this.welsh }[name];
    return !button.hidden && !button.hasAttribute("aria-disabled");
  }

  /** Do what the key means now: answer a call that rings, hold one that does not. */
  press() {
    if (this.can("answer")) this.act("answer");
    else this.toggleHold();
  }

  /** Ask for an act; the switch's next report shows that it has happened. Returns whether it has begun. */
  async act(name, number) {
    const button = { transfer: this.transfer, resume: this.hold }[name] ?? this[name];
    const now = performance.now();
    if (button.hasAttribute("aria-disabled") || now - this.pressedAt < DOUBLE_MS) return false;
    this.pressedAt = now;
    reveal(this.trouble, false);
    try {
      await ask("POST", callPath(this.callId, "phone"), { act: name, ...(number === undefined ? {} : { number }) });
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, refusalKey(error));
      reveal(this.trouble, true);
      reveal(this.box, true);
      return false;
    }
  }
}
