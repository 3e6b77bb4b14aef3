// Who holds a pause, and the way to let go for a holder who no longer can: a phone that has sent
// the call on, a payment page that died. It takes two steps; the desk decides whether it may be.

import { ApiError, ask, callPath } from "./api.js";
import { el, reveal, say, show } from "./dom.js";
import { has, t } from "./i18n.js";

let asked = 0; // numbers the questions, which need an id each

/** A holder as people know it: `page:sian`, `phone:201`, `token:pay`, or an older version's `page`. */
function named(holder) {
  const [kind, ...rest] = holder.split(":");
  const key = rest.length ? `holder.${kind}` : `holder.any.${kind}`;
  return has(key) ? t(key, { name: rest.join(":") }) : holder;
}

/** Whether a viewer may let go for a holder: an advisor for phones only. */
export function mayRelease(holder, supervises) {
  return supervises || holder.startsWith("phone:");
}

/** Whether the resume button of a viewer's own call lets go for a holder. */
export function isOwn(holder, user) {
  return holder === `page:${user}` || holder === "page";
}

export class Holders {
  /**
   * `landing()` gives what takes the focus when the button that had it is gone. `user` is whose
   * own hold the resume button beside this list lets go; without one, there is no such button.
   */
  constructor(callId, { supervises, landing, user }) {
    this.callId = callId;
    this.supervises = supervises;
    this.user = user;
    this.landing = landing;
    this.rows = new Map();
    this.list = el("ul", {});
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.box = el("div", { class: "holders", hidden: true }, el("p", { t: "holders.title" }), this.list, this.trouble);
  }

  update(holders) {
    let lost = false;
    for (const [holder, row] of this.rows) {
      if (!holders.includes(holder)) {
        lost ||= row.box.contains(document.activeElement);
        row.box.remove();
        this.rows.delete(holder);
        reveal(this.trouble, false);
      }
    }
    for (const holder of holders) {
      const row = this.rows.get(holder) ?? this.add(holder);
      const values = { name: named(holder) };
      show(row.name, values.name);
      say(row.open, "holders.release", values);
      say(row.question, "holders.ask", values);
      say(row.yes, "holders.yes", values);
    }
    reveal(this.box, holders.length > 0);
    if (lost) (this.list.querySelector("button") ?? this.landing()).focus();
  }

  add(holder) {
    const row = { name: el("span", { class: "holder" }) };
    const id = `release-${asked++}`;
    row.question = el("p", { id, class: "question" });
    row.yes = el("button", { type: "button", class: "primary", on: { click: () => this.release(holder, row) } });
    row.no = el("button", { type: "button", t: "holders.no", on: { click: () => this.shut(row) } });
    row.open = el("button", { type: "button", class: "release", on: { click: () => this.open(row) } });
    row.ask = el(
      "div",
      { class: "ask", role: "group", tabindex: "-1", "aria-labelledby": id, hidden: true, on: { keydown: (event) => this.key(event, row) } },
      row.question,
      el("div", { class: "buttons" }, row.no, row.yes),
    );
    const way = this.way(holder, row);
    row.box = el("li", { "data-holder": holder }, row.name, ...way);
    this.rows.set(holder, row);
    this.list.append(row.box);
    return row;
  }

  /** How a holder's hold ends: by the resume button, by the two steps here, or by a supervisor. */
  way(holder, row) {
    if (this.user && isOwn(holder, this.user)) return [el("span", { class: "note", t: "holders.own" })];
    if (mayRelease(holder, this.supervises)) return [row.open, row.ask];
    return [el("span", { class: "note", t: "holders.supervisor" })];
  }

  open(row) {
    reveal(row.open, false);
    reveal(row.ask, true);
    row.ask.focus();
  }

  shut(row) {
    reveal(row.ask, false);
    reveal(row.open, true);
    row.open.focus();
  }

  key(event, row) {
    if (event.key !== "Escape") return;
    event.preventDefault();
    this.shut(row);
  }

  /** The row goes when the switch itself says that the holder has let go. */
  async release(holder, row) {
    reveal(this.trouble, false);
    try {
      await ask("DELETE", callPath(this.callId, "payment"), { holder });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, "holders.failed");
      reveal(this.trouble, true);
      return;
    }
    if (this.rows.has(holder)) this.shut(row);
  }
}
