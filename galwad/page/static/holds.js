// Legal holds: the list of the cases for which recordings are retained, one case in detail, and the form
// that opens a case. The desk enters in its audit that they were read.

import { ApiError, ask } from "./api.js";
import { el, reveal } from "./dom.js";
import { HoldDetail, ownerOf, reviewOf } from "./hold_detail.js";
import { NewHold } from "./hold_forms.js";
import { t } from "./i18n.js";
import { cell } from "./retention_parts.js";
import { plain } from "./timeline.js";
import { dateOf } from "./times.js";

const STYLES = new URL("./retention.css", import.meta.url);
const COLUMNS = ["hold", "reason", "owner", "review", "recordings", "state"];

export class Holds {
  /** `me` is the administrator; `onClose()` goes back to the calls. */
  constructor(me, onClose) {
    this.me = me.user;
    this.state = null; // what the desk has answered
    this.chosen = null; // the number of the hold that is shown in detail
    this.title = el("h1", { tabindex: "-1", t: "admin.holds.title" });
    this.trouble = el("p", { class: "warning", role: "alert", t: "admin.not_read", hidden: true });
    this.list = new HoldList(this);
    this.detail = new HoldDetail(this);
    this.sections = [this.list, this.detail, new NewHold(this)];
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
        ask("GET", `/holds?released=${this.list.released.checked}`),
        ask("GET", "/users"),
        chosen && ask("GET", `/holds/${chosen}`),
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

  /** Show a hold in detail, and go there. */
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

class HoldList {
  constructor(page) {
    this.page = page;
    const title = el("h2", { id: "holds-list", t: "admin.holds.list" });
    this.released = el("input", { type: "checkbox", on: { change: () => page.refresh() } });
    this.none = el("p", { class: "none", t: "admin.holds.none" });
    this.body = el("tbody");
    const heads = COLUMNS.map((name) => el("th", { scope: "col", t: `admin.holds.${name}` }));
    const table = el("table", { "aria-labelledby": title.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.table = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": title.id }, table);
    this.buttons = new Map(); // by the number of the hold
    this.box = el(
      "section",
      { class: "card", "aria-labelledby": title.id },
      title,
      el("label", {}, this.released, " ", el("span", { t: "admin.holds.released_too" })),
      this.none,
      this.table,
    );
  }

  render({ rows, owners }) {
    this.owners = owners;
    const focused = [...this.buttons].find(([, button]) => button === document.activeElement)?.[0];
    this.buttons = new Map(rows.map((hold) => [hold.hold_id, this.button(hold)]));
    this.body.replaceChildren(...rows.map((hold) => this.row(hold)));
    reveal(this.table, rows.length > 0);
    reveal(this.none, rows.length === 0);
    if (focused !== undefined) (this.buttons.get(focused) ?? this.page.title).focus();
  }

  button({ hold_id: number, reference }) {
    const text = plain(`${number}: ${reference}`);
    return el("button", { type: "button", class: "quiet", raw: text, on: { click: () => this.page.choose(number) } });
  }

  row(hold) {
    const name = el("th", { scope: "row" }, this.buttons.get(hold.hold_id));
    return el("tr", {}, name, cell(plain(hold.reason)), cell(ownerOf(hold)), cell(reviewOf(hold)), cell(hold.recordings), cell(stateOf(hold, this.owners)));
  }
}

/** The state of a hold. A request of a person who is no longer an administrator does not count. */
function stateOf({ released, number, asked_by: user }, owners) {
  if (released !== null) return t("admin.holds.state.released", { day: dateOf(released) });
  const parts = [];
  if (owners.includes(user)) parts.push(t("admin.holds.state.asked", { user }));
  if (number) parts.push(t("admin.holds.state.future", { number: plain(number) }));
  return parts.join(" ") || t("admin.holds.state.open");
}
