// One user in the administrator's list, and what can be changed about them. Each change is based on
// the user's version that is shown: if another administrator was faster, the desk refuses it.

import { AskedButton } from "./admin_ask.js";
import { chosenRights, fillRights, idOf, sayRefusal } from "./admin_parts.js";
import { Secrets } from "./admin_secrets.js";
import { UserTokens } from "./admin_tokens.js";
import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say, show } from "./dom.js";
import { language, lineName, own, t, translate } from "./i18n.js";
import { momentOf } from "./times.js";

const PERSON_ROLES = ["advisor", "supervisor", "admin"];

/** The name of a user's team in the language of the page; "" for none. */
function teamName({ team }) {
  return own.teams.find(({ code }) => code === team)?.[language()] ?? team;
}

export class UserRow {
  /** `users` is the list. */
  constructor(users, user) {
    this.users = users;
    const id = `user-${idOf(user)}`;
    this.id = id;
    this.name = el("h3", { id, dir: "auto", raw: user.name });
    this.role = el("span", {});
    this.phone = el("span", { class: "phone" });
    this.state = el("span", { class: "user-state" });
    this.opener = el("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-describedby": id, t: "admin.change", on: { click: () => this.toggle() } });
    this.secrets = new Secrets(() => this.opener);
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.parts = el("div", { class: "user-parts" });
    this.panel = el("div", { class: "user-panel", hidden: true, on: { keydown: (event) => this.key(event) } }, this.secrets.box, this.trouble, this.parts);
    this.box = el("li", {}, el("div", { class: "user-head" }, this.name, this.role, this.phone, this.state, this.opener), this.panel);
    this.update(user);
  }

  /** The words by which the user is found. */
  words() {
    const { name, role, extension, lines } = this.user;
    return [name, teamName(this.user), t(`admin.role.${role}`), extension ?? "", ...lines, ...lines.map((line) => lineName(line))].join(" ");
  }

  update(user) {
    const focused = this.parts.contains(document.activeElement);
    const before = this.user;
    this.user = user;
    this.box.dataset.state = user.disabled ? "disabled" : "enabled";
    say(this.role, `admin.role.${user.role}`);
    if (user.extension) say(this.phone, "admin.has_extension", { extension: user.extension });
    else show(this.phone, "");
    this.state.replaceChildren(...this.badges());
    translate(this.state);
    const same = before?.version === user.version && before.second_factor === user.second_factor;
    if (this.panel.hidden || same) return;
    this.draw();
    if (focused) this.opener.focus();
  }

  badges() {
    const { name, disabled, signed_in: signedIn, role } = this.user;
    const found = [];
    if (name === this.users.me.user) found.push(el("span", { class: "badge", t: "admin.you" }));
    if (disabled) found.push(el("span", { class: "badge missing", t: "admin.disabled" }));
    else if (signedIn !== null) found.push(el("span", { class: "badge", t: "admin.signed_in" }));
    else if (role !== "machine") found.push(el("span", { class: "note", t: "admin.not_signed_in" }));
    return found;
  }

  toggle() {
    if (!this.panel.hidden) {
      this.forget();
      return;
    }
    this.opener.setAttribute("aria-expanded", "true");
    say(this.opener, "admin.shut");
    reveal(this.panel, true);
    this.draw();
  }

  key(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    this.forget();
    this.opener.focus();
  }

  /** Close the panel. No secret stays on the page. */
  forget() {
    this.opener.setAttribute("aria-expanded", "false");
    say(this.opener, "admin.change");
    reveal(this.panel, false);
    reveal(this.trouble, false);
    this.secrets.forget();
    this.parts.replaceChildren();
  }

  draw() {
    const own = this.user.name === this.users.me.user;
    const parts = own ? [el("p", { class: "note", t: "admin.own" })] : [this.roleForm(), this.teamForm(), this.rightsForm(), this.extensionForm(), this.access(), this.provider()];
    this.tokens = new UserTokens(this.user, this.users.rights, () => this.users.refresh());
    this.parts.replaceChildren(this.facts(), ...parts.filter(Boolean), this.tokens.box);
    translate(this.parts);
  }

  facts() {
    const { lines, language: own, signed_in: signedIn, subjects, extension, has_phone: hasPhone } = this.user;
    const fact = (name, value) => [el("dt", { t: `admin.fact.${name}` }), value];
    const rows = [...fact("language", el("dd", { t: `admin.language.${own}` }))];
    if (signedIn !== null) rows.push(...fact("signed_in", el("dd", { raw: momentOf(signedIn) })));
    if (this.user.second_factor) rows.push(...fact("second_factor", el("dd", { t: "admin.factor.yes" })));
    if (extension) rows.push(...fact("phone", el("dd", { t: hasPhone ? "admin.phone.yes" : "admin.phone.no" })));
    if (this.user.team) rows.push(...fact("team", el("dd", { dir: "auto", raw: teamName(this.user) })));
    if (lines.length) rows.push(...fact("lines", el("dd", { dir: "auto", raw: lines.map((line) => lineName(line)).join(", ") })));
    if (subjects.length && this.user.name === this.users.me.user) rows.push(...fact("account", el("dd", { class: "subject", raw: subjects.join(", ") })));
    return el("dl", { class: "details" }, ...rows);
  }

  roleForm() {
    if (this.user.role === "machine") return null;
    const id = `${this.id}-role`;
    const options = PERSON_ROLES.map((role) => el("option", { value: role, t: `admin.role.${role}` }));
    const select = el("select", { id }, ...options);
    select.value = this.user.role;
    const set = new AskedButton("set_role", { name: this.user.name }, () => this.change("role", { role: select.value }));
    const hint = this.user.subjects.length ? el("p", { class: "note", t: "admin.role.provider" }) : null;
    return this.part("admin.role", id, el("div", { class: "setting" }, select, set.button), set.ask, hint);
  }

  teamForm() {
    const { role, team } = this.user;
    if (role === "machine" || (!own.teams.length && !team)) return null;
    const id = `${this.id}-team`;
    const known = own.teams.some(({ code }) => code === team);
    const options = own.teams.map((each) => el("option", { value: each.code, raw: each[language()] }));
    if (team && !known) options.push(el("option", { value: team, raw: team }));
    const select = el("select", { id }, el("option", { value: "", t: "advisors.team.none" }), ...options);
    select.value = team;
    const set = el("button", { type: "button", class: "quiet", t: "admin.set_team", on: { click: () => this.change("team", { team: select.value }) } });
    return this.part("admin.team", id, el("div", { class: "setting" }, select, set));
  }

  rightsForm() {
    const offered = this.users.rights[this.user.role] ?? [];
    if (!offered.length) return null;
    const rights = el("fieldset", { class: "rights" });
    fillRights(rights, offered, this.user.rights);
    const submit = (event) => {
      event.preventDefault();
      this.change("rights", { rights: chosenRights(rights) });
    };
    return el("form", { class: "user-part", on: { submit } }, rights, el("div", { class: "buttons" }, el("button", { type: "submit", class: "quiet", t: "admin.set_rights" })));
  }

  extensionForm() {
    const id = `${this.id}-extension`;
    const input = el("input", { type: "text", id, maxlength: 32, autocomplete: "off", spellcheck: "false", value: this.user.extension ?? "" });
    const set = new AskedButton("set_extension", { name: this.user.name }, () => this.change("extension", { extension: input.value.trim() }));
    const field = el("div", { class: "setting" }, input, set.button);
    if (!this.user.extension) return this.part("admin.extension", id, field, set.ask);
    const sip = this.asked("sip_password", { sip_password: "new" });
    return this.part("admin.extension", id, field, set.ask, el("div", { class: "buttons" }, sip.button), sip.ask);
  }

  access() {
    const machine = this.user.role === "machine";
    const acts = [];
    if (!machine) acts.push(this.asked("password", { password: "new" }));
    if (this.user.second_factor) acts.push(this.asked("second_factor", { second_factor: false }));
    acts.push(this.user.disabled ? null : this.asked("disable", { disabled: true }), new AskedButton("remove", { name: this.user.name }, () => this.send("DELETE", "remove")));
    const enable = this.user.disabled ? el("button", { type: "button", class: "quiet", t: "admin.enable", on: { click: () => this.change("enable", { disabled: false }) } }) : null;
    const given = acts.filter(Boolean);
    return el(
      "div",
      { class: "user-part" },
      el("h4", { t: "admin.access" }),
      el("div", { class: "buttons" }, enable, ...given.map(({ button }) => button)),
      ...given.map(({ ask: question }) => question),
    );
  }

  provider() {
    const { issuer } = this.users;
    const { subjects, role, name } = this.user;
    if (role === "machine" || (!issuer && !subjects.length)) return null;
    const unlinks = subjects.map((subject) => new AskedButton("unlink", { name, subject }, () => this.change("unlink", { unlink: subject })));
    const id = `${this.id}-subject`;
    const input = el("input", { type: "text", id, maxlength: 255, autocomplete: "off", spellcheck: "false", dir: "ltr" });
    const link = new AskedButton("link", { name }, () => this.change("link", { link: input.value.trim() }));
    const linked = unlinks.map(({ button, ask: question }, number) => el("li", {}, el("span", { class: "subject", raw: subjects[number] }), button, question));
    return el(
      "div",
      { class: "user-part" },
      el("h4", { t: "admin.provider" }),
      linked.length ? el("ul", { class: "subjects" }, ...linked) : null,
      issuer ? el("div", { class: "field" }, el("label", { for: id, t: "admin.subject" }), el("div", { class: "setting" }, input, link.button), link.ask) : null,
    );
  }

  part(key, id, ...children) {
    return el("div", { class: "user-part" }, el("div", { class: "field" }, el("label", { for: id, t: key }), ...children.filter(Boolean)));
  }

  asked(name, values) {
    return new AskedButton(name, { name: this.user.name }, () => this.change(name, values));
  }

  /** Change these values of the user. `done` is the key of the announcement. */
  change(done, values) {
    return this.send("PATCH", done, values);
  }

  /** Send a request, and show the user after it, or why the desk has refused it. */
  async send(method, done, values = {}) {
    const { name, version } = this.user;
    reveal(this.trouble, false);
    this.secrets.forget();
    try {
      const answer = await ask(method, `/users/${encodeURIComponent(name)}`, { version, ...values });
      announce(`admin.done.${done}`, { name });
      if (answer) {
        this.update(answer.user);
        if (!this.secrets.show(answer)) this.opener.focus();
      } else await this.users.refresh();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 404 || error.reason === "changed") await this.users.refresh();
      sayRefusal(this.trouble, error);
    }
  }
}
