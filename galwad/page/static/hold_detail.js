// One legal hold: its facts, how they are changed, the recordings that it retains, and its release, to
// which two administrators must agree.

import { AskedButton } from "./admin_ask.js";
import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { busily, clock, el, reveal, say, show } from "./dom.js";
import { ChangedFacts, FurtherRecordings, field, refuseHold } from "./hold_forms.js";
import { lineName, t } from "./i18n.js";
import { cell, numberOf, whyOf } from "./retention_parts.js";
import { plain } from "./timeline.js";
import { dateOf, isoDayOf, momentOf, preciseTimeOf } from "./times.js";

const WHOLE = ""; // in place of a recording's id: the whole hold

export class HoldDetail {
  /** `page` is the page about legal holds. */
  constructor(page) {
    this.page = page;
    this.title = el("h2", { id: "holds-detail", tabindex: "-1" });
    this.facts = el("dl", {});
    this.done = el("p", { class: "approvals", hidden: true });
    this.changed = new ChangedFacts(page, this);
    this.further = new FurtherRecordings(page, this);
    this.release = new Release(page, this);
    this.recordings = new RetainedRecordings(page, this.release);
    this.number = null; // of the hold that is shown
    this.open = el("div", { class: "sections" }, this.changed.box, this.further.box, this.recordings.box, this.release.box);
    this.box = el("section", { class: "card", "aria-labelledby": this.title.id, hidden: true }, this.title, this.done, this.facts, this.open);
  }

  /** Another hold is to be shown: forget what was typed for this one. */
  leave() {
    reveal(this.done, false);
    for (const part of [this.changed, this.further, this.recordings, this.release]) part.leave();
  }

  render({ shown, owners }) {
    reveal(this.box, Boolean(shown));
    if (!shown) return;
    const { hold } = shown;
    const ends = hold.released !== null && this.number === hold.hold_id && !this.open.hidden;
    this.number = hold.hold_id;
    show(this.title, plain(t("admin.holds.detail", { number: hold.hold_id, reference: hold.reference })));
    const facts = [
      ["reason", plain(hold.reason)],
      ["owner", ownerOf(hold)],
      ["review", reviewOf(hold)],
      ["opened", momentOf(hold.opened)],
      ...(hold.released === null ? [] : [["released", momentOf(hold.released)]]),
      ...(hold.number ? [["later", plain(hold.number)]] : []),
      ["recordings", numberOf(hold.recordings)],
    ];
    this.facts.replaceChildren(...facts.flatMap(([name, text]) => [el("dt", { t: `admin.holds.${name}` }), el("dd", { raw: text })]));
    reveal(this.open, hold.released === null);
    this.changed.render(hold, owners);
    this.recordings.render(hold);
    this.release.render(shown, owners);
    if (ends) this.tell(this.number, "admin.holds.say.released", { number: this.number }); // perhaps by another person
  }

  /** Say what was done with a hold, and go to its title if it is shown. */
  tell(number, key, values) {
    announce(key, values);
    if (this.number !== number) return;
    say(this.done, key, values);
    reveal(this.done, true);
    this.title.focus();
  }
}

class RetainedRecordings {
  constructor(page, release) {
    this.page = page;
    this.release = release;
    const title = el("h3", { id: "holds-recordings", t: "admin.holds.recordings" });
    this.body = el("tbody");
    const heads = ["started", "caller", "line", "advisor", "talk"].map((name) => el("th", { scope: "col", t: `recordings.${name}` }));
    const last = el("th", { scope: "col", t: "admin.holds.release" });
    const table = el("table", { "aria-labelledby": title.id }, el("thead", {}, el("tr", {}, ...heads, last)), this.body);
    this.table = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": title.id }, table);
    this.none = el("p", { class: "none", t: "admin.holds.recordings.none", hidden: true });
    this.more = el("button", { type: "button", on: { click: () => busily(this.more, () => this.read()) } });
    this.trouble = el("p", { class: "problem", role: "alert", hidden: true });
    this.box = el("div", { class: "sections" }, title, this.none, this.table, this.trouble, el("div", { class: "buttons" }, this.more));
    this.leave();
  }

  leave() {
    this.rows = [];
    this.after = null;
    this.isRead = false;
    this.turn = {}; // only an answer to a request since then counts
    reveal(this.trouble, false);
  }

  /** Show the recordings that were read, unless the hold has others now. */
  render(hold) {
    if (this.hold?.recordings !== hold.recordings) this.leave();
    this.hold = hold;
    this.show();
  }

  async read() {
    const { hold, turn } = this;
    reveal(this.trouble, false);
    try {
      const page = await ask("POST", "/recordings/search", { hold: hold.hold_id, ...(this.after ? { after: this.after } : {}) });
      if (this.turn !== turn) return;
      const before = this.rows.length;
      this.isRead = true;
      this.rows.push(...page.rows);
      this.after = page.after;
      this.show();
      announce("admin.holds.say.recordings", { count: numberOf(this.rows.length) });
      if (this.more.hidden) this.body.rows[before]?.querySelector("button").focus();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, "error.notsent");
      reveal(this.trouble, true);
    }
  }

  show() {
    this.body.replaceChildren(...this.rows.map((row) => this.row(row)));
    reveal(this.table, this.rows.length > 0);
    reveal(this.none, this.hold.recordings === 0);
    reveal(this.more, this.hold.recordings > 0 && (!this.isRead || Boolean(this.after)));
    say(this.more, this.isRead ? "recordings.next" : "admin.holds.recordings.show");
  }

  row({ call_id: id, started, named, number, line, advisor, extension, talk_s: talk }) {
    const time = preciseTimeOf(started, { dated: true });
    const known = (text) => cell(text || t("recordings.unknown"));
    const release = el("button", { type: "button", class: "quiet", raw: t("admin.holds.release.one"), "aria-label": t("admin.holds.release.of", { time }), on: { click: () => this.release.choose(id) } });
    return el("tr", {}, el("th", { scope: "row", raw: time }), known(plain(number ?? "")), known(named && lineName(line)), known(plain(advisor || extension)), cell(clock(talk)), el("td", {}, release));
  }
}

/** A button that asks only if a reason is given. */
class ReasonedButton extends AskedButton {
  constructor(isReasoned, act) {
    super("holds.release_it", {}, act);
    this.isReasoned = isReasoned;
  }

  open() {
    if (this.isReasoned()) super.open();
  }
}

class Release {
  constructor(page, section) {
    this.page = page;
    this.section = section;
    const title = el("h3", { id: "holds-release", t: "admin.holds.release" });
    this.what = el("select", { on: { change: () => this.explain() } });
    this.waits = el("p", { class: "approvals", id: "holds-release-waits", role: "status" });
    this.reason = el("input", { type: "text", maxlength: 200, autocomplete: "off", required: true, "aria-describedby": this.waits.id });
    this.asked = new ReasonedButton(() => this.isReasoned(), () => busily(this.asked.yes, () => this.send()));
    this.trouble = el("p", { class: "problem", role: "alert", hidden: true });
    this.fields = el(
      "form",
      { class: "sections", autocomplete: "off", on: { submit: (event) => this.submit(event) } },
      field("holds-release-reason", "admin.holds.release.reason", this.reason),
      el("div", { class: "buttons" }, this.asked.button),
      this.asked.ask,
    );
    this.box = el(
      "div",
      { class: "sections" },
      title,
      el("p", { class: "note", t: "admin.holds.release.hint" }),
      field("holds-release-what", "admin.holds.release.what", this.what),
      this.waits,
      this.fields,
      this.trouble,
    );
    this.leave();
  }

  isReasoned() {
    this.reason.value = this.reason.value.trim();
    return this.reason.reportValidity();
  }

  submit(event) {
    event.preventDefault();
    this.asked.open();
  }

  leave() {
    this.target = null; // what is chosen; null: what waits, if anything does
    this.reason.value = "";
    reveal(this.asked.ask, false);
    reveal(this.trouble, false);
  }

  /** Offer the whole hold, the recordings whose release was asked for, and one that was chosen. */
  render({ hold, requests }, owners) {
    this.hold = hold;
    const all = [{ call_id: WHOLE, asked_by: hold.asked_by, reason: hold.asked_for }, ...requests];
    // The request of a person who is no longer an administrator does not count.
    this.requests = new Map(all.filter(({ asked_by: user }) => owners.includes(user)).map((each) => [each.call_id, each]));
    this.target ??= this.requests.keys().next().value ?? WHOLE;
    this.offer();
  }

  offer() {
    const ids = new Set([WHOLE, ...this.requests.keys(), this.target]);
    const texts = [...ids].map((id) => [id, this.nameOf(id)]);
    this.what.replaceChildren(...texts.map(([value, raw]) => el("option", { value, raw })));
    this.what.value = this.target;
    this.explain();
  }

  nameOf(id) {
    if (!id) return t("admin.holds.release.whole", { count: numberOf(this.hold.recordings) });
    const user = this.requests.get(id)?.asked_by;
    return user ? t("admin.holds.release.recording.asked", { id, user }) : t("admin.holds.release.recording", { id });
  }

  choose(id) {
    this.target = id;
    this.offer();
    (this.fields.hidden ? this.what : this.reason).focus();
  }

  /** Say who has asked for the release of what is chosen, and what the next step is. */
  explain() {
    this.target = this.what.value;
    const request = this.requests.get(this.target);
    const isOwn = request?.asked_by === this.page.me;
    const values = { user: request?.asked_by ?? "", reason: request?.reason ?? "" };
    say(this.waits, `admin.holds.release.waits.${isOwn ? "own" : request ? "other" : "none"}`, values);
    reveal(this.fields, !isOwn);
    reveal(this.asked.ask, false);
    const agrees = request ? ".agree" : "";
    say(this.asked.question, `admin.ask.holds.release_it${agrees}`, { what: this.what.selectedOptions[0].textContent, ...values });
    say(this.asked.button, `admin.holds.release_it${agrees}`);
    say(this.asked.yes, `admin.yes.holds.release_it${agrees}`);
  }

  async send() {
    const { target, hold } = this;
    const body = { version: hold.version, reason: this.reason.value.trim(), ...(target ? { call_id: target } : {}) };
    reveal(this.trouble, false);
    try {
      const { released } = await ask("POST", `/holds/${hold.hold_id}/release`, body);
      if (this.section.number === hold.hold_id) this.leave();
      const isShown = await this.page.refresh();
      if (isShown && released && !target) return; // the section has said it
      const what = released ? "released" : "asked";
      this.section.tell(hold.hold_id, `admin.holds.say.${what}${target ? "_one" : ""}`, { number: hold.hold_id });
    } catch (error) {
      this.asked.shut();
      await refuseHold(this.trouble, error, () => this.conflict(hold));
      if (this.fields.hidden) this.what.focus(); // the button has gone
    }
  }

  /** Why the desk has refused a release: the present state says it. */
  async conflict({ version }) {
    if (!(await this.page.refresh())) return "admin.holds.refused.unclear";
    if (this.requests.get(this.target)?.asked_by === this.page.me) return "admin.holds.refused.own";
    if (this.hold.version !== version || this.hold.released !== null) return "admin.holds.refused.changed";
    try {
      const { clock_in_doubt: doubt } = await ask("GET", "/retention?days=0");
      return doubt ? ["admin.holds.refused.clock", { why: whyOf(doubt) }] : "admin.holds.refused.dependent";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return "admin.holds.refused.unclear";
    }
  }
}

/** The owner of a hold; a hold of an earlier version of the desk has none. */
export function ownerOf({ owner }) {
  return plain(owner) || t("admin.holds.owner.none");
}

/** The day of review, in words that say whether it has come. */
export function reviewOf({ review, released }) {
  const day = dateOf(Date.parse(`${review}T12:00Z`) / 1000);
  return released === null && review <= isoDayOf(Date.now() / 1000) ? t("admin.holds.review.due", { day }) : day;
}
