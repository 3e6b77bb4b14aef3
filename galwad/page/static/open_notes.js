// The list "Notes to write": calls whose time for a wrap-up is over, one line each. The desk says
// when that is; a card in which somebody is at work stays. Lines open again, by hand or by key.

import { announce } from "./announce.js";
import { NOTE_KEY } from "./contact.js";
import { el, reveal, say, show, showLine } from "./dom.js";
import { timeOf } from "./times.js";
import { talkedIn } from "./slots.js";

export class OpenNotes {
  /** `show(id)` shows the cards again after a change here, and this call's card in full if there is an id. */
  constructor(show) {
    this.show = show;
    this.cards = new Map();
    this.rows = new Map(); // call id → row
    this.chosen = new Map(); // call id → true: in the list, false: open; until the page is loaded again
    const title = el("h2", { t: "open_notes.title" });
    this.list = el("ul", {});
    this.box = el("section", { class: "card open-notes", hidden: true }, title, this.list);
  }

  /** Show each call as a card or as a line; returns the pops of those that are cards. */
  update(cards, now) {
    this.cards = cards;
    this.now = now;
    const open = [];
    for (const id of [...this.rows.keys(), ...this.chosen.keys()]) {
      if (!cards.has(id)) this.drop(id);
    }
    for (const [id, card] of cards) {
      card.closing.onLater ??= () => this.collapse(id);
      const listed = this.isListed(card);
      if (listed) this.row(card);
      else if (this.rows.has(id)) this.drop(id, { keep: true });
      card.closing.offerLater(card.pop.state === "wrapup");
      if (!listed) open.push(card.pop);
    }
    reveal(this.box, this.rows.size > 0);
    return open;
  }

  isListed(card) {
    const { call_id: id, state, wrap_up_until: until } = card.pop;
    if (state !== "wrapup") return false;
    if (this.chosen.has(id)) return this.chosen.get(id);
    if (this.rows.has(id)) return true;
    const over = typeof until === "number" && this.now >= until;
    return over && !card.contact.busy && !card.box.contains(document.activeElement);
  }

  row(card) {
    const pop = card.pop;
    let row = this.rows.get(pop.call_id);
    if (!row) {
      row = this.add(card);
      this.rows.set(pop.call_id, row);
      this.list.append(row.box);
    }
    const caller = pop.caller;
    const person = caller.candidates.find((one) => one.person_id === caller.chosen);
    show(row.time, timeOf(pop.started));
    row.time.setAttribute("datetime", new Date(pop.started * 1000).toISOString());
    showLine(row.line, pop.line);
    if (caller.number_display) show(row.number, caller.number_display);
    else say(row.number, caller.status === "withheld" ? "open_notes.withheld" : "open_notes.unknown");
    show(row.name, caller.name ?? person?.name ?? "");
    reveal(row.draft, Boolean(pop.draft));
    reveal(row.close, !pop.contact_saved);
  }

  add(card) {
    const id = card.pop.call_id;
    const row = {
      time: el("time", {}),
      line: el("span", { class: "line" }),
      number: el("span", { class: "number" }),
      name: el("bdi", { class: "name" }),
      draft: el("span", { class: "badge", t: "open_notes.draft" }),
    };
    const who = el("span", { class: "who", id: `who-${id}` }, row.time, row.number, row.name, row.line, row.draft);
    const button = (key, act) =>
      el("button", { type: "button", class: "quiet", t: key, id: `${key}-${id}`, "aria-labelledby": `${key}-${id} ${who.id}`, on: { click: act } });
    row.open = button("open_notes.open", () => this.expand(id));
    row.close = button("call.close", () => {
      this.expand(id);
      card.closing.open();
    });
    row.box = el("li", { "data-call": id }, who, el("span", { class: "buttons" }, row.open, row.close));
    return row;
  }

  /** Take a line away; the focus that was in it goes on with the call, or to the next line. */
  drop(id, { keep = false } = {}) {
    const row = this.rows.get(id);
    if (!keep) this.chosen.delete(id);
    if (!row) return;
    const focused = row.box.contains(document.activeElement);
    row.box.remove();
    this.rows.delete(id);
    if (!focused || keep) return;
    (this.rows.values().next().value?.open ?? document.getElementById("main")).focus();
  }

  expand(id) {
    this.chosen.set(id, false);
    this.show(id);
    this.cards.get(id).contact.purpose.focus();
  }

  collapse(id) {
    this.chosen.set(id, true);
    this.show(null);
    this.rows.get(id).open.focus();
    announce("open_notes.moved");
  }

  /** The key goes to the note of the call that is talked in, else of another in progress, else of the newest that has ended; again: to the next. */
  onKey(event) {
    if (event.key !== NOTE_KEY || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.repeat) return;
    const heard = talkedIn([...this.cards.values()].map(({ pop }) => pop));
    const order = [...this.cards.values()]
      .filter(({ contact }) => !contact.box.hidden)
      .sort((a, b) => (b.pop === heard) - (a.pop === heard) || (a.pop.state === "wrapup") - (b.pop.state === "wrapup") || b.pop.since - a.pop.since);
    if (!order.length) return;
    event.preventDefault();
    const here = order.findIndex(({ contact }) => contact.box.contains(document.activeElement));
    this.expand(order[(here + 1) % order.length].pop.call_id);
  }
}
