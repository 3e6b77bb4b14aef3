// The parts that the sections of the page about requests share: fields, dates, a button that is busy while
// its request runs, and why the desk has refused something.

import { sayRefusal } from "./admin_parts.js";
import { ApiError } from "./api.js";
import { busily, el, reveal, say } from "./dom.js";
import { field } from "./hold_forms.js";
import { dateOf } from "./times.js";

const NOON = "T12:00:00Z"; // at which the day is the same in the zones of the centre

/** A day of the register, such as "2026-12-03", in words. */
export function dayOf(day) {
  return dateOf(Date.parse(day + NOON) / 1000);
}

/** The fields of a form, each with its label. */
export function fieldsOf(id, inputs) {
  return Object.entries(inputs).map(([name, input]) => field(`${id}-${name}`, `admin.cases.${name}`, input));
}

/** A button that sends once at a time. */
export class Busy {
  constructor(type, key, act = null) {
    this.button = el("button", { type, t: key, ...(act ? { on: { click: () => this.run(act) } } : {}) });
  }

  run(act) {
    busily(this.button, act);
  }
}

/** Say why the desk has refused something. `conflict` is the key of the text for a conflict. */
export function refuseCase(node, error, conflict) {
  if (!(error instanceof ApiError)) throw error;
  const keys = { 0: "unclear", 404: "unknown", 409: null, 422: "invalid" };
  if (error.reason || !(error.status in keys)) sayRefusal(node, error);
  else say(node, keys[error.status] ? `admin.cases.refused.${keys[error.status]}` : conflict);
  reveal(node, true);
}
