// The administrator's list of users, and the form for a new one.

import { chosenRights, fillRights, sayRefusal } from "./admin_parts.js";
import { Secrets } from "./admin_secrets.js";
import { UserRow } from "./admin_user.js";
import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal } from "./dom.js";
import { language } from "./i18n.js";

const ROLES = ["advisor", "supervisor", "admin", "machine"];

export class AdminUsers {
  constructor(me) {
    this.me = me;
    this.rows = new Map(); // name → UserRow
    this.rights = {};
    this.issuer = null;
    this.title = el("h2", { id: "admin-users-title", tabindex: "-1", t: "admin.users" });
    this.trouble = el("p", { class: "warning", role: "alert", t: "admin.not_read", hidden: true });
    this.filter = el("input", { type: "text", id: "admin-filter", autocomplete: "off", spellcheck: "false", on: { input: () => this.sift() } });
    this.adder = el("button", { type: "button", "aria-expanded": "false", t: "admin.add", on: { click: () => this.openForm(this.form.hidden) } });
    this.secrets = new Secrets(() => this.adder);
    this.form = this.newUserForm();
    this.none = el("p", { class: "none", hidden: true, t: "admin.no_user" });
    this.list = el("ul", { class: "users", "aria-labelledby": this.title.id });
    this.box = el(
      "section",
      { class: "card admin-users", "aria-labelledby": this.title.id },
      this.title,
      el("div", { class: "search" }, el("div", { class: "field" }, el("label", { for: this.filter.id, t: "admin.filter" }), this.filter), this.adder),
      this.form,
      this.secrets.box,
      this.trouble,
      this.none,
      this.list,
    );
  }

  async refresh() {
    try {
      const { users, rights, issuer } = await ask("GET", "/users");
      this.rights = rights;
      this.issuer = issuer;
      this.draw(users);
      reveal(this.trouble, false);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      reveal(this.trouble, true);
    }
  }

  draw(users) {
    const names = new Set(users.map((user) => user.name));
    for (const [name, row] of this.rows) {
      if (names.has(name)) continue;
      if (row.box.contains(document.activeElement)) this.title.focus();
      row.box.remove();
      this.rows.delete(name);
    }
    for (const [place, user] of users.entries()) {
      let row = this.rows.get(user.name);
      if (row) row.update(user);
      else {
        row = new UserRow(this, user);
        this.rows.set(user.name, row);
      }
      const there = this.list.children[place] ?? null;
      if (there !== row.box) this.list.insertBefore(row.box, there); // a row that moves loses the focus
    }
    this.sift();
  }

  /** Show the users whose name, role, extension or line has the text in the field. */
  sift() {
    const sought = this.filter.value.trim().toLocaleLowerCase(language());
    let shown = 0;
    for (const row of this.rows.values()) {
      const fits = row.words().toLocaleLowerCase(language()).includes(sought);
      reveal(row.box, fits);
      shown += fits;
    }
    reveal(this.none, shown === 0 && this.rows.size > 0);
  }

  /** Take what the desk answered to a change of a user. */
  changed(user) {
    this.rows.get(user.name)?.update(user);
  }

  /** No secret stays on the page. */
  forget() {
    this.secrets.forget();
    this.openForm(false, { quietly: true });
    for (const row of this.rows.values()) row.forget();
  }

  newUserForm() {
    this.name = el("input", { type: "text", id: "admin-name", required: true, maxlength: 64, autocomplete: "off", spellcheck: "false", "aria-describedby": "admin-name-hint" });
    this.role = el("select", { id: "admin-role", on: { change: () => this.offerRights() } }, ...ROLES.map((role) => el("option", { value: role, t: `admin.role.${role}` })));
    this.extension = el("input", { type: "text", id: "admin-extension", maxlength: 32, autocomplete: "off", spellcheck: "false" });
    this.language = el("select", { id: "admin-language" }, ...["en", "cy"].map((each) => el("option", { value: each, t: `admin.language.${each}` })));
    this.newRights = el("fieldset", { class: "rights", hidden: true });
    this.problem = el("p", { class: "problem", role: "alert" });
    const keydown = (event) => event.key === "Escape" && this.openForm(false);
    return el(
      "form",
      { class: "new-user", hidden: true, on: { submit: (event) => this.add(event), keydown } },
      el("h3", { t: "admin.add.title" }),
      el(
        "div",
        { class: "pair" },
        el("div", { class: "field" }, el("label", { for: this.name.id, t: "admin.name" }), this.name, el("p", { class: "note", id: "admin-name-hint", t: "admin.name.hint" })),
        el("div", { class: "field" }, el("label", { for: this.role.id, t: "admin.role" }), this.role),
        el("div", { class: "field" }, el("label", { for: this.extension.id, t: "admin.extension.optional" }), this.extension),
        el("div", { class: "field" }, el("label", { for: this.language.id, t: "admin.language" }), this.language),
      ),
      this.newRights,
      el("p", { class: "note", t: "admin.add.hint" }),
      this.problem,
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "submit", class: "primary", t: "admin.add.submit" }),
        el("button", { type: "button", class: "quiet", t: "admin.no", on: { click: () => this.openForm(false) } }),
      ),
    );
  }

  offerRights() {
    fillRights(this.newRights, this.rights[this.role.value] ?? [], []);
  }

  openForm(open, { quietly = false } = {}) {
    this.adder.setAttribute("aria-expanded", String(open));
    reveal(this.form, open);
    this.unsay();
    if (!open) this.form.reset();
    if (open) this.offerRights();
    if (!quietly) (open ? this.name : this.adder).focus();
  }

  unsay() {
    delete this.problem.dataset.t; // so that a second refusal is announced like the first
    this.problem.textContent = "";
  }

  async add(event) {
    event.preventDefault();
    this.unsay();
    try {
      const answer = await ask("POST", "/users", {
        name: this.name.value.trim(),
        role: this.role.value,
        extension: this.extension.value.trim(),
        language: this.language.value,
        rights: chosenRights(this.newRights),
      });
      this.openForm(false);
      announce("admin.done.add", { name: answer.user.name });
      this.secrets.show(answer);
      await this.refresh();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      sayRefusal(this.problem, error);
    }
  }
}
