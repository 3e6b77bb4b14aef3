// The register of requests by people about their data, and of complaints: the list with the deadlines,
// one case in detail, and the form that opens a case. The desk enters in its audit that they were read.

import { ApiError, ask } from "./api.js";
import { CaseDetail, dueOf, stateOf } from "./case_detail.js";
import { Busy, dayOf, fieldsOf, refuseCase } from "./case_parts.js";
import { el, reveal } from "./dom.js";
import { t } from "./i18n.js";
import { cell } from "./retention_parts.js";
import { plain } from "./timeline.js";
import { isoDayOf } from "./times.js";

const STYLES = new URL("./retention.css", import.meta.url);
const COLUMNS = ["case", "kind", "person", "received", "due", "owner", "state"];
const KINDS = ["access", "rectification", "erasure", "restriction", "portability", "objection", "complaint"];
const CHANNELS = ["telephone", "letter", "email", "in-person", "online"];
const LANGUAGES = ["cy", "en"];

export class Cases {
  /** `me` is the administrator; `onClose()` goes back to the calls. */
  constructor(me, onClose) {
    this.me = me.user;
    this.state = null; // what the desk has answered
    this.chosen = null; // the number of the case that is shown in detail
    this.title = el("h1", { tabindex: "-1", t: "admin.cases.title" });
    this.trouble = el("p", { class: "warning", role: "alert", t: "admin.not_read", hidden: true });
    this.list = new CaseList(this);
    this.detail = new CaseDetail(this);
    this.sections = [this.list, this.detail, new NewCase(this)];
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
        ask("GET", `/cases?closed=${this.list.closed.checked}`),
        ask("GET", "/users"),
        chosen && ask("GET", `/cases/${chosen}`),
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

  /** Show a case in detail, and go there. */
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

class CaseList {
  constructor(page) {
    this.page = page;
    const title = el("h2", { id: "cases-list", t: "admin.cases.list" });
    this.closed = el("input", { type: "checkbox", on: { change: () => page.refresh() } });
    this.none = el("p", { class: "none", t: "admin.cases.none" });
    this.body = el("tbody");
    const heads = COLUMNS.map((name) => el("th", { scope: "col", t: `admin.cases.${name}` }));
    const table = el("table", { "aria-labelledby": title.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.table = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": title.id }, table);
    this.buttons = new Map(); // by the number of the case
    this.box = el(
      "section",
      { class: "card", "aria-labelledby": title.id },
      title,
      el("label", {}, this.closed, " ", el("span", { t: "admin.cases.closed_too" })),
      this.none,
      this.table,
    );
  }

  render({ rows }) {
    const focused = [...this.buttons].find(([, button]) => button === document.activeElement)?.[0];
    this.buttons = new Map(rows.map((each) => [each.case_id, this.button(each)]));
    this.body.replaceChildren(...rows.map((each) => this.row(each)));
    reveal(this.table, rows.length > 0);
    reveal(this.none, rows.length === 0);
    if (focused !== undefined) (this.buttons.get(focused) ?? this.page.title).focus();
  }

  button({ case_id: number, reference }) {
    const text = plain(`${number}: ${reference}`);
    return el("button", { type: "button", class: "quiet", raw: text, on: { click: () => this.page.choose(number) } });
  }

  row(each) {
    const due = dueOf(each);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, this.buttons.get(each.case_id)),
      cell(t(`admin.cases.kind.${each.kind}`)),
      cell(plain(each.name)),
      cell(dayOf(each.received)),
      cell(due ? dayOf(due) : ""),
      cell(each.owner),
      cell(stateOf(each)),
    );
  }
}

/** The form that opens a case. */
class NewCase {
  constructor(page) {
    this.page = page;
    const title = el("h2", { id: "cases-new", t: "admin.cases.new" });
    const text = (most = 200) => el("input", { type: "text", maxlength: most, autocomplete: "off" });
    this.inputs = {
      kind: el("select", { required: true }),
      reference: text(),
      name: text(),
      language: el("select", { required: true }),
      received: el("input", { type: "date", required: true }),
      channel: el("select", { required: true }),
      call_id: text(24),
      owner: el("select", { required: true }),
      representative: text(),
      authority: text(),
    };
    this.inputs.reference.required = this.inputs.name.required = true;
    this.details = el("textarea", { rows: 3, maxlength: 2000, autocomplete: "off" });
    this.trouble = el("p", { class: "problem", role: "alert", hidden: true });
    this.submit = new Busy("submit", "admin.cases.new.submit");
    this.form = el(
      "form",
      { autocomplete: "off", on: { submit: (event) => this.send(event) } },
      el("p", { class: "note", t: "admin.cases.new.hint" }),
      el("div", { class: "pair" }, ...fieldsOf("cases-new", this.inputs)),
      ...fieldsOf("cases-new", { details: this.details }),
      this.trouble,
      el("div", { class: "buttons" }, this.submit.button),
    );
    this.box = el("section", { class: "card", "aria-labelledby": title.id }, title, this.form);
  }

  render({ owners }) {
    const { kind, language, channel, owner, received } = this.inputs;
    const offer = (select, values, nameOf, chosen) => {
      const before = select.value || chosen;
      select.replaceChildren(...values.map((value) => el("option", { value, raw: nameOf(value) })));
      select.value = before;
    };
    offer(kind, KINDS, (value) => t(`admin.cases.kind.${value}`), "access");
    offer(language, LANGUAGES, (value) => t(`admin.cases.language.${value}`), "cy");
    offer(channel, CHANNELS, (value) => t(`admin.cases.channel.${value}`), "telephone");
    offer(owner, owners, (value) => value, this.page.me);
    received.max = isoDayOf(Date.now() / 1000);
    received.value ||= received.max;
  }

  send(event) {
    event.preventDefault();
    reveal(this.trouble, false);
    for (const input of this.form.querySelectorAll("input[type=text], textarea")) input.value = input.value.trim();
    if (!this.form.reportValidity()) return;
    const given = Object.fromEntries(Object.entries(this.inputs).map(([name, { value }]) => [name, value]));
    const body = { ...given, details: this.details.value };
    if (!body.call_id) delete body.call_id;
    this.submit.run(() => this.open(body));
  }

  async open(body) {
    const { chosen } = this.page;
    try {
      const { case: opened } = await ask("POST", "/cases", body);
      this.form.reset();
      for (const name of ["received", "owner"]) this.inputs[name].value = ""; // today and the user are offered again
      if (this.page.chosen === chosen) await this.page.choose(opened.case_id);
      else await this.page.refresh(); // another case was opened meanwhile
      this.page.detail.tell(opened.case_id, "admin.cases.say.opened", { number: opened.case_id });
    } catch (error) {
      await this.page.refresh(); // the desk may have opened it before the connection ended
      refuseCase(this.trouble, error, "admin.cases.refused.changed");
    }
  }
}
