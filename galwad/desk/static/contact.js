// The contact note: why they called, in which language, what came of it, and who it was for.

import { announce } from "./announce.js";
import { ApiError, ask, callPath } from "./api.js";
import { hasCardNumber } from "./card_number.js";
import { el, reveal, say } from "./dom.js";
import { language } from "./i18n.js";
import { accepts, suggestions } from "./purposes.js";

const REASONS = { card_number: "contact.card" };
const REFUSALS = { 409: "contact.refused", 422: "contact.refused" };
const CALLER_TYPES = ["self", "representative", "family", "councillor", "officer", "organisation"];

export class ContactNote {
  constructor(callId) {
    this.callId = callId;
    this.purpose = this.input("purpose", { required: true, maxlength: 200, autocomplete: "off" });
    this.language = this.select("language", ["en", "cy"]);
    this.language.value = language();
    this.outcome = this.input("outcome", { maxlength: 200, autocomplete: "off" });
    this.callerType = this.select("caller_type", CALLER_TYPES);
    this.callerType.addEventListener("change", () => this.showBehalf());
    this.behalf = this.input("on_behalf_of", { maxlength: 200, autocomplete: "off" });
    this.authority = this.input("authority", { maxlength: 200, autocomplete: "off" });
    this.notes = el("textarea", { id: this.id("notes"), rows: 3, maxlength: 4000, autocomplete: "off" });
    this.texts = [this.purpose, this.outcome, this.behalf, this.authority, this.notes];
    this.card = el("p", { class: "warning", role: "alert", id: this.id("card"), hidden: true });
    this.others = el("div", { class: "pair" }, this.field("on_behalf_of", this.behalf), this.field("authority", this.authority));
    this.saved = el("p", { class: "saved" });
    this.form = el(
      "form",
      { class: "contact", autocomplete: "off", on: { submit: (event) => this.save(event), input: () => this.dirty() } },
      el("h3", { t: "contact.title" }),
      this.field("purpose", this.purpose, suggestions(this.purpose)),
      el("div", { class: "pair" }, this.field("language", this.language), this.field("caller_type", this.callerType)),
      this.others,
      this.field("outcome", this.outcome),
      this.field("notes", this.notes, this.card),
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary", t: "contact.save" }), this.saved),
    );
    this.box = this.form;
    this.showBehalf();
  }

  id(name) {
    return `${name}-${this.callId}`;
  }

  input(name, attributes) {
    return el("input", { type: "text", id: this.id(name), ...attributes });
  }

  select(name, values) {
    const options = values.map((value) => el("option", { value, t: `${name}.${value}` }));
    return el("select", { id: this.id(name) }, ...options);
  }

  field(name, control, ...more) {
    return el("div", { class: "field" }, el("label", { for: control.id, t: `contact.${name}` }), control, ...more);
  }

  /** Someone who calls for another says for whom, and on what authority. */
  showBehalf() {
    const needed = this.callerType.value !== "self";
    reveal(this.others, needed);
    this.behalf.required = needed;
    this.authority.required = needed;
  }

  /** A note saved elsewhere, or before a reload, fills the form unless somebody is at it. */
  update(pop) {
    if (!pop.contact || this.touched) return;
    this.fill(pop.contact);
    say(this.saved, "contact.saved");
  }

  /** What was typed before the session ended, if anything, is typed again. */
  resume(draft) {
    if (!draft) return;
    this.fill(draft);
    this.dirty();
  }

  fill(note) {
    this.purpose.value = note.purpose;
    this.language.value = note.language;
    this.outcome.value = note.outcome;
    this.callerType.value = note.caller_type;
    this.behalf.value = note.on_behalf_of;
    this.authority.value = note.authority;
    this.notes.value = note.notes;
    this.showBehalf();
  }

  /** The note as it stands in the form. */
  note() {
    const mine = this.callerType.value === "self";
    return {
      purpose: this.purpose.value,
      language: this.language.value,
      outcome: this.outcome.value,
      caller_type: this.callerType.value,
      on_behalf_of: mine ? "" : this.behalf.value,
      authority: mine ? "" : this.authority.value,
      notes: this.notes.value,
    };
  }

  dirty() {
    this.touched = true;
    say(this.saved, "contact.unsaved");
    this.warnOfCard();
  }

  /** Mark the fields that seem to have a card number; the first of them, or undefined. */
  warnOfCard() {
    const unused = this.callerType.value === "self" ? [this.behalf, this.authority] : [];
    const wrong = this.texts.filter((control) => !unused.includes(control) && hasCardNumber(control.value));
    for (const control of this.texts) {
      const marked = wrong.includes(control);
      if (marked) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
      if (marked) control.setAttribute("aria-describedby", this.card.id);
      else control.removeAttribute("aria-describedby");
    }
    const beside = wrong[0]?.parentElement ?? this.card.parentElement;
    if (this.card.parentElement !== beside) beside.append(this.card);
    if (wrong.length) say(this.card, "contact.card");
    reveal(this.card, wrong.length > 0);
    return wrong[0];
  }

  async save(event) {
    event.preventDefault();
    const wrong = this.warnOfCard();
    if (wrong) {
      say(this.saved, "contact.unsaved");
      wrong.focus();
      return;
    }
    if (!accepts(this.purpose.value.trim())) {
      this.tell("contact.not_listed");
      this.purpose.focus();
      return;
    }
    try {
      await ask("PUT", callPath(this.callId, "contact"), this.note());
      this.touched = false;
      this.tell("contact.saved");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.tell(REASONS[error.reason] ?? REFUSALS[error.status] ?? "error.notsent");
    }
  }

  /** Said aloud as well: the form may be gone with its call before anybody has read it. */
  tell(key) {
    say(this.saved, key);
    announce(key);
  }
}
