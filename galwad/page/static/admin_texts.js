// The lists of texts that people choose from, in both languages. A change counts at once, on all
// open pages.

import { TextList, lack } from "./admin_text_list.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { translate } from "./i18n.js";

export class Texts {
  constructor() {
    this.lists = new Map(); // name → TextList
    this.title = el("h2", { id: "admin-texts-title", t: "admin.texts" });
    this.missing = el("p", { class: "warning", hidden: true });
    this.trouble = el("p", { class: "warning", role: "alert", t: "admin.not_read", hidden: true });
    this.groups = el("div", { class: "text-groups" });
    this.box = el(
      "section",
      { class: "card admin-texts", "aria-labelledby": this.title.id },
      this.title,
      el("p", { class: "note", t: "admin.texts.hint" }),
      this.trouble,
      this.missing,
      this.groups,
    );
  }

  async refresh() {
    try {
      const found = await ask("GET", "/texts");
      for (const data of found) this.take(data);
      reveal(this.trouble, false);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      reveal(this.trouble, true);
    }
  }

  /** Show a list as the desk has it. What is typed into its form stays. */
  take(data) {
    const list = this.lists.get(data.name);
    if (list) list.update(data);
    else {
      const added = new TextList(data, () => this.count());
      this.lists.set(data.name, added);
      this.groups.append(added.box);
      translate(added.box);
    }
    this.count();
  }

  count() {
    const entries = [...this.lists.values()].flatMap(({ data }) => data.entries);
    const count = entries.filter((entry) => lack(entry)).length;
    say(this.missing, "admin.texts.missing", { count });
    reveal(this.missing, count > 0);
  }
}
