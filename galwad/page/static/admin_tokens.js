// The tokens of one user, which an administrator can revoke; for a machine, also a further one.

import { AskedButton } from "./admin_ask.js";
import { idOf } from "./admin_parts.js";
import { Secrets } from "./admin_secrets.js";
import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { dateOf, momentOf } from "./times.js";

export class UserTokens {
  /** `onChange()` is called when the number of tokens has changed. */
  constructor(user, rights, onChange) {
    this.user = user;
    this.onChange = onChange;
    const id = `tokens-of-${idOf(user)}`;
    this.opener = el("button", { type: "button", class: "quiet", "aria-expanded": "false", on: { click: () => this.open() } });
    say(this.opener, "admin.tokens.show", { count: user.tokens });
    this.list = el("ul", { class: "subjects", hidden: true });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.secrets = new Secrets(() => this.opener);
    this.name = el("input", { type: "text", id, required: true, maxlength: 40, autocomplete: "off", spellcheck: "false" });
    this.form = el(
      "form",
      { class: "field", hidden: true, on: { submit: (event) => this.make(event) } },
      el("label", { for: id, t: "admin.tokens.name" }),
      el("div", { class: "setting" }, this.name, el("button", { type: "submit", class: "quiet", t: "tokens.make" })),
    );
    this.box = el("div", { class: "user-part" }, el("h4", { t: "admin.tokens" }), el("div", { class: "buttons" }, this.opener), this.secrets.box, this.trouble, this.list, this.form);
    reveal(this.box, user.tokens > 0 || user.role === "machine");
  }

  async open() {
    const open = this.list.hidden;
    this.opener.setAttribute("aria-expanded", String(open));
    reveal(this.list, open);
    reveal(this.form, open && this.user.role === "machine" && !this.user.disabled);
    if (open) await this.refresh();
  }

  refresh() {
    return this.attempt(async () => {
      const all = await ask("GET", "/tokens");
      const tokens = all.filter((token) => token.user === this.user.name);
      say(this.opener, "admin.tokens.show", { count: tokens.length });
      this.list.replaceChildren(...tokens.map((token) => this.row(token)));
    });
  }

  row(token) {
    const used = el("span", { class: "note" });
    if (token.last_used === null) say(used, "admin.tokens.unused");
    else say(used, "admin.tokens.used", { time: momentOf(token.last_used), address: token.address });
    const ends = el("span", { class: "note" });
    if (token.expires === null) say(ends, "admin.tokens.forever");
    else say(ends, "admin.tokens.ends", { time: dateOf(token.expires) });
    const revoke = new AskedButton("revoke", { name: token.name }, () =>
      this.attempt(async () => {
        await ask("DELETE", `/tokens/${encodeURIComponent(token.id)}`);
        announce("tokens.revoked");
        await this.refresh();
        this.opener.focus();
        this.onChange();
      }),
    );
    return el("li", {}, el("span", { class: "subject", raw: token.name }), used, ends, revoke.button, revoke.ask);
  }

  async make(event) {
    event.preventDefault();
    await this.attempt(async () => {
      const { secret } = await ask("POST", "/tokens", { user: this.user.name, name: this.name.value.trim() });
      this.name.value = "";
      await this.refresh();
      this.secrets.show({ user: this.user, token: secret });
      this.onChange();
    });
  }

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
