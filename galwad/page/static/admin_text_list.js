// One list of texts: its entries, where they come from, and the form that changes them. Each change
// is based on the version that is shown: if another administrator was faster, the desk refuses it.

import { AskedButton } from "./admin_ask.js";
import { TextForm } from "./admin_text_form.js";
import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { has, t, translate } from "./i18n.js";
import { momentOf } from "./times.js";

const LANGUAGES = ["en", "cy"];

/** The language that an entry lacks, "same" if it is the same in both, or null. */
export function lack(entry) {
  const empty = LANGUAGES.find((language) => !entry[language]);
  return empty ?? (entry.en === entry.cy ? "same" : null);
}

export class TextList {
  /** `data` is the list as the desk has it; `changed()` is called after each change. */
  constructor(data, changed) {
    this.changed = changed;
    this.name = data.name;
    const id = `admin-texts-${data.name}`;
    this.id = id;
    this.heading = el("h3", { id, tabindex: "-1", t: `admin.texts.${data.name}` });
    this.source = el("p", { class: "note" });
    this.none = el("p", { class: "none", t: "admin.texts.none" });
    this.rows = el("tbody");
    const heads = this.columns(data).map((name) => el("th", { scope: "col", t: `admin.texts.${name}` }));
    const table = el("table", { "aria-labelledby": id }, el("thead", {}, el("tr", {}, ...heads)), this.rows);
    this.table = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": id }, table);
    this.opener = el("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-describedby": id, t: "admin.change", on: { click: () => this.open() } });
    this.reset = new AskedButton(data.settings ? "texts_reset" : "texts_builtin", {}, () => this.useSettings());
    this.reset.button.setAttribute("aria-describedby", id);
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.form = new TextForm(this, { save: (entries) => this.save(entries), close: () => this.shut() });
    this.box = el(
      "div",
      { class: "text-list" },
      this.heading,
      this.source,
      this.none,
      this.table,
      this.form.box,
      this.trouble,
      el("div", { class: "buttons" }, this.opener, this.reset.button),
      this.reset.ask,
    );
    this.update(data);
  }

  columns({ name, fixed }) {
    if (name === "no_note_reasons") return LANGUAGES;
    return [...LANGUAGES, fixed ? "key" : `code.${name}`];
  }

  update(data) {
    this.data = data;
    this.source.replaceChildren(...this.origin());
    this.rows.replaceChildren(...data.entries.map((entry) => this.row(entry)));
    reveal(this.none, !data.entries.length);
    reveal(this.table, data.entries.length > 0);
    reveal(this.reset.button, !data.from_settings && this.name !== "teams");
    if (data.from_settings) reveal(this.reset.ask, false);
    reveal(this.opener, this.form.box.hidden && !(data.fixed && !data.entries.length));
    translate(this.box);
  }

  origin() {
    const { from_settings: initial, settings, changed, changed_by: user } = this.data;
    if (initial && this.name === "teams") return [el("span", { t: "admin.texts.teams.hint" })];
    if (initial && !settings) return [el("span", { t: "admin.texts.built_in" })];
    if (initial) return [el("span", { t: "admin.texts.from_settings" }), " ", el("code", { raw: settings })];
    const said = el("span");
    say(said, "admin.texts.changed_by", { user, time: momentOf(changed) });
    return [said];
  }

  row(entry) {
    const missing = lack(entry);
    const cells = LANGUAGES.map((language) =>
      missing === language ? el("td", {}, el("span", { class: "badge missing", t: "admin.texts.lacks" })) : el("td", { lang: language, raw: entry[language] }),
    );
    if (missing === "same") cells[1].append(" ", el("span", { class: "badge missing", t: "admin.texts.same" }));
    if (this.columns(this.data).length > 2) cells.push(el("td", {}, el("code", { raw: entry.code })));
    return el("tr", {}, ...cells);
  }

  open() {
    this.based = this.data.version;
    reveal(this.trouble, false);
    reveal(this.opener, false);
    this.form.open(this.data);
  }

  shut() {
    reveal(this.form.box, false);
    reveal(this.trouble, false);
    reveal(this.opener, true);
    this.opener.focus();
  }

  async save(entries) {
    const data = await this.request("PUT", { version: this.based, entries });
    if (!data) return;
    this.shut();
    announce("admin.texts.say.saved", { list: t(`admin.texts.${this.name}`) });
  }

  async useSettings() {
    const data = await this.request("DELETE", { version: this.data.version });
    if (!data) return;
    reveal(this.reset.ask, false);
    this.heading.focus();
    announce("admin.texts.say.reset", { list: t(`admin.texts.${this.name}`) });
  }

  /** Change the list on the desk, and show the new one; null if the desk has refused the change. */
  async request(method, body) {
    delete this.trouble.dataset.t; // so that a second refusal is announced like the first
    this.trouble.textContent = "";
    reveal(this.trouble, false);
    try {
      const data = await ask(method, `/texts/${this.name}`, body);
      this.update(data);
      this.changed();
      return data;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      await this.refused(error);
      return null;
    }
  }

  /** Say why the desk has refused a change. What was typed stays, and can be saved over the new list. */
  async refused(error) {
    const known = `admin.texts.refused.${error.reason}`;
    if (error.status === 409) await this.look();
    if (has(known)) say(this.trouble, known);
    else say(this.trouble, error.status === 422 ? "admin.refused.invalid" : "error.notsent");
    reveal(this.trouble, true);
  }

  /** Show the list as another administrator has left it: the next change is based on that. */
  async look() {
    try {
      this.update(await ask("GET", `/texts/${this.name}`));
      this.based = this.data.version;
      this.changed();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }
}
