// The form of a request about data, or of a complaint, which the page loads when it is first opened.

import { announce } from "./announce.js";
import { ApiError, ask, callPath } from "./api.js";
import { hasCardNumber } from "./card_number.js";
import { busily, el, reveal, say } from "./dom.js";

const KINDS = ["access", "rectification", "erasure", "restriction", "objection", "portability", "complaint"];
const REFUSALS = { 0: "request.unclear", 409: "request.refused", 422: "request.invalid", 429: "phone.refused.limit" };

export class RequestForm {
  /** `contact` is the call's note; `store(id, request)` stores the pop of the answer; `onClose()` goes back. */
  constructor(callId, { contact, store, onClose }) {
    this.callId = callId;
    this.contact = contact;
    this.store = store;
    this.onClose = onClose;
    const id = (name) => `request-${name}-${callId}`;
    const text = () => el("input", { type: "text", maxlength: 200, autocomplete: "off" });
    const options = KINDS.map((value) => el("option", { value, t: `request.kind.${value}` }));
    this.inputs = { kind: el("select", { required: true }, ...options), name: text(), representative: text(), authority: text(), details: el("textarea", { rows: 3, maxlength: 2000, autocomplete: "off" }) };
    this.inputs.name.required = true;
    const field = (name) => {
      this.inputs[name].id = id(name);
      return el("div", { class: "field" }, el("label", { for: id(name), t: `request.${name}` }), this.inputs[name]);
    };
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.submit = el("button", { type: "submit", class: "primary", t: "request.submit" });
    this.box = el(
      "form",
      { autocomplete: "off", hidden: true, on: { submit: (event) => this.send(event), keydown: (event) => this.onKey(event) } },
      el("p", { class: "note", t: "request.hint" }),
      el("div", { class: "pair" }, field("kind"), field("name")),
      field("details"),
      el("div", { class: "pair" }, field("representative"), field("authority")),
      this.trouble,
      el("div", { class: "buttons" }, this.submit, el("button", { type: "button", class: "quiet", t: "request.cancel", on: { click: () => this.leave() } })),
    );
  }

  /** Show the form with what is known of the person, and go to it. */
  open(pop) {
    if (this.box.hidden) this.prefill(pop.caller.name ?? "");
    reveal(this.box, true);
    this.inputs.kind.focus();
  }

  prefill(caller) {
    this.box.reset();
    const { name, representative, authority } = this.inputs;
    const note = this.contact.note();
    name.value = note.on_behalf_of || caller;
    representative.value = note.on_behalf_of ? caller : "";
    authority.value = note.on_behalf_of ? note.authority : "";
  }

  leave() {
    reveal(this.box, false);
    reveal(this.trouble, false);
    this.onClose();
  }

  onKey(event) {
    if (event.key === "Escape") this.leave();
  }

  /** Say that the form must be sent or cancelled before the call goes from the page. */
  remind() {
    this.tell("request.pending");
    this.inputs.kind.focus();
  }

  async send(event) {
    event.preventDefault();
    reveal(this.trouble, false);
    const { kind, ...texts } = this.inputs;
    for (const input of Object.values(texts)) input.value = input.value.trim();
    const { representative, authority } = texts;
    authority.required = Boolean(representative.value);
    representative.required = Boolean(authority.value);
    if (!this.box.reportValidity()) return;
    const wrong = Object.values(texts).find(({ value }) => hasCardNumber(value));
    if (wrong) {
      this.tell("contact.card");
      wrong.focus();
      return;
    }
    const typed = Object.entries(texts).map(([name, { value }]) => [name, value.toWellFormed?.() ?? value]);
    const body = { kind: kind.value, ...Object.fromEntries(typed), language: this.contact.note().language };
    await busily(this.submit, () => this.ask(body));
  }

  async ask(body) {
    try {
      await this.store(this.callId, ask("POST", callPath(this.callId, "cases"), body));
      this.leave();
      announce("request.done");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.tell(REFUSALS[error.status] ?? "error.notsent");
    }
  }

  tell(key) {
    say(this.trouble, key);
    reveal(this.trouble, true);
  }
}
