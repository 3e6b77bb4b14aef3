// The caller asks for their data, or complains about how they are used: the advisor opens a case with
// this call, because a person can ask anybody by telephone, and the time to answer counts from that day.

import { announce } from "./announce.js";
import { ApiError, ask, callPath } from "./api.js";
import { hasCardNumber } from "./card_number.js";
import { busily, el, reveal, say } from "./dom.js";

export const REQUEST_KEY = "F7"; // with Shift
const KINDS = ["access", "rectification", "erasure", "restriction", "objection", "portability", "complaint"];
const REFUSALS = { 0: "request.unclear", 409: "request.refused", 422: "request.invalid", 429: "phone.refused.limit" };

export class DataRequest {
  /** `contact` is the call's note; `store(id, request)` stores the pop that the desk answers. */
  constructor(callId, { contact, store }) {
    this.callId = callId;
    this.contact = contact;
    this.store = store;
    const id = (name) => `request-${name}-${callId}`;
    const text = () => el("input", { type: "text", maxlength: 200, autocomplete: "off" });
    const options = KINDS.map((value) => el("option", { value, t: `request.kind.${value}` }));
    this.inputs = { kind: el("select", { required: true }, ...options), name: text(), representative: text(), authority: text(), details: el("textarea", { rows: 3, maxlength: 2000, autocomplete: "off" }) };
    this.inputs.name.required = true;
    const field = (name) => {
      this.inputs[name].id = id(name);
      return el("div", { class: "field" }, el("label", { for: id(name), t: `request.${name}` }), this.inputs[name]);
    };
    this.button = el("button", { type: "button", class: "quiet", "aria-keyshortcuts": `Shift+${REQUEST_KEY}`, "aria-expanded": "false", on: { click: () => this.open() } }, el("span", { t: "request.open" }), el("kbd", { raw: `Shift+${REQUEST_KEY}` }));
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.submit = el("button", { type: "submit", class: "primary", t: "request.submit" });
    this.form = el(
      "form",
      { autocomplete: "off", hidden: true, on: { submit: (event) => this.send(event), keydown: (event) => this.onKey(event) } },
      el("p", { class: "note", t: "request.hint" }),
      el("div", { class: "pair" }, field("kind"), field("name")),
      field("details"),
      el("div", { class: "pair" }, field("representative"), field("authority")),
      this.trouble,
      el("div", { class: "buttons" }, this.submit, el("button", { type: "button", class: "quiet", t: "request.cancel", on: { click: () => this.close() } })),
    );
    this.list = el("ul", {});
    this.box = el("section", { class: "data-request", "data-t-label": "request.label" }, this.list, this.button, this.form);
  }

  update(pop) {
    this.pop = pop;
    this.possible = pop.mine && pop.state !== "ringing";
    reveal(this.box, this.possible);
    const shown = pop.cases.map(({ case_id: number }) => String(number)).join();
    if (shown === this.shown) return;
    this.shown = shown;
    this.list.replaceChildren(...pop.cases.map(openedCase));
  }

  /** Whether something is typed that was not sent. */
  get pending() {
    return !this.form.hidden;
  }

  /** Show the form with what is known of the person, and go to it. */
  open() {
    if (!this.pending) this.prefill();
    reveal(this.form, true);
    this.button.setAttribute("aria-expanded", "true");
    this.inputs.kind.focus();
  }

  prefill() {
    this.form.reset();
    const { name, representative, authority } = this.inputs;
    const note = this.contact.note();
    const caller = this.pop.caller.name ?? "";
    name.value = note.on_behalf_of || caller;
    representative.value = note.on_behalf_of ? caller : "";
    authority.value = note.on_behalf_of ? note.authority : "";
  }

  close() {
    reveal(this.form, false);
    reveal(this.trouble, false);
    this.button.setAttribute("aria-expanded", "false");
    this.button.focus();
  }

  onKey(event) {
    if (event.key === "Escape") this.close();
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
    if (!this.form.reportValidity()) return;
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
      this.close();
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

function openedCase({ case_id: number, kind }) {
  const told = el("strong", {});
  say(told, "request.opened", { number });
  return el("li", {}, told, " ", el("span", { t: `request.kind.${kind}` }));
}
