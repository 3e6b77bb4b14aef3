// The earlier contacts of a confirmed caller, from Galwad's own notes and from directories such as a
// CRM: a quiet list that opens. It is read only when it is opened, because each reading is audited.

import { ApiError, ask, callPath } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { dateOf } from "./times.js";

export class EarlierContacts {
  constructor(callId) {
    this.callId = callId;
    this.status = el("p", { class: "note", role: "status" });
    this.failed = el("p", { class: "note", role: "status" });
    this.list = el("ul", {});
    const toggle = () => this.box.open && this.read();
    this.box = el(
      "details",
      { class: "earlier", hidden: true, on: { toggle } },
      el("summary", { t: "earlier.title" }),
      this.status,
      this.failed,
      this.list,
    );
  }

  /** What was read about one caller must not be seen beside another. */
  update({ caller, mine }) {
    const person = mine && caller.confirmed ? `${caller.position} ${caller.chosen}` : null;
    if (person !== this.person) {
      this.person = person;
      this.box.open = false;
      this.clear();
    }
    reveal(this.box, person !== null);
  }

  async read() {
    const { person } = this;
    this.clear();
    say(this.status, "earlier.reading");
    try {
      const found = await ask("GET", callPath(this.callId, "earlier"));
      if (person === this.person) this.show(found);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (person === this.person) say(this.status, "earlier.failed");
    }
  }

  clear() {
    this.list.replaceChildren();
    this.failed.replaceChildren();
    delete this.failed.dataset.t;
  }

  show({ contacts, failed }) {
    const none = failed.length ? "earlier.none_known" : "earlier.none";
    say(this.status, contacts.length ? "earlier.newest" : none);
    if (failed.length) say(this.failed, "earlier.missing", { names: failed.join(", ") });
    this.list.replaceChildren(...contacts.map(row));
  }
}

function row(contact) {
  const day = dateOf(contact.started);
  const facts = [
    el("time", { raw: day, datetime: new Date(contact.started * 1000).toISOString() }),
    el("strong", { raw: contact.purpose }),
    el("span", { class: "line", ...(contact.directory ? { raw: contact.directory } : { line: contact.line }) }),
  ];
  const outcome = contact.outcome ? el("p", { raw: contact.outcome }) : null;
  const text = contact.notes
    ? el("details", {}, el("summary", { t: "earlier.text" }), el("p", { class: "text", raw: contact.notes }))
    : null;
  return el("li", {}, el("p", { class: "facts" }, ...facts), outcome, text);
}
