// The user's own account: a form in which the password is changed. It is not modal, so calls that
// arrive meanwhile are seen and announced.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import * as i18n from "./i18n.js";

const LEAST = 12;
const REFUSALS = {
  0: "error.connection",
  401: "signin.expired",
  403: "account.wrong",
  409: "account.elsewhere",
  422: "account.weak",
  429: "signin.wait",
};

export class Account {
  constructor() {
    this.button = el("button", { type: "button", class: "quiet", t: "account.change", hidden: true, on: { click: () => this.open() } });
    this.problem = el("p", { class: "problem", role: "alert", id: "account-problem" });
    this.current = field("current", { autocomplete: "current-password" });
    this.fresh = field("new", { autocomplete: "new-password", minlength: LEAST });
    this.again = field("again", { autocomplete: "new-password" });
    this.save = el("button", { type: "submit", class: "primary", t: "account.save" });
    this.form = el(
      "form",
      { class: "signin", on: { submit: (event) => this.submit(event) } },
      el("h2", { t: "account.change", id: "account-title" }),
      el("p", { class: "note", t: "account.hint", id: "account-hint" }),
      this.current.box,
      this.fresh.box,
      this.again.box,
      this.problem,
      el(
        "div",
        { class: "buttons" },
        this.save,
        el("button", { type: "button", class: "quiet", t: "account.cancel", on: { click: () => this.close() } }),
      ),
    );
    const keydown = (event) => event.key === "Escape" && this.close();
    this.box = el("section", { class: "card account", "aria-labelledby": "account-title", on: { keydown } }, this.form);
  }

  /** `me` is the signed-in user, or null. */
  update(me) {
    reveal(this.button, me?.changes_password === true);
    if (!me) this.hide();
  }

  open() {
    document.getElementById("main").before(this.box);
    i18n.translate(this.box);
    this.current.input.focus();
  }

  close() {
    this.hide();
    this.button.focus();
  }

  /** No password stays on the page. */
  hide() {
    this.box.remove();
    this.form.reset();
    this.forget();
  }

  forget() {
    delete this.problem.dataset.t; // so that a second refusal is announced like the first
    this.problem.textContent = "";
  }

  refuse(key, { input }) {
    say(this.problem, key);
    input.value = "";
    input.focus();
  }

  async submit(event) {
    event.preventDefault();
    this.forget();
    if (this.fresh.input.value !== this.again.input.value) {
      this.refuse("account.differs", this.again);
      return;
    }
    this.save.disabled = true;
    try {
      await ask("PUT", "/me/password", { current: this.current.input.value, new: this.fresh.input.value });
      this.close();
      announce("account.changed");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.refuse(REFUSALS[error.status] ?? "error.server", error.status === 422 ? this.fresh : this.current);
    } finally {
      this.save.disabled = false;
    }
  }
}

function field(name, attributes) {
  const input = el("input", {
    id: `account-${name}`,
    type: "password",
    required: true,
    "aria-describedby": "account-hint account-problem",
    ...attributes,
  });
  return { input, box: el("div", { class: "field" }, el("label", { for: input.id, t: `account.${name}` }), input) };
}
