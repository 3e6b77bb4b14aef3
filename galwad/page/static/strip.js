// The further calls, one button each: always in sight, and a click or a key shows the call in full.

import { clock, el, reveal, say, show, showLine } from "./dom.js";
import { shownState } from "./recording.js";
import { inOrder } from "./slots.js";

export const NEXT_KEY = "F4";

/** Return the name that is known of a caller: of the one who was chosen, or of the only candidate. */
export function callerName({ candidates, chosen }) {
  const known = candidates.find((one) => one.person_id === chosen) ?? (candidates.length === 1 ? candidates[0] : null);
  return known?.name ?? "";
}

export class CallStrip {
  /** `choose(id)` shows a call in full. */
  constructor(choose) {
    this.choose = choose;
    this.buttons = new Map(); // call id → its button's parts
    this.next = null; // the id of the call that the key shows
    this.label = el("p", { class: "strip-label" });
    this.list = el("ul", {});
    this.box = el("section", { class: "strip", "data-t-label": "strip.label", hidden: true }, this.label, this.list);
  }

  /** List `pops` without the call that is `shown` in full. */
  update(pops, shown, known, now) {
    const further = inOrder(pops.filter((pop) => pop.call_id !== shown));
    const ids = further.map((pop) => pop.call_id);
    for (const [id, { box }] of this.buttons) {
      if (ids.includes(id)) continue;
      const lost = box.contains(document.activeElement);
      box.remove();
      this.buttons.delete(id);
      if (lost) document.getElementById("main").focus();
    }
    this.next = following(pops, shown);
    for (const pop of further) this.draw(pop, known, now);
    const boxes = ids.map((id) => this.buttons.get(id).box);
    if (boxes.some((box, place) => this.list.children[place] !== box)) this.order(boxes);
    const ringing = further.filter((pop) => pop.state === "ringing").length;
    say(this.label, ringing ? "strip.more.ringing" : "strip.more", { count: ringing || further.length });
    reveal(this.box, further.length > 0);
  }

  /** Put the buttons in order. Moving a button takes its focus away, so it gets it back. */
  order(boxes) {
    const focused = document.activeElement;
    this.list.replaceChildren(...boxes);
    if (this.list.contains(focused)) focused.focus();
  }

  draw(pop, known, now) {
    const parts = this.buttons.get(pop.call_id) ?? this.add(pop.call_id);
    this.buttons.set(pop.call_id, parts);
    parts.pop = pop;
    parts.button.dataset.state = pop.state;
    say(parts.state, pop.state === "wrapup" ? "strip.wrapup" : `state.${pop.state}`);
    show(parts.number, pop.called ?? pop.caller.number_display ?? "");
    show(parts.name, callerName(pop.caller));
    showLine(parts.line, pop.line);
    const live = pop.state === "answered" || pop.state === "held";
    const state = shownState(pop, known);
    parts.mark.dataset.state = state;
    say(parts.mark, `rec.${state}`);
    reveal(parts.mark, live);
    const next = pop.call_id === this.next;
    reveal(parts.key, next);
    if (next) parts.button.setAttribute("aria-keyshortcuts", NEXT_KEY);
    else parts.button.removeAttribute("aria-keyshortcuts");
    this.tickOne(parts, now);
  }

  add(id) {
    const parts = {
      state: el("span", { class: "state" }),
      time: el("span", { class: "time" }),
      number: el("bdi", { class: "number" }),
      name: el("bdi", { class: "name" }),
      line: el("bdi", { class: "line" }),
      mark: el("span", { class: "mark" }),
      key: el("kbd", { raw: NEXT_KEY }),
    };
    parts.button = el("button", { type: "button", on: { click: () => this.choose(id) } }, ...separated(Object.values(parts)));
    parts.box = el("li", { "data-call": id }, parts.button);
    return parts;
  }

  tick(now) {
    for (const parts of this.buttons.values()) this.tickOne(parts, now);
  }

  tickOne({ pop, time }, now) {
    const over = pop.state === "wrapup" || pop.state === "ended";
    show(time, over ? "" : clock(now - pop.since));
  }

  /** Show the next call if this is its key. */
  key(event) {
    if (event.key !== NEXT_KEY || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.repeat) return;
    if (!this.next) return;
    event.preventDefault();
    this.choose(this.next);
  }
}

/** The call after the one that is shown, the first one after the last. */
function following(pops, shown) {
  const ids = [...pops].sort((a, b) => a.started - b.started).map((pop) => pop.call_id);
  const next = ids[(ids.indexOf(shown) + 1) % ids.length];
  return next === shown ? null : (next ?? null);
}

/** Put a space between parts, which a screen reader would otherwise read as one word. */
function separated(parts) {
  return parts.flatMap((part) => [part, " "]);
}
