// The secrets of a change: a password, a token, the account of a phone. They are on the page until
// the administrator closes the box or leaves the administration, and nowhere else.

import { announce } from "./announce.js";
import { el, reveal, say } from "./dom.js";

const PARTS = ["password", "token", "sip_server", "sip_extension", "sip_realm", "sip_password"];
let boxes = 0;

export class Secrets {
  /** `landing()` is what gets the focus when the box is closed. */
  constructor(landing) {
    this.landing = landing;
    this.number = boxes++;
    this.title = el("h3", { id: `secrets-${this.number}`, tabindex: "-1" });
    this.list = el("div", { class: "pair" });
    this.box = el(
      "div",
      { class: "secrets", role: "group", "aria-labelledby": this.title.id, hidden: true },
      this.title,
      this.list,
      el("button", { type: "button", t: "admin.secrets.done", on: { click: () => this.close() } }),
    );
  }

  /** Show the secrets in the answer to a change, if it has some; return whether it has. */
  show({ user, password, token, sip }) {
    const values = { password, token, ...Object.fromEntries(Object.entries(sip ?? {}).map(([name, value]) => [`sip_${name}`, value])) };
    const given = PARTS.filter((name) => values[name]);
    if (!given.length) return false;
    say(this.title, "admin.secrets.title", { name: user.name });
    this.list.replaceChildren(...given.map((name) => this.field(name, values[name])));
    reveal(this.box, true);
    this.title.focus();
    return true;
  }

  field(name, value) {
    const id = `secret-${this.number}-${name}`;
    const input = el("input", { type: "text", id, readonly: true, spellcheck: "false", autocomplete: "off", dir: "ltr" });
    input.value = value;
    input.addEventListener("focus", () => input.select());
    const label = el("label", { for: id, id: `${id}-label`, t: `admin.secrets.${name}` });
    const copy = el("button", { type: "button", class: "quiet", t: "tokens.copy", "aria-describedby": label.id });
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(value);
        say(copy, "tokens.copied");
        announce("tokens.copied");
      } catch {
        input.focus(); // the browser does not allow it: the text is selected to be copied by hand
      }
    });
    return el("div", { class: "field" }, label, el("div", { class: "copied" }, input, copy));
  }

  close() {
    this.forget();
    this.landing().focus();
  }

  forget() {
    this.list.replaceChildren();
    reveal(this.box, false);
  }
}
