// The register of requests by people about their data, and of complaints: the list with the deadlines,
// one case in detail, and the form that opens a case.

import { ask } from "./api.js";
import { CaseDetail, dueOf, stateOf } from "./case_detail.js";
import { Busy, dayOf, fieldsOf, refuseCase } from "./case_parts.js";
import { el, reveal } from "./dom.js";
import { t } from "./i18n.js";
import { RegisterPage } from "./register.js";
import { cell } from "./retention_parts.js";
import { plain } from "./timeline.js";
import { isoDayOf } from "./times.js";

const KINDS = ["access", "rectification", "erasure", "restriction", "portability", "objection", "complaint"];
const CHANNELS = ["telephone", "letter", "email", "in-person", "online"];
const LANGUAGES = ["cy", "en"];

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

const CASES = {
  name: "cases",
  over: "closed",
  columns: ["case", "kind", "person", "received", "due", "owner", "state"],
  idOf: (each) => each.case_id,
  cellsOf: (each) => [
    cell(t(`admin.cases.kind.${each.kind}`)),
    cell(plain(each.name)),
    cell(dayOf(each.received)),
    cell(dueOf(each) && dayOf(dueOf(each))),
    cell(each.owner || t("admin.cases.owner.none")),
    cell(stateOf(each)),
  ],
  Detail: CaseDetail,
  New: NewCase,
};

export class Cases extends RegisterPage {
  constructor(me, onClose) {
    super(me, onClose, CASES);
  }
}
