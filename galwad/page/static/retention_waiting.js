// The version of the rules that waits for approval: how it differs from the rules in force, its effect
// on the recordings, and the approval, which is offered once this effect is shown.

import { AskedButton } from "./admin_ask.js";
import { announce } from "./announce.js";
import { ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { t } from "./i18n.js";
import { CategoryTable, cell, numberOf, refuse, wordsOf } from "./retention_parts.js";
import { actorOf } from "./timeline.js";
import { dateOf } from "./times.js";

const COUNTS = ["earlier", "later", "due"];

export class WaitingRules {
  /** `page` is the page about retention. */
  constructor(page) {
    this.page = page;
    this.title = el("h2", { id: "retention-waiting", tabindex: "-1" });
    this.why = el("p", {});
    this.approvals = el("p", { class: "approvals" });
    const compared = el("h3", { id: "retention-compared", t: "admin.retention.compared" });
    this.rules = new CategoryTable(compared, ["change", "keep", "from", "minimum", "applies"]);
    const effect = el("h3", { id: "retention-effect", t: "admin.retention.effect" });
    this.effect = new CategoryTable(effect, ["recordings", "earlier", "later", "at_once"]);
    this.shower = el("button", { type: "button", t: "admin.retention.effect.show", on: { click: () => this.preview() } });
    this.approval = new AskedButton("retention.approve", {}, () => this.approve());
    this.section = el(
      "section",
      { class: "card", "aria-labelledby": this.title.id },
      this.title,
      this.why,
      this.approvals,
      compared,
      this.rules.box,
      effect,
      el("p", { class: "note", t: "admin.retention.effect.hint" }),
      this.effect.box,
      el("div", { class: "buttons" }, this.shower, this.approval.button),
      this.approval.ask,
    );
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.box = el("div", { class: "sections" }, this.section, this.trouble);
    this.found = null; // the effect of a version of the rules
  }

  render({ plan, me, mayPurge }) {
    const { waiting, in_force: inForce } = plan;
    if (this.found?.version !== waiting?.version) this.found = null;
    const own = this.approver(plan) === me;
    const offered = Boolean(this.found) && mayPurge && !own;
    reveal(this.section, Boolean(waiting));
    reveal(this.approval.button, offered);
    if (!offered) reveal(this.approval.ask, false);
    if (!waiting) return;
    say(this.title, "admin.retention.waiting", { version: waiting.version });
    say(this.why, "admin.retention.waiting.why", { day: dateOf(waiting.stored) });
    const approved = own ? "own" : waiting.approved_by ? "first" : "none";
    say(this.approvals, `admin.retention.approved.${approved}`, { user: this.approver(plan) });
    this.rules.fill(compared(inForce?.rules ?? [], waiting.rules));
    const categories = this.found?.categories ?? [];
    this.effect.fill(categories.map((each) => [each.category, ...["recordings", ...COUNTS].map((name) => cell(each[name]))]));
  }

  /** The name of the first administrator who has approved the version that waits; "" if none has. */
  approver({ waiting }) {
    return waiting?.approved_by ? actorOf(waiting.approved_by) : "";
  }

  /** Ask the desk for the effect of the version that waits. */
  async preview() {
    if (this.shower.getAttribute("aria-busy") === "true") return;
    const { version } = this.page.state.plan.waiting;
    reveal(this.trouble, false);
    this.shower.setAttribute("aria-busy", "true");
    try {
      const found = await ask("GET", "/retention/preview");
      if (found.version === version) this.show(found);
      else await this.changed(version);
    } catch (error) {
      await refuse(this.trouble, error);
    } finally {
      this.shower.setAttribute("aria-busy", "false");
    }
  }

  show(found) {
    const { version } = found;
    this.found = found;
    const counts = COUNTS.map((name) => [name, numberOf(found.categories.reduce((sum, each) => sum + each[name], 0))]);
    say(this.approval.question, "admin.ask.retention.approve", { version, ...Object.fromEntries(counts) });
    this.render(this.page.state);
    announce("admin.retention.say.effect", { version });
  }

  /** Show the present state, because the version that was shown does not wait any more. */
  async changed(version) {
    await this.page.refresh();
    say(this.trouble, "admin.retention.refused.gone", { version });
    reveal(this.trouble, true);
    this.page.title.focus();
  }

  async approve() {
    const { version } = this.found;
    reveal(this.trouble, false);
    this.approval.shut();
    try {
      const { in_force: inForce } = await ask("POST", "/retention/approve", { version });
      announce(inForce ? "admin.retention.say.in_force" : "admin.retention.say.approved", { version });
      await this.page.refresh();
    } catch (error) {
      await refuse(this.trouble, error, () => this.conflict(version), { version });
    }
    if (this.section.hidden) this.page.title.focus();
    else if (this.approval.button.hidden) this.title.focus();
  }

  /** The key of the reason for which the desk has refused an approval. The present state says it. */
  async conflict(version) {
    await this.page.refresh();
    const { plan, me } = this.page.state;
    if (plan.waiting?.version !== version) return "admin.retention.refused.gone";
    return this.approver(plan) === me ? "admin.retention.refused.own" : "admin.retention.refused.busy";
  }
}

/** The rows of the new rules, with what differs from the old ones, and of the old rules that are removed. */
function compared(before, after) {
  const categories = (rules) => rules.map(({ category }) => category);
  const [old, now] = [categories(before), categories(after)];
  const kept = { old: old.filter((each) => now.includes(each)), now: now.filter((each) => old.includes(each)) };
  const isMoved = (category) => kept.old.indexOf(category) !== kept.now.indexOf(category);
  const removed = before.filter(({ category }) => !now.includes(category));
  const rows = after.map((rule) => {
    const { category } = rule;
    const words = Object.values(wordsOf(rule));
    const at = old.indexOf(category);
    if (at < 0) return [category, el("td", { t: "admin.retention.change.new" }), ...words.map(cell)];
    const earlier = Object.values(wordsOf(before[at]));
    const change = el("td");
    if (isMoved(category)) say(change, "admin.retention.change.moved", { now: now.indexOf(category) + 1, before: at + 1 });
    else say(change, words.join() === earlier.join() ? "admin.retention.change.same" : "admin.retention.change.changed");
    return [category, change, ...words.map((text, place) => (text === earlier[place] ? cell(text) : el("td", {}, el("span", { raw: text }), wasBefore(earlier[place]))))];
  });
  rows.push(...removed.map((rule) => [rule.category, el("td", { t: "admin.retention.change.removed" }), ...Object.values(wordsOf(rule)).map((text) => el("td", {}, wasBefore(text)))]));
  return rows;
}

/** What the rules in force say instead. */
function wasBefore(text) {
  return el("span", { class: "note", raw: t("admin.retention.was", { text }) });
}
