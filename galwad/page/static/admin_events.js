// The administrator's table of call events that the receiver of webhooks does not have.

import { clock, el, say, show } from "./dom.js";
import { Undelivered } from "./undelivered.js";

const KINDS = ["ringing", "answered", "paused", "resumed", "transferred", "ended", "sealed"];

export class UndeliveredEvents extends Undelivered {
  constructor() {
    super({ name: "events", path: "/webhooks", columns: ["event", "call", "age", "state", "reason", "decision"] });
  }

  keyOf(event) {
    return event.id;
  }

  idOf(event) {
    return event.id;
  }

  cells(event, row) {
    const kind = el("th", { scope: "row" });
    if (KINDS.includes(event.kind)) say(kind, `events.kind.${event.kind}`);
    else show(kind, event.kind);
    row.age = el("td");
    return [kind, el("td", { raw: event.call_id }), row.age];
  }

  draw(event, row) {
    show(row.age, clock(Date.now() / 1000 - event.created));
    super.draw(event, row);
  }

  decidable(event) {
    return event.state === "waiting";
  }
}
