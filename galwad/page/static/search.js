// The search for a caller by a name, a postcode or a reference. Those found become candidates.

import { announce } from "./announce.js";
import { ApiError, ask, callPath } from "./api.js";
import { el, reveal, say } from "./dom.js";

/** Whether a directory can be searched by a text; the desk says so. */
export const search = { offered: false };

const REFUSALS = { 409: "search.confirmed", 422: "search.short", 429: "search.limit" };

export class CallerSearch {
  constructor(callId) {
    this.callId = callId;
    const id = `search-${callId}`;
    this.text = el("input", { type: "text", id, required: true, minlength: 2, maxlength: 100, autocomplete: "off" });
    this.outcome = el("p", { class: "note", hidden: true });
    this.box = el(
      "form",
      { class: "search", role: "search", autocomplete: "off", hidden: true, on: { submit: (event) => this.submit(event), input: () => reveal(this.outcome, false) } },
      el("div", { class: "field" }, el("label", { for: id, t: "search.label" }), this.text),
      el("button", { type: "submit", t: "search.submit" }),
      this.outcome,
    );
  }

  /** Offer the search, or not, because the caller is known or the call is another advisor's. */
  offer(possible, position) {
    reveal(this.box, possible && search.offered);
    if (possible && position === this.position) return;
    this.position = position; // what was found for an earlier caller is no news of this one
    this.text.value = "";
    reveal(this.outcome, false);
  }

  async submit(event) {
    event.preventDefault();
    try {
      const { found, failed } = await ask("POST", callPath(this.callId, "search"), { text: this.text.value });
      const key = found ? "search.found" : failed.length ? "search.failed" : "search.none";
      this.tell(key, { count: found });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.tell(error.reason === "card_number" ? "search.card" : (REFUSALS[error.status] ?? "error.notsent"));
    }
  }

  tell(key, values = {}) {
    say(this.outcome, key, values);
    reveal(this.outcome, true);
    announce(key, values);
  }
}
