// The texts that an installation sets itself, in both languages, and where. They are changed in the
// settings file, not here.

import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";

const KINDS = ["line", "purpose", "break", "no_note"];
const LANGUAGES = ["en", "cy"];

export class Texts {
  constructor() {
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
      this.draw(await ask("GET", "/texts"));
      reveal(this.trouble, false);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      reveal(this.trouble, true);
    }
  }

  draw(texts) {
    const count = texts.filter((text) => lack(text)).length;
    say(this.missing, "admin.texts.missing", { count });
    reveal(this.missing, count > 0);
    this.groups.replaceChildren(...KINDS.map((kind) => group(kind, texts.filter((text) => text.kind === kind))));
  }
}

/** The language that a text lacks, "same" if it is the same in both, or null. */
function lack(text) {
  const empty = LANGUAGES.find((language) => !text[language]);
  return empty ?? (text.en === text.cy ? "same" : null);
}

function group(kind, texts) {
  const id = `admin-texts-${kind}`;
  const heading = el("h3", { id, t: `admin.texts.${kind}` });
  if (!texts.length) return el("div", {}, heading, el("p", { class: "none", t: "admin.texts.none" }));
  const heads = ["en", "cy", "where"].map((name) => el("th", { scope: "col", t: `admin.texts.${name}` }));
  const table = el("table", { "aria-labelledby": id }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...texts.map(row)));
  return el("div", {}, heading, el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": id }, table));
}

function row(text) {
  const missing = lack(text);
  const cells = LANGUAGES.map((language) =>
    missing === language ? el("td", {}, el("span", { class: "badge missing", t: "admin.texts.lacks" })) : el("td", { lang: language, raw: text[language] }),
  );
  if (missing === "same") cells[1].append(" ", el("span", { class: "badge missing", t: "admin.texts.same" }));
  return el("tr", {}, ...cells, el("td", {}, ...place(text)));
}

function place({ table, number, keys }) {
  if (!table) return [el("span", { t: "admin.texts.built_in" })];
  const position = el("span", {});
  say(position, "admin.texts.number", { number });
  return [el("code", { raw: `[[${table}]]` }), " ", position, " ", el("code", { raw: keys.join(", ") })];
}
