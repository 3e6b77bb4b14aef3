// A person's own tokens, with which a key on their computer pauses while another program is in
// front. The secret of a new token is on the page until the list is closed, and nowhere else.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say, show } from "./dom.js";
import { translate } from "./i18n.js";
import { momentOf } from "./times.js";

const PATH = "/me/tokens";
const COLUMNS = ["token", "used", "from", "expires", "decision"];

export class OwnTokens {
  constructor() {
    this.button = el("button", {
      type: "button",
      class: "quiet",
      "aria-expanded": "false",
      "aria-controls": "own-tokens",
      hidden: true,
      t: "tokens.open",
      on: { click: () => (this.box.hidden ? this.open() : this.close()) },
    });
    this.title = el("h2", { id: "own-tokens-title", tabindex: "-1", t: "tokens.title" });
    this.name = el("input", { type: "text", id: "token-name", required: true, maxlength: 40, autocomplete: "off" });
    this.form = el(
      "form",
      { class: "search", on: { submit: (event) => this.make(event) } },
      el("div", { class: "field" }, el("label", { for: this.name.id, t: "tokens.name" }), this.name),
      el("button", { type: "submit", t: "tokens.make" }),
    );
    this.secret = el("input", { type: "text", id: "token-secret", readonly: true, spellcheck: "false", autocomplete: "off" });
    this.secret.addEventListener("focus", () => this.secret.select());
    this.copied = el("button", { type: "button", t: "tokens.copy", on: { click: () => this.copy() } });
    this.made = el(
      "div",
      { class: "search", hidden: true },
      el("div", { class: "field" }, el("label", { for: this.secret.id, t: "tokens.secret" }), this.secret),
      this.copied,
    );
    this.off = el("p", { class: "warning", hidden: true, t: "tokens.off" });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.none = el("p", { class: "note", hidden: true, t: "tokens.none" });
    this.body = el("tbody");
    const heads = COLUMNS.map((name) => el("th", { scope: "col", t: `tokens.${name}` }));
    const table = el("table", { "aria-labelledby": this.title.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.list = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": this.title.id }, table);
    this.box = el(
      "section",
      { class: "card tokens", id: "own-tokens", "aria-labelledby": this.title.id, hidden: true },
      this.title,
      el("p", { class: "note", t: "tokens.hint" }),
      this.off,
      this.form,
      this.made,
      this.trouble,
      this.none,
      this.list,
      el("button", { type: "button", class: "quiet", t: "tokens.close", on: { click: () => this.close() } }),
    );
  }

  /** Offer the list to the person who has signed in. */
  start() {
    translate(this.box);
    reveal(this.button, true);
  }

  /** Forget everything, because the person has signed out. */
  stop() {
    this.hide();
    this.body.replaceChildren();
    reveal(this.button, false);
  }

  async open() {
    this.button.setAttribute("aria-expanded", "true");
    reveal(this.box, true);
    this.title.focus();
    await this.refresh();
  }

  close() {
    this.hide();
    this.button.focus();
  }

  hide() {
    this.button.setAttribute("aria-expanded", "false");
    this.secret.value = "";
    this.name.value = "";
    for (const part of [this.box, this.made, this.trouble]) reveal(part, false);
  }

  refresh() {
    return this.attempt(async () => {
      const { allowed, tokens } = await ask("GET", PATH);
      reveal(this.off, !allowed);
      reveal(this.form, allowed);
      reveal(this.none, allowed && tokens.length === 0);
      reveal(this.list, tokens.length > 0);
      this.body.replaceChildren(...tokens.map((token) => this.row(token)));
    });
  }

  row(token) {
    const used = el("td");
    if (token.last_used === null) say(used, "tokens.never");
    else show(used, momentOf(token.last_used));
    const revoke = el("button", { type: "button", class: "quiet", t: "tokens.revoke" });
    revoke.addEventListener("click", () => this.revoke(token, revoke));
    return el(
      "tr",
      {},
      el("th", { scope: "row", raw: token.name }),
      used,
      el("td", { raw: token.address }),
      el("td", { raw: token.expires === null ? "" : momentOf(token.expires) }),
      el("td", {}, revoke),
    );
  }

  async make(event) {
    event.preventDefault();
    const name = this.name.value.trim().toLowerCase().replace(/\s+/g, "-");
    await this.attempt(async () => {
      const { secret } = await ask("POST", PATH, { name });
      await this.refresh();
      this.name.value = "";
      this.secret.value = secret;
      say(this.copied, "tokens.copy");
      reveal(this.made, true);
      this.secret.focus();
    });
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.secret.value);
      say(this.copied, "tokens.copied");
      announce("tokens.copied");
    } catch {
      this.secret.focus(); // the browser does not allow it: the text is selected to be copied by hand
    }
  }

  /** The first press asks, the second revokes. */
  async revoke(token, button) {
    if (button.dataset.t !== "tokens.sure") {
      say(button, "tokens.sure");
      announce("tokens.sure");
      return;
    }
    await this.attempt(async () => {
      await ask("DELETE", `${PATH}/${encodeURIComponent(token.id)}`);
      await this.refresh();
      announce("tokens.revoked");
    });
    this.title.focus();
  }

  /** Do something at the desk, and show why it was refused. */
  async attempt(work) {
    reveal(this.trouble, false);
    try {
      await work();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, [409, 422].includes(error.status) ? "tokens.rule" : "error.notsent");
      reveal(this.trouble, true);
    }
  }
}
