// One call of mine: what the desk knows of it, top to bottom in the order an advisor needs it.

import { CallerPanel, placed } from "./caller.js";
import { Closing } from "./closing.js";
import { ContactNote } from "./contact.js";
import { DataRequest } from "./data_request.js";
import { clock, el, reveal, say, show, showLine } from "./dom.js";
import { EarlierContacts } from "./earlier.js";
import { Greeting } from "./greeting.js";
import { PhoneControl } from "./phone.js";
import { Recording } from "./recording.js";

const SPOKEN = 100; // characters of a name that are read aloud

export class CallCard {
  /** `store(id, request)` stores the pop that the desk answers to a request. */
  constructor(pop, { announce, store, supervises, user, chime }) {
    this.announce = announce;
    this.line = el("h2", { class: "line-name", id: `line-${pop.call_id}`, dir: "auto", tabindex: "-1" });
    this.state = el("span", { class: "call-state" });
    this.time = el("span", { class: "call-time" });
    this.recording = new Recording(pop.call_id, { announce, supervises, user, chime });
    this.phone = new PhoneControl(pop.call_id, { announce, landing: () => this.line });
    this.caller = new CallerPanel(pop.call_id, store);
    this.earlier = new EarlierContacts(pop.call_id);
    this.caller.box.append(this.earlier.box);
    this.greeting = new Greeting();
    this.contact = new ContactNote(pop.call_id);
    this.closing = new Closing(pop.call_id, this.contact);
    this.request = new DataRequest(pop.call_id, { contact: this.contact, store });
    this.kept = el("p", { class: "kept" }, el("span", { t: "call.recording" }), el("code", { raw: "" }));
    this.foot = el("footer", {}, this.kept, this.closing.later, this.closing.button, this.closing.form);
    const head = el("header", {}, this.line, el("p", { class: "call-meta" }, this.state, this.time));
    this.box = el(
      "article",
      { class: "card call", "data-call": pop.call_id, "aria-labelledby": this.line.id },
      head,
      this.greeting.box,
      this.recording.box,
      this.phone.box,
      el("div", { class: "columns" }, this.caller.box, this.contact.box),
      this.request.box,
      this.foot,
    );
    this.box.addEventListener("focusin", ({ target }) => (this.last = target));
    this.box.addEventListener("submit", (event) => this.keepRequest(event), { capture: true });
  }

  /** Do not let the note or the reason for no note close a call while a request was not sent. */
  keepRequest(event) {
    const closes = this.over && [this.contact.form, this.closing.form].includes(event.target);
    if (!closes || !this.request.pending) return;
    event.preventDefault();
    event.stopPropagation();
    this.request.remind();
  }

  /** Take the focus, where it was when the card was last in sight. */
  focus() {
    (this.last?.getClientRects().length ? this.last : this.line).focus();
  }

  /** Take the focus at the top, where no key that is on its way can press anything. */
  focusHead() {
    this.line.focus();
  }

  /** `talks`: true if the advisor talks in this call, and so can confirm who is calling. */
  update(pop, known, now, talks) {
    const before = this.pop;
    this.pop = pop;
    this.box.dataset.state = pop.state;
    showLine(this.line, pop.line);
    say(this.state, `state.${pop.state}`);
    this.recording.update(pop, known, now);
    this.phone.update(pop, known);
    this.caller.update(pop, talks);
    this.earlier.update(pop);
    const over = pop.state === "wrapup" || pop.state === "ended";
    this.over = over;
    reveal(this.contact.box, pop.mine && !placed(pop) && (pop.state === "answered" || pop.state === "held" || over));
    this.contact.update(pop);
    this.request.update(pop);
    reveal(this.foot, over || Boolean(pop.recording_link));
    reveal(this.kept, Boolean(pop.recording_link));
    show(this.kept.lastChild, pop.call_id);
    this.tell(before, pop);
    this.tick(now);
  }

  /** Speak what a sighted advisor would notice by themselves. */
  tell(before, pop) {
    if (!before && pop.state === "ringing") this.announce("say.ringing", { line: pop.line }, { urgent: true });
    const changed = Boolean(before) && before.caller.position < pop.caller.position;
    if (changed) this.announce("caller.changed", {}, { urgent: true });
    if (!changed && before?.caller.status === pop.caller.status) return;
    if (pop.caller.status === "found") this.announce("say.found", { name: pop.caller.candidates[0]?.name.slice(0, SPOKEN) ?? "" });
    else if (before) this.announce(`caller.${pop.caller.status}`, { count: pop.caller.candidates.length });
  }

  tick(now) {
    const over = this.pop.state === "wrapup" || this.pop.state === "ended";
    // A note that is saved meanwhile needs no warning, and one that is only changed needs no reason.
    this.closing.offer(over && !(this.pop.contact_saved && this.pop.draft));
    show(this.time, over ? "" : clock(now - this.pop.since));
    this.greeting.update(this.pop, now);
    this.recording.tick(now);
  }
}
