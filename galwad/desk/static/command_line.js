// The approval of a command line, at the address `#command-line` of the page: the person enters the
// code that the command line shows, and sees from where it was requested before they approve it.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { translate } from "./i18n.js";

const FRAGMENT = "#command-line";
const REFUSALS = { 404: "command_line.none", 429: "command_line.often" };

export class CommandLineApproval {
  constructor() {
    this.user = null; // the person who is signed in
    this.title = el("h2", { id: "command-line-title", tabindex: "-1", t: "command_line.title" });
    this.code = el("input", { type: "text", id: "command-line-code", required: true, maxlength: 20, autocomplete: "off", autocapitalize: "characters", spellcheck: "false" });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.form = el(
      "form",
      { on: { submit: (event) => this.look(event) } },
      el("p", { t: "command_line.hint" }),
      el("div", { class: "field" }, el("label", { for: this.code.id, t: "command_line.code" }), this.code),
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary", t: "command_line.next" }), this.closer()),
    );
    this.question = el("p", { id: "command-line-question", class: "asks" });
    this.approval = el(
      "div",
      { role: "group", tabindex: "-1", "aria-labelledby": this.question.id, hidden: true },
      this.question,
      el("p", { class: "warning", t: "command_line.warning" }),
      el("div", { class: "buttons" }, this.closer("command_line.refuse"), el("button", { type: "button", class: "primary", t: "command_line.approve", on: { click: () => this.approve() } })),
    );
    this.box = el("section", { class: "card command-line", "aria-labelledby": this.title.id, hidden: true }, this.title, this.form, this.approval, this.trouble);
    addEventListener("hashchange", () => this.follow());
  }

  closer(key = "command_line.close") {
    return el("button", { type: "button", class: "quiet", t: key, on: { click: () => this.close() } });
  }

  /** `user` is the name of the person who has signed in, or null. */
  update(user) {
    this.user = user;
    this.follow();
  }

  follow() {
    const shown = Boolean(this.user) && location.hash === FRAGMENT;
    const opened = shown && this.box.hidden;
    reveal(this.box, shown);
    if (!opened) return;
    this.begin();
    translate(this.box);
    this.title.focus();
  }

  begin() {
    this.code.value = "";
    reveal(this.form, true);
    reveal(this.approval, false);
    reveal(this.trouble, false);
  }

  close() {
    history.replaceState(null, "", location.pathname);
    this.follow();
    document.getElementById("main").focus();
  }

  async look(event) {
    event.preventDefault();
    const found = await this.send("show");
    if (!found) return;
    say(this.question, "command_line.question", { address: found.address, user: this.user });
    reveal(this.form, false);
    reveal(this.approval, true);
    this.approval.focus();
  }

  async approve() {
    if ((await this.send("approve")) === undefined) return;
    announce("command_line.done");
    this.close();
  }

  /** Send the code; return the answer, or undefined if the desk has refused it. */
  async send(action) {
    reveal(this.trouble, false);
    try {
      return await ask("POST", `/command-lines/${action}`, { code: this.code.value });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const stepUp = error.reason === "step_up_needed"; // the page asks for it at its top
      if (!stepUp) this.begin();
      say(this.trouble, stepUp ? "stepup.needed" : (REFUSALS[error.status] ?? "error.notsent"));
      reveal(this.trouble, true);
      if (!stepUp) this.code.focus();
      return undefined;
    }
  }
}
