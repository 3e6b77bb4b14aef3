// A page for administrators about numbered entries, such as legal holds: the list, one entry in detail, and
// the form for a new one. The desk enters in its audit that they were read.

import { ApiError, ask } from "./api.js";
import { el, reveal } from "./dom.js";
import { plain } from "./timeline.js";

const STYLES = new URL("./retention.css", import.meta.url);

export class RegisterPage {
  /**
   * `me` is the administrator; `onClose()` goes back to the calls. `name` is in the keys of the texts and in the
   * path of the API; `over` is the parameter of the API with which the list also has what is over.
   */
  constructor(me, onClose, { name, over, columns, idOf, cellsOf, Detail, New }) {
    this.me = me.user;
    this.path = `/${name}`;
    this.over = over;
    this.state = null; // what the desk has answered
    this.chosen = null; // the number of the entry that is shown in detail
    this.title = el("h1", { tabindex: "-1", t: `admin.${name}.title` });
    this.trouble = el("p", { class: "warning", role: "alert", t: "admin.not_read", hidden: true });
    this.list = new RegisterList(this, { name, over, columns, idOf, cellsOf });
    this.detail = new Detail(this);
    this.sections = [this.list, this.detail, new New(this)];
    this.content = el("div", { class: "sections", hidden: true }, ...this.sections.map(({ box }) => box));
    this.box = el(
      "div",
      { class: "admin retention" },
      el("link", { rel: "stylesheet", href: STYLES.href }),
      el("header", {}, this.title, el("button", { type: "button", class: "quiet", t: "door.close", on: { click: onClose } })),
      this.trouble,
      this.content,
    );
  }

  start() {
    if (this.started) return;
    this.started = true;
    this.title.focus();
    this.refresh();
  }

  stop() {
    this.started = false;
  }

  /** Read everything again; whether it is shown. Only the newest answer counts. */
  async refresh() {
    const turn = {};
    this.turn = turn;
    const { chosen } = this;
    try {
      const [{ rows }, { users }, shown] = await Promise.all([
        ask("GET", `${this.path}?${this.over}=${this.list.isOverToo.checked}`),
        ask("GET", "/users"),
        chosen && ask("GET", `${this.path}/${chosen}`),
      ]);
      if (this.turn !== turn) return false;
      const owners = users.filter(({ role, disabled }) => role === "admin" && !disabled).map(({ name }) => name);
      this.state = { rows, owners, shown };
      this.render();
      reveal(this.trouble, false);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.turn === turn) reveal(this.trouble, true);
      return false;
    }
  }

  /** Show an entry in detail, and go there. */
  async choose(number) {
    this.chosen = number;
    this.detail.leave();
    await this.refresh();
    if (this.detail.number === number) this.detail.title.focus();
  }

  /** Show everything in the language of the page. */
  render() {
    if (!this.state) return;
    for (const section of this.sections) section.render(this.state);
    reveal(this.content, true);
  }
}

class RegisterList {
  constructor(page, { name, over, columns, idOf, cellsOf }) {
    this.page = page;
    this.idOf = idOf;
    this.cellsOf = cellsOf;
    const title = el("h2", { id: `${name}-list`, t: `admin.${name}.list` });
    this.isOverToo = el("input", { type: "checkbox", on: { change: () => page.refresh() } });
    this.none = el("p", { class: "none", t: `admin.${name}.none` });
    this.body = el("tbody");
    const heads = columns.map((column) => el("th", { scope: "col", t: `admin.${name}.${column}` }));
    const table = el("table", { "aria-labelledby": title.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.table = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": title.id }, table);
    this.buttons = new Map(); // by the number of the entry
    this.box = el(
      "section",
      { class: "card", "aria-labelledby": title.id },
      title,
      el("label", {}, this.isOverToo, " ", el("span", { t: `admin.${name}.${over}_too` })),
      this.none,
      this.table,
    );
  }

  render({ rows, owners }) {
    const focused = [...this.buttons].find(([, button]) => button === document.activeElement)?.[0];
    this.buttons = new Map(rows.map((entry) => [this.idOf(entry), this.button(entry)]));
    this.body.replaceChildren(...rows.map((entry) => this.row(entry, owners)));
    reveal(this.table, rows.length > 0);
    reveal(this.none, rows.length === 0);
    if (focused !== undefined) (this.buttons.get(focused) ?? this.page.title).focus();
  }

  button(entry) {
    const number = this.idOf(entry);
    const text = plain(`${number}: ${entry.reference}`);
    return el("button", { type: "button", class: "quiet", raw: text, on: { click: () => this.page.choose(number) } });
  }

  row(entry, owners) {
    const name = el("th", { scope: "row" }, this.buttons.get(this.idOf(entry)));
    return el("tr", {}, name, ...this.cellsOf(entry, owners));
  }
}
