// The alarms of supervisors and administrators: a list of what is open, where they handle it. Who has
// taken an alarm, and what has ended, the desk decides.

import { meaning, news } from "./alarms.js";
import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say, show } from "./dom.js";
import { has, translate } from "./i18n.js";
import { timeOf } from "./times.js";

const SEVERITIES = ["critical", "warning", "notice"];

/** The list of supervisors and administrators. `user` is the signed-in user. */
export class AlarmPanel {
  constructor({ user, role }) {
    this.user = user;
    this.role = role;
    this.rows = new Map(); // alarm id → row
    this.known = null; // the ids of the first snapshot, and of all alarms since
    this.title = el("h2", { id: "alarms-title", tabindex: "-1" });
    this.list = el("ul", { class: "alarm-list" });
    this.none = el("p", { class: "none", t: "alarms.none" });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.past = el("ul", { class: "alarm-past" });
    this.history = el(
      "details",
      { class: "alarm-history", on: { toggle: () => this.history.open && this.refresh() } },
      el("summary", { t: "alarms.today" }),
      this.past,
    );
    this.box = el(
      "section",
      { class: "card alarm-panel", "aria-labelledby": this.title.id },
      this.title,
      this.trouble,
      this.list,
      this.none,
      this.history,
    );
    this.count();
  }

  snapshot(alarms) {
    const ids = new Set(alarms.map((alarm) => alarm.id));
    for (const id of this.rows.keys()) if (!ids.has(id)) this.remove(id);
    const first = this.known === null;
    this.known ??= new Set();
    if (first && alarms.length) announce("alarms.open", { count: alarms.length });
    for (const alarm of alarms) {
      if (!first && !this.known.has(alarm.id)) news(alarm);
      this.put(alarm);
    }
    if (this.history.open) this.refresh();
  }

  raised(alarm) {
    if (!this.rows.has(alarm.id)) news(alarm);
    this.put(alarm);
  }

  changed(alarm) {
    if (alarm.state !== "closed") {
      this.put(alarm);
      return;
    }
    this.remove(alarm.id);
    if (this.history.open) this.refresh();
  }

  update() {} // the alarms of a call stay until they are handled

  put(alarm) {
    this.known?.add(alarm.id);
    const row = this.rows.get(alarm.id) ?? this.add(alarm);
    row.alarm = alarm;
    const { count, latest, taken_by: by, taken } = alarm;
    const mine = by === this.user;
    say(row.when, count > 1 ? "alarms.times" : "alarms.at", { time: timeOf(alarm.first), latest: timeOf(latest), count });
    show(row.detail, alarm.detail);
    reveal(row.detail, Boolean(alarm.detail));
    row.box.dataset.state = alarm.state;
    if (by) say(row.who, mine ? "alarms.mine" : "alarms.theirs", { name: by, time: timeOf(taken) });
    reveal(row.who, Boolean(by));
    this.offer(row, row.take, !by);
    this.offer(row, row.release, mine || (Boolean(by) && this.role === "admin"));
    this.count();
  }

  /** Show a button or hide it. One that has the focus gives it to the other one of its row. */
  offer(row, button, visible) {
    const focused = button === document.activeElement;
    reveal(button, visible);
    if (focused && !visible) row.close.focus();
  }

  add(alarm) {
    const row = { alarm };
    const id = `alarm-${alarm.id}`;
    row.when = el("span", {});
    row.detail = el("p", { class: "alarm-detail" });
    row.who = el("p", { class: "alarm-who", hidden: true });
    const text = el("p", { class: "alarm-means", id });
    say(text, ...meaning(alarm));
    const todo = el("p", {});
    const key = `alarm.${alarm.kind}.do`;
    if (has(key)) say(todo, key);
    reveal(todo, has(key));
    const act = (name) => el("button", { type: "button", "aria-describedby": id, t: `alarms.${name}`, on: { click: () => this.decide(row, name) } });
    row.take = act("take");
    row.release = act("release");
    row.close = el("button", { type: "button", class: "quiet", "aria-describedby": id, "aria-expanded": "false", t: "alarms.close", on: { click: () => this.ask(row, row.form.hidden) } });
    const label = `remark-${alarm.id}`;
    row.remark = el("input", { type: "text", id: label, maxlength: 200, autocomplete: "off" });
    const submit = (event) => {
      event.preventDefault();
      this.decide(row, "close", { remark: row.remark.value });
    };
    const shut = (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.ask(row, false);
    };
    row.form = el(
      "form",
      { class: "alarm-form", hidden: true, on: { submit, keydown: shut } },
      el("div", { class: "field" }, el("label", { for: label, t: "alarms.remark" }), row.remark),
      el("button", { type: "submit", "aria-describedby": id, t: "alarms.closenow" }),
    );
    const line = alarm.line ? el("span", { class: "badge", line: alarm.line }) : null;
    row.box = el(
      "li",
      { "data-severity": alarm.severity },
      el("p", { class: "alarm-head" }, el("strong", { class: "severity", t: `alarms.${alarm.severity}` }), row.when, line),
      text,
      todo,
      row.detail,
      row.who,
      el("div", { class: "buttons" }, row.take, row.release, row.close),
      row.form,
    );
    this.rows.set(alarm.id, row);
    this.list.insertBefore(row.box, this.after(alarm));
    translate(row.box);
    return row;
  }

  /** The element before which a new alarm belongs. No row ever moves. */
  after(alarm) {
    const rank = (each) => SEVERITIES.indexOf(each.severity);
    const later = [...this.rows.values()].filter(
      ({ alarm: each, box }) => box?.parentNode && (rank(each) > rank(alarm) || (rank(each) === rank(alarm) && each.first < alarm.first)),
    );
    const boxes = new Set(later.map(({ box }) => box));
    return [...this.list.children].find((box) => boxes.has(box)) ?? null;
  }

  remove(id) {
    const row = this.rows.get(id);
    if (!row) return;
    const focused = row.box.contains(document.activeElement);
    row.box.remove();
    this.rows.delete(id);
    this.count();
    if (focused) this.title.focus();
  }

  count() {
    say(this.title, "alarms.title", { count: this.rows.size });
    reveal(this.none, this.rows.size === 0);
  }

  ask(row, open) {
    reveal(row.form, open);
    row.close.setAttribute("aria-expanded", String(open));
    (open ? row.remark : row.close).focus();
  }

  /** The desk decides: the row changes when its answer comes, or the event that is sent to all. */
  async decide(row, action, body = {}) {
    reveal(this.trouble, false);
    try {
      this.changed(await ask("POST", `/alarms/${encodeURIComponent(row.alarm.id)}/${action}`, body));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const key = error.reason === "card_number" ? "search.card" : error.status === 409 ? "alarms.late" : "alarms.failed";
      say(this.trouble, key);
      reveal(this.trouble, true);
      if (error.status === 409) await this.refresh();
    }
  }

  /** Read the list again: who has taken what, and what was closed today. */
  async refresh() {
    let alarms;
    try {
      alarms = await ask("GET", "/alarms");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return; // the list stays as it is
    }
    for (const alarm of alarms) {
      if (alarm.state !== "closed") this.put(alarm);
      else this.remove(alarm.id);
    }
    const closed = alarms.filter((alarm) => alarm.state === "closed").sort((a, b) => b.closed - a.closed);
    this.past.replaceChildren(...closed.map((alarm) => this.closed(alarm)));
    if (!closed.length) this.past.append(el("li", { t: "alarms.nothing" }));
  }

  closed(alarm) {
    const text = el("span", {});
    say(text, ...meaning(alarm));
    const end = el("span", { class: "note" });
    const values = { name: alarm.closed_by, from: timeOf(alarm.first), time: timeOf(alarm.closed) };
    say(end, alarm.closed_by ? "alarms.closed" : "alarms.ended", values);
    const remark = alarm.remark ? el("q", { raw: alarm.remark }) : null;
    return el("li", {}, text, " ", end, remark && " ", remark);
  }
}
