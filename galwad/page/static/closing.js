// Closing a call without a contact note: asks for the reason, and warns of a note that is not saved.

import { announce } from "./announce.js";
import { ApiError, ask, callPath } from "./api.js";
import { el, reveal, say } from "./dom.js";

const REASONS = ["wrong_number", "silent", "cut_off", "repeated", "test"];

export class Closing {
  /** `contact` is the call's note. */
  constructor(callId, contact) {
    this.callId = callId;
    this.contact = contact;
    this.button = el("button", { type: "button", class: "quiet", t: "call.close", on: { click: () => this.open() } });
    this.later = el("button", { type: "button", class: "quiet", t: "open_notes.later", on: { click: () => this.onLater() } });
    this.unsaved = el("p", { class: "warning", role: "alert", hidden: true });
    const options = REASONS.map((reason) => el("option", { value: reason, t: `no_note_reason.${reason}` }));
    this.reason = el("select", { id: `reason-${callId}`, required: true }, el("option", { value: "", t: "closing.choose" }), ...options);
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.form = el(
      "form",
      { class: "closing", hidden: true, on: { submit: (event) => this.close(event) } },
      this.unsaved,
      el("div", { class: "field" }, el("label", { for: this.reason.id, t: "closing.reason" }), this.reason),
      this.trouble,
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "submit", t: "closing.confirm" }),
        el("button", { type: "button", class: "quiet", t: "closing.back", on: { click: () => this.back() } }),
      ),
    );
  }

  /** Offer to close the call, or not, because it has not ended, or a note is saved. */
  offer(possible) {
    reveal(this.button, possible && this.form.hidden);
    if (!possible) reveal(this.form, false);
    const unsaved = Boolean(this.contact.touched);
    if (unsaved) say(this.unsaved, "closing.unsaved"); // no text before: a screen reader may read it
    reveal(this.unsaved, unsaved);
  }

  /** Offer to write the note later: `onLater()` puts the call into the list of notes to write. */
  offerLater(possible) {
    reveal(this.later, possible && this.form.hidden);
  }

  open() {
    reveal(this.form, true);
    this.offer(true);
    this.reason.focus();
  }

  back() {
    reveal(this.form, false);
    reveal(this.trouble, false);
    this.offer(true);
    this.button.focus();
  }

  async close(event) {
    event.preventDefault();
    try {
      await ask("PUT", callPath(this.callId, "contact/not-needed"), { reason: this.reason.value });
      this.contact.touched = false;
      this.contact.draft.settle();
      announce("closing.done");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, "error.notsent");
      reveal(this.trouble, true);
    }
  }
}
