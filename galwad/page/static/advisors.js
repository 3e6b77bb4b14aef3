// The supervisor's table of advisors: who can take a call, since when, and whose phone is registered.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { clock, el, reveal, say, show, showLine } from "./dom.js";
import { language, own, t } from "./i18n.js";
import { breaks, forgottenBreak, reasonName, shownPresence } from "./presence.js";

const COLUMNS = ["name", "extension", "state", "reason", "phone", "line", "action"];
const ORDER = ["break", "wrap_up", "on_call", "no_phone", "available", "offline"];

const ALL = "";
const NO_TEAM = "-"; // no team has this code
const KEPT = "galwad.team";

/** The team that was chosen on this machine before; all, if there is none. */
function keptTeam() {
  try {
    return localStorage.getItem(KEPT) ?? ALL;
  } catch {
    return ALL; // storage may be barred; the choice then lasts as long as the page
  }
}

function keepTeam(code) {
  try {
    localStorage.setItem(KEPT, code);
  } catch {
    return; // as above
  }
}

/** The code of the team of a presence: one that is listed, or `NO_TEAM`. */
function teamOf({ team }) {
  return own.teams.some(({ code }) => code === team) ? team : NO_TEAM;
}

function teamName(code) {
  const found = own.teams.find((team) => team.code === code);
  return found ? found[language()] : t("advisors.team.none");
}

/** Who is away comes first, the longest first; who is offline comes last. */
function inOrder(one, other) {
  const rank = (presence) => ORDER.indexOf(presence.state);
  const offline = one.state === "offline" && other.state === "offline";
  return rank(one) - rank(other) || (offline ? 0 : one.since - other.since) || one.user.localeCompare(other.user);
}

export class Advisors {
  /** `store(user, request)` stores the presence that the desk answers to a request. */
  constructor(store) {
    this.store = store;
    this.rows = new Map(); // user → row
    const title = el("h2", { t: "advisors.title", id: "advisors-title", tabindex: "-1" });
    this.title = title;
    this.counts = el("p", { class: "note" });
    this.groups = new Map(); // code of a team → group of rows
    this.chosen = keptTeam();
    this.select = el("select", { id: "advisors-team", on: { change: () => this.chooseTeam() } });
    this.choice = el("div", { class: "team-choice", hidden: true }, el("label", { for: this.select.id, t: "advisors.team" }), this.select);
    const heads = COLUMNS.map((name) => el("th", { scope: "col", t: `advisors.${name}` }));
    this.all = el("table", { "aria-labelledby": title.id }, el("thead", {}, el("tr", {}, ...heads)));
    this.table = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": title.id }, this.all);
    this.trouble = el("p", { class: "warning", role: "alert", t: "error.notsent", hidden: true });
    this.box = el("section", { class: "card overview advisors", "aria-labelledby": title.id, hidden: true }, title, this.choice, this.counts, this.trouble, this.table);
  }

  update(presences, known, now) {
    this.again = () => this.update(presences, known, now);
    const users = new Set(presences.map((presence) => presence.user));
    for (const [user, row] of this.rows) {
      if (users.has(user)) continue;
      if (row.box.contains(document.activeElement)) this.title.focus();
      row.box.remove();
      this.rows.delete(user);
    }
    const teams = this.group(presences);
    const shown = teams.includes(this.chosen) ? [this.chosen] : teams;
    for (const presence of presences) this.row(presence, known, now);
    this.sort(presences, teams);
    for (const [code, group] of this.groups) {
      show(group.name, teamName(code));
      this.count(group.counts, presences.filter((each) => teamOf(each) === code), known);
      reveal(group.body, shown.includes(code) || group.body.contains(document.activeElement));
    }
    this.offer(teams);
    this.count(this.counts, presences.filter((each) => shown.includes(teamOf(each))), known);
    reveal(this.box, presences.length > 0);
  }

  count(node, presences, known) {
    const count = (state) => presences.filter((presence) => presence.state === state).length;
    if (known) say(node, "advisors.counts", Object.fromEntries(ORDER.map((state) => [state, count(state)])));
    reveal(node, known);
  }

  /** Make the groups of rows, one for each team, and return the codes of their teams in order. */
  group(presences) {
    const teams = own.teams.map(({ code }) => code);
    if (!teams.length || presences.some((each) => teamOf(each) === NO_TEAM)) teams.push(NO_TEAM);
    for (const code of teams) {
      if (this.groups.has(code)) continue;
      const name = el("strong");
      const counts = el("span", { class: "note" });
      const head = el("tr", { class: "team" }, el("th", { scope: "rowgroup", colspan: COLUMNS.length }, name, " ", counts));
      this.groups.set(code, { name, counts, head, body: el("tbody") });
    }
    return teams;
  }

  /** Offer the teams, if there are any, and keep the choice. */
  offer(teams) {
    reveal(this.choice, own.teams.length > 0);
    const options = [[ALL, t("advisors.team.all")], ...teams.map((code) => [code, teamName(code)])];
    const said = JSON.stringify(options);
    if (this.offered === said) return;
    this.offered = said;
    this.select.replaceChildren(...options.map(([value, name]) => el("option", { value, raw: name })));
    this.select.value = teams.includes(this.chosen) ? this.chosen : ALL;
  }

  /** Show only the advisors of the chosen team, also the next time. */
  chooseTeam() {
    this.chosen = this.select.value;
    keepTeam(this.chosen);
    this.again();
  }

  /** Put the rows in order, but never move a row under somebody's hand. */
  sort(presences, teams) {
    const bodies = [...this.groups.values()].map(({ body }) => body);
    if (bodies.some((body) => body.contains(document.activeElement) || body.matches(":hover"))) return;
    const sorted = [...presences].sort(inOrder);
    for (const code of teams) {
      const { head, body } = this.groups.get(code);
      const boxes = sorted.filter((each) => teamOf(each) === code).map(({ user }) => this.rows.get(user).box);
      const wanted = own.teams.length ? [head, ...boxes] : boxes;
      if (wanted.length !== body.children.length || wanted.some((box, index) => box !== body.children[index])) body.replaceChildren(...wanted);
    }
    const ordered = teams.map((code) => this.groups.get(code).body);
    const [, ...present] = this.all.children;
    if (ordered.length !== present.length || ordered.some((body, index) => body !== present[index])) this.all.replaceChildren(this.all.tHead, ...ordered);
    for (const code of this.groups.keys()) {
      if (!teams.includes(code)) this.groups.delete(code);
    }
  }

  row(presence, known, now) {
    let row = this.rows.get(presence.user);
    if (!row) {
      row = this.add(presence.user);
      this.rows.set(presence.user, row);
      const { body } = this.groups.get(teamOf(presence));
      if (!body.isConnected) this.all.append(body);
      body.append(row.box);
    }
    const state = shownPresence(presence, known);
    row.presence = presence;
    row.status.dataset.state = state;
    show(row.extension, presence.extension ?? "");
    say(row.word, `presence.${state}`);
    show(row.time, known ? clock(now - presence.since) : "");
    reveal(row.late, known && forgottenBreak(presence, now));
    show(row.why, presence.on_break ? reasonName(presence.reason) : "");
    if (presence.devices === null || !known) say(row.registered, "advisors.unknown");
    else say(row.registered, presence.devices ? (presence.devices > 1 ? "advisors.devices" : "advisors.registered") : "advisors.unregistered", { count: presence.devices });
    const absent = presence.state === "offline" ? "offline" : "false";
    row.phone.dataset.registered = presence.devices === null || !known ? "unknown" : presence.devices ? "true" : absent;
    reveal(row.nopage, !presence.page && presence.state !== "offline");
    showLine(row.line, presence.line);
    const key = presence.on_break || presence.state === "wrap_up" ? "advisors.back" : "advisors.leave";
    say(row.button, key);
    if (presence.on_break) reveal(row.form, false);
  }

  add(user) {
    const row = { word: el("strong"), time: el("span", { class: "time" }), late: el("span", { class: "late", t: "advisors.long" }) };
    row.status = el("span", { class: "status" }, row.word, row.time);
    row.registered = el("span", { class: "registered" });
    row.nopage = el("span", { class: "note", t: "advisors.nopage" });
    row.button = el("button", { type: "button", class: "quiet", "aria-describedby": `advisor-${user}`, on: { click: () => this.press(row) } });
    const id = `break-of-${user}`;
    row.select = el("select", { id });
    row.form = el(
      "form",
      { class: "setting", hidden: true, on: { submit: (event) => this.submit(event, row) } },
      el("label", { for: id, class: "unseen", t: "presence.why" }),
      row.select,
      el("button", { type: "submit", class: "primary", t: "advisors.set" }),
    );
    row.name = el("th", { scope: "row", id: `advisor-${user}`, raw: user });
    row.extension = el("td");
    row.state = el("td", {}, row.status, row.late);
    row.why = el("span");
    row.reason = el("td", {}, row.why);
    row.phone = el("td", {}, row.registered, row.nopage);
    row.line = el("td");
    row.action = el("td", {}, row.button, row.form);
    row.box = el("tr", {}, ...COLUMNS.map((name) => row[name]));
    return row;
  }

  press(row) {
    const { on_break: onBreak, state } = row.presence;
    if (onBreak || state === "wrap_up") return this.choose(row, "available");
    if (!breaks.reasons.length) return this.choose(row, "break");
    row.select.replaceChildren(...breaks.reasons.map(({ code }) => el("option", { value: code, raw: reasonName(code) })));
    reveal(row.form, row.form.hidden);
    if (!row.form.hidden) row.select.focus();
  }

  submit(event, row) {
    event.preventDefault();
    return this.choose(row, "break", row.select.value);
  }

  async choose(row, state, reason = "") {
    const { user } = row.presence;
    try {
      await this.store(user, ask("PUT", `/presence/${encodeURIComponent(user)}`, { state, reason }));
      reveal(this.trouble, false);
      reveal(row.form, false);
      row.button.focus();
      announce(state === "break" ? "advisors.say.break" : "advisors.say.available", { user });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      reveal(this.trouble, true);
    }
  }
}
