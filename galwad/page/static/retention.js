// How long recordings are kept: the rules in force, rules that wait for approval, what is due, and a
// clock in doubt. The desk enters in its audit that the plan was read.

import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { ClockInDoubt } from "./retention_clock.js";
import { CategoryTable, cell, numberOf, wordsOf } from "./retention_parts.js";
import { DisposalRun } from "./retention_run.js";
import { WaitingRules } from "./retention_waiting.js";
import { dateOf } from "./times.js";

const DAYS = [7, 30, 90, 365];
const DAY_S = 86_400;
const STYLES = new URL("./retention.css", import.meta.url);

export class Retention {
  /** `me` is the administrator; `onClose()` goes back to the calls. */
  constructor(me, onClose) {
    this.me = me.user;
    this.state = null; // what the desk has answered, and when
    this.title = el("h1", { tabindex: "-1", t: "admin.retention.title" });
    this.trouble = el("p", { class: "warning", role: "alert", t: "admin.not_read", hidden: true });
    this.noRight = el("p", { class: "note", t: "admin.retention.no_right" });
    this.plan = new DisposalPlan(this);
    this.sections = [new ClockInDoubt(this), new RulesInForce(), new WaitingRules(this), this.plan];
    this.content = el("div", { class: "sections", hidden: true }, this.noRight, ...this.sections.map(({ box }) => box));
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

  /** The part is left: the desk is asked to dispose of nothing more. */
  stop() {
    this.started = false;
    this.plan.run.stop();
  }

  /** Read everything again. Only the newest answer counts. */
  async refresh() {
    const turn = {};
    this.turn = turn;
    const days = Number(this.plan.days.value);
    try {
      const [plan, { users }] = await Promise.all([ask("GET", `/retention?days=${days}`), ask("GET", "/users")]);
      if (this.turn !== turn) return;
      const own = users.find(({ name }) => name === this.me);
      this.state = {
        plan,
        me: this.me,
        mayPurge: Boolean(own?.rights.includes("purge")),
        serverTime: plan.until - days * DAY_S,
        ownTime: Date.now() / 1000,
      };
      this.render();
      reveal(this.trouble, false);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (this.turn === turn) reveal(this.trouble, true);
    }
  }

  /** Show everything in the language of the page. */
  render() {
    if (!this.state) return;
    for (const section of this.sections) section.render(this.state);
    reveal(this.noRight, !this.state.mayPurge);
    reveal(this.content, true);
  }
}

class RulesInForce {
  constructor() {
    const title = el("h2", { id: "retention-rules", t: "admin.retention.rules" });
    this.version = el("p", {});
    this.table = new CategoryTable(title, ["keep", "from", "minimum", "applies", "recordings"]);
    this.former = el("p", {});
    const hint = el("p", { class: "note", t: "admin.retention.rules.hint" });
    this.box = el("section", { class: "card", "aria-labelledby": title.id }, title, this.version, this.table.box, this.former, hint);
  }

  render({ plan }) {
    const { in_force: inForce, kept } = plan;
    if (inForce) say(this.version, "admin.retention.rules.version", { version: inForce.version, day: dateOf(inForce.in_force) });
    else say(this.version, "admin.retention.rules.none");
    const counts = new Map(kept.map(({ category, recordings }) => [category, recordings]));
    const rules = inForce?.rules ?? [];
    this.table.fill(rules.map((rule) => [rule.category, ...Object.values(wordsOf(rule)).map(cell), cell(counts.get(rule.category) ?? 0)]));
    for (const { category } of rules) counts.delete(category);
    const former = [...counts.values()].reduce((sum, count) => sum + count, 0);
    say(this.former, "admin.retention.rules.former", { count: numberOf(former) });
    reveal(this.former, former > 0);
  }
}

class DisposalPlan {
  constructor(page) {
    this.run = new DisposalRun(page);
    const title = el("h2", { id: "retention-plan", t: "admin.retention.plan" });
    const options = DAYS.map((count) => {
      const option = el("option", { value: count, selected: count === 30 });
      say(option, "admin.retention.day.other", { count });
      return option;
    });
    this.days = el("select", { id: "retention-days", on: { change: () => page.refresh() } }, ...options);
    this.none = el("p", { class: "none" });
    this.table = new CategoryTable(title, ["due", "first", "retained", "restricted", "incidents"]);
    this.box = el(
      "section",
      { class: "card", "aria-labelledby": title.id },
      title,
      el("p", { class: "note", t: "admin.retention.plan.hint" }),
      el("div", { class: "field" }, el("label", { for: this.days.id, t: "admin.retention.plan.days" }), this.days),
      this.none,
      this.table.box,
      this.run.box,
    );
  }

  render(state) {
    const { due, until } = state.plan;
    const cells = ({ recordings, first, retained, restricted, incidents }) => [recordings, dateOf(first), retained, restricted, incidents].map(cell);
    this.table.fill(due.map((each) => [each.category, ...cells(each)]));
    say(this.none, "admin.retention.plan.none", { day: dateOf(until) });
    reveal(this.none, due.length === 0);
    this.run.render(state);
  }
}
