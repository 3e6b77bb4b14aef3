// For supervisors: how many contact notes the desk has closed because they were not saved.

import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";

const REFRESH_MS = 300_000;

export class ClosedNotes {
  constructor() {
    const title = el("h2", { t: "closed_notes.title" });
    this.list = el("ul", {});
    this.box = el("section", { class: "card closed-notes", hidden: true }, title, this.list);
  }

  /** Show the list, and keep it up to date until `stop`. */
  start() {
    this.timer = setInterval(() => this.refresh(), REFRESH_MS);
    return this.refresh();
  }

  stop() {
    clearInterval(this.timer);
  }

  async refresh() {
    try {
      this.update(await ask("GET", "/contacts/closed"));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the list stays as it is
    }
  }

  update(advisors) {
    this.list.replaceChildren(
      ...advisors.map((each) => {
        const row = el("li", {});
        say(row, "closed_notes.advisor", each);
        return row;
      }),
    );
    reveal(this.box, advisors.length > 0);
  }
}
