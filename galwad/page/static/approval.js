// The approval of another client by the person who is signed in here. For a command line, the person
// enters the code that it shows. The address of a panel's approval has the code, and the person
// compares it; if the panel is in another network, a link may lead here, so they must enter it too.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";

const KINDS = {
  "command-line": { path: "/command-lines", texts: "command_line" },
  panel: { path: "/panels", texts: "panel" },
};

export class Approval {
  /** `kind` is a key of `KINDS`, `user` the person who is signed in; `close()` leaves the approval. */
  constructor(kind, user, close) {
    const { path, texts } = KINDS[kind];
    this.path = path;
    this.texts = texts;
    this.user = user;
    this.close = close;
    this.title = el("h2", { id: "approval-title", tabindex: "-1", t: `${texts}.title` });
    this.code = el("input", { type: "text", id: "approval-code", required: true, maxlength: 20, autocomplete: "off", autocapitalize: "characters", spellcheck: "false" });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.form = el(
      "form",
      { hidden: true, on: { submit: (event) => this.enter(event) } },
      el("p", { t: `${texts}.hint` }),
      el("div", { class: "field" }, el("label", { for: this.code.id, t: `${texts}.code` }), this.code),
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary", t: "command_line.next" }), this.closer()),
    );
    this.question = el("p", { id: "approval-question", class: "asks" });
    this.shown = el("strong", { class: "shown-code" });
    this.approval = el(
      "div",
      { role: "group", tabindex: "-1", "aria-labelledby": this.question.id, hidden: true },
      this.question,
      el("p", {}, this.shown),
      el("p", { class: "warning", t: `${texts}.warning` }),
      el("div", { class: "buttons" }, this.closer("command_line.refuse"), el("button", { type: "button", class: "primary", t: "command_line.approve", on: { click: () => this.approve() } })),
    );
    this.done = el("p", { tabindex: "-1", hidden: true, t: `${texts}.done` });
    this.box = el("section", { class: "card approval", "aria-labelledby": this.title.id }, this.title, this.form, this.approval, this.done, this.trouble);
  }

  closer(key = "command_line.close") {
    return el("button", { type: "button", class: "quiet", t: key, on: { click: () => this.close() } });
  }

  /** Ask for the code, or ask about the client whose code the address has. */
  async begin(code) {
    this.title.focus();
    const found = code && (await this.look(code));
    if (found?.same_network) this.pose(found);
    else this.askForCode();
    if (found && !found.same_network) this.warn("panel.elsewhere", { address: found.address });
  }

  askForCode() {
    reveal(this.form, true);
    reveal(this.approval, false);
  }

  async enter(event) {
    event.preventDefault();
    const found = await this.look(this.code.value);
    if (found) this.pose(found);
  }

  /** Return what waits with a code, or undefined if the desk has refused it. */
  async look(code) {
    this.sent = code;
    return this.send("show");
  }

  pose(found) {
    const code = this.sent.replace(/[\s-]/g, "").toUpperCase();
    say(this.question, `${this.texts}.question`, { ...found, user: this.user });
    say(this.shown, "panel.compare", { code: `${code.slice(0, 4)}-${code.slice(4)}` });
    reveal(this.form, false);
    reveal(this.approval, true);
    this.approval.focus();
  }

  async approve() {
    if ((await this.send("approve")) === undefined) return;
    announce(`${this.texts}.done`);
    if (this.texts !== "panel") {
      this.close();
      return;
    }
    history.replaceState(null, "", location.pathname); // the window has no further use; the text stays
    reveal(this.approval, false);
    reveal(this.done, true);
    this.done.focus();
  }

  /** Send the code; return the answer, or undefined if the desk has refused it. */
  async send(action) {
    reveal(this.trouble, false);
    try {
      return await ask("POST", `${this.path}/${action}`, { code: this.sent });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.reason === "step_up_needed") {
        this.warn("stepup.needed"); // the page asks for it at its top
        return undefined;
      }
      this.askForCode();
      this.warn({ 404: `${this.texts}.none`, 429: "command_line.often" }[error.status] ?? "error.notsent");
      this.code.focus();
      return undefined;
    }
  }

  warn(key, values) {
    say(this.trouble, key, values);
    reveal(this.trouble, true);
  }
}
