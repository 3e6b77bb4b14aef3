// For supervisors: how many contact notes the desk has closed because they were not saved.

import { el, reveal, say } from "./dom.js";
import { RefreshedList } from "./refreshed_list.js";

const REFRESH_MS = 300_000;

export class ClosedNotes extends RefreshedList {
  constructor() {
    super("/contacts/closed", REFRESH_MS);
    const title = el("h2", { t: "closed_notes.title" });
    this.list = el("ul", {});
    this.box = el("section", { class: "card closed-notes", hidden: true }, title, this.list);
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
