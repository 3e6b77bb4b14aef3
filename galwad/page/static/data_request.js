// The caller asks for their data, or complains about how they are used: the advisor opens a case with
// this call, because a person can ask anybody by telephone, and the time to answer counts from that day.

import { el, reveal, say } from "./dom.js";
import { translate } from "./i18n.js";

export const REQUEST_KEY = "F7"; // with Shift

export class DataRequest {
  /** `contact` is the call's note; `store(id, request)` stores the pop that the desk answers. */
  constructor(callId, { contact, store }) {
    this.callId = callId;
    this.parts = { contact, store, onClose: () => this.closed() };
    this.form = null; // loaded when it is first opened
    this.button = el("button", { type: "button", class: "quiet", "aria-keyshortcuts": `Shift+${REQUEST_KEY}`, "aria-expanded": "false", on: { click: () => this.open() } }, el("span", { t: "request.open" }), el("kbd", { raw: `Shift+${REQUEST_KEY}` }));
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.list = el("ul", {});
    this.box = el("section", { class: "data-request", "data-t-label": "request.label" }, this.list, this.button, this.trouble);
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
    return Boolean(this.form) && !this.form.box.hidden;
  }

  async open() {
    if (!this.form) await this.load();
    if (!this.form) return;
    this.form.open(this.pop);
    this.button.setAttribute("aria-expanded", "true");
  }

  async load() {
    reveal(this.trouble, false);
    let part;
    try {
      part = await import("./request_form.js");
    } catch {
      say(this.trouble, "error.connection");
      reveal(this.trouble, true);
      return;
    }
    if (this.form) return; // the key was pressed twice
    this.form = new part.RequestForm(this.callId, this.parts);
    this.box.append(this.form.box);
    translate(this.form.box);
  }

  closed() {
    this.button.setAttribute("aria-expanded", "false");
    this.button.focus();
  }

  /** Say that the form must be sent or cancelled before the call goes from the page. */
  remind() {
    this.form.remind();
  }
}

function openedCase({ case_id: number, kind }) {
  const told = el("strong", {});
  say(told, "request.opened", { number });
  return el("li", {}, told, " ", el("span", { t: `request.kind.${kind}` }));
}
