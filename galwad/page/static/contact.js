// The contact note: why they called, in which language, what came of it, and who it was for.

import { announce } from "./announce.js";
import { ApiError, ask, callPath } from "./api.js";
import { REJECTED } from "./caller.js";
import { hasCardNumber } from "./card_number.js";
import { Conflict, same } from "./conflict.js";
import { el, reveal, say } from "./dom.js";
import { Draft } from "./draft.js";
import { preferredLanguage } from "./greeting.js";
import { language } from "./i18n.js";
import { accepts, suggestions } from "./purposes.js";

const REASONS = { card_number: "contact.card" };
const REFUSALS = { 409: "contact.refused", 422: "contact.refused" };
const CALLER_TYPES = ["self", "representative", "family", "councillor", "officer", "organisation"];

/** The key that goes to the note; free in browsers and screen readers. */
export const NOTE_KEY = "F2";

export class ContactNote {
  constructor(callId) {
    this.callId = callId;
    this.draft = new Draft(callId, {
      text: () => (this.warnOfCard() ? null : this.note()),
      state: (key) => this.refused || say(this.saved, key),
      conflict: () => this.compare(),
    });
    this.conflict = new Conflict({
      use: (note) => {
        const before = this.note();
        this.fill(note);
        return before;
      },
      keep: () => this.keep(),
    });
    this.purpose = this.input("purpose", { required: true, maxlength: 200, autocomplete: "off", "aria-keyshortcuts": NOTE_KEY });
    this.language = this.select("language", ["en", "cy"]);
    this.language.value = language();
    this.language.addEventListener("change", () => (this.spoken = true));
    this.spoken = false; // whether somebody has set the language of the call, here or in a stored note
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
    this.submit = el(
      "button",
      { type: "submit", class: "primary", "aria-keyshortcuts": "Control+Enter" },
      el("span", { t: "contact.save" }),
      el("kbd", { raw: "Ctrl+Enter" }),
    );
    this.form = el(
      "form",
      {
        class: "contact",
        autocomplete: "off",
        on: {
          submit: (event) => this.save(event),
          input: () => this.dirty(),
          keydown: (event) => this.onKey(event),
          focusout: () => this.draft.flush(),
        },
      },
      el("h3", {}, el("span", { t: "contact.title" }), el("kbd", { raw: NOTE_KEY })),
      this.field("purpose", this.purpose, suggestions(this.purpose)),
      el("div", { class: "pair" }, this.field("language", this.language), this.field("caller_type", this.callerType)),
      this.others,
      this.field("outcome", this.outcome),
      this.field("notes", this.notes, this.card),
      this.conflict.box,
      el("div", { class: "buttons" }, this.submit, this.saved),
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

  update(pop) {
    this.pop = pop;
    this.follow(pop);
    this.preset(pop.caller);
  }

  /** Preset the language of the call: the caller's, or that of the page if theirs is not known. */
  preset(caller) {
    if (this.spoken) return;
    const known = REJECTED.includes(caller.outcome) ? null : preferredLanguage(caller);
    const wanted = known ?? (this.touched ? this.language.value : language());
    if (wanted === this.language.value) return;
    this.language.value = wanted;
    if (this.touched) this.dirty();
  }

  /** Take what the desk has: a newer text fills the form, unless somebody is typing another one here. */
  follow(pop) {
    const draft = pop.draft ?? null;
    const held = draft ?? pop.contact ?? null;
    const news = JSON.stringify(held) !== JSON.stringify(this.known ?? null);
    this.known = held;
    if (!news || (draft && this.draft.isOwn(draft))) return;
    if (this.conflict.other) {
      if (held && !this.conflict.swapped) this.choose(held);
    } else if (this.draft.pending) {
      if (!this.draft.held) this.compare();
    } else if (held) {
      this.take(held);
    } else {
      this.draft.version = 0;
    }
  }

  /** Show a text of the desk as the one that this window goes on with. */
  take(held) {
    this.fill(held);
    this.agreed = held;
    this.draft.settle(held.version ?? 0);
    this.touched = held.version !== undefined;
    this.refused = false;
    say(this.saved, this.touched ? "draft.saved" : "contact.saved");
    this.warnOfCard();
  }

  /** Another window has changed the note: ask the desk for its text, and let the user choose. True
   *  if there is nothing to choose, because the form has all that was typed. */
  async compare() {
    await this.draft.rest();
    try {
      const pop = await ask("GET", `/calls/${encodeURIComponent(this.callId)}`);
      this.known = pop.draft ?? pop.contact ?? null;
      this.pop = pop;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.draft.resume(); // the next attempt is refused again, and asks again
      return false;
    }
    const held = this.known;
    this.compared = held;
    if (!held || [this.agreed, this.draft.last, this.note()].some((text) => text && same(held, text))) {
      this.keep();
      return true;
    }
    say(this.saved, "draft.conflict");
    this.choose(held);
    return false;
  }

  /** Let the user choose between the text in the form and `held`. */
  choose(held) {
    this.compared = held;
    this.conflict.show(held);
  }

  /** Go on with the text in the form, in place of the one of the desk that it was compared with. */
  keep() {
    this.conflict.hide();
    this.refused = false;
    this.agreed = this.compared;
    this.draft.version = this.compared?.version ?? 0;
    this.draft.pending = true;
    this.draft.resume();
  }

  /** What was typed before the session ended, if anything, is typed again. */
  resume(typed) {
    if (!typed) return;
    this.fill(typed.note);
    this.agreed = typed.agreed;
    this.draft.version = typed.version;
    this.dirty();
  }

  /** What was typed and is not on the desk, if anything, to be typed again by the same user. */
  unsent() {
    if (!this.draft.pending) return null;
    return { note: this.note(), agreed: this.agreed, version: this.draft.version };
  }

  /** The note leaves the page. */
  leave() {
    this.draft.leave();
  }

  /** Whether somebody is at work in this note. */
  get busy() {
    return this.draft.pending || Boolean(this.conflict.other) || this.box.contains(document.activeElement);
  }

  fill(note) {
    this.spoken = true;
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
      purpose: whole(this.purpose.value),
      language: this.language.value,
      outcome: whole(this.outcome.value),
      caller_type: this.callerType.value,
      on_behalf_of: mine ? "" : whole(this.behalf.value),
      authority: mine ? "" : whole(this.authority.value),
      notes: whole(this.notes.value),
    };
  }

  dirty() {
    this.touched = true;
    this.refused = false;
    this.draft.typed();
    this.warnOfCard();
  }

  onKey(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.repeat) return;
    event.preventDefault();
    this.form.requestSubmit();
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
    this.refused = false;
    if (this.conflict.other) {
      this.tell("draft.conflict");
      this.conflict.text.focus();
      return;
    }
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
    const note = this.note();
    const changes = this.draft.changes;
    if (!(await this.draft.storeAndRest()) && !(await this.compare())) return;
    await this.draft.rest();
    try {
      await ask("PUT", callPath(this.callId, "contact"), note);
      this.agreed = note;
      if (changes === this.draft.changes) {
        this.draft.settle();
        this.touched = false;
      } else {
        this.draft.version = 0;
        this.draft.resume();
      }
      this.tell("contact.saved");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.tell(REASONS[error.reason] ?? REFUSALS[error.status] ?? "error.notsent");
      this.draft.resume();
    }
  }

  /** Said aloud as well: the form may be gone with its call before anybody has read it. The reason
   *  for which a note was not saved stays until something is typed. */
  tell(key) {
    this.refused = key !== "contact.saved";
    say(this.saved, key);
    announce(key);
  }
}

/** A text without half an emoji, such as the limit of a field can leave: the desk refuses that. */
function whole(text) {
  return text.toWellFormed?.() ?? text;
}
