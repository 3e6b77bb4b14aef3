// The flags of an opened recording. Each says why it was set, and some narrow who can hear the
// recording. The desk enters each change in its audit.

import { ApiError, ask } from "./api.js";
import { el, reveal, say, show } from "./dom.js";
import { t } from "./i18n.js";
import { plain } from "./timeline.js";
import { preciseTimeOf } from "./times.js";

export const FLAGS = ["sensitive", "restricted", "third-party"];
let count = 0;

export class Flags {
  /** `flags` are those of the desk's answer; `onChange()` reads the recording again. */
  constructor(callId, flags, isAdmin, onChange) {
    this.path = `/recordings/${encodeURIComponent(callId)}/flags`;
    this.flags = flags;
    this.onChange = onChange;
    const id = `flags-${(count += 1)}`;
    const known = flags.map(({ flag }) => flag);
    const others = FLAGS.filter((flag) => !known.includes(flag) && (isAdmin || flag !== "restricted"));
    this.removers = new Map(isAdmin ? known.map((flag) => [flag, el("button", { type: "button", class: "quiet", on: { click: () => this.remove(flag) } })]) : []);
    this.flag = el("select", { id: `${id}-flag` }, ...others.map((value) => el("option", { value, t: `recordings.flag.${value}` })));
    this.reason = el("input", { type: "text", id: `${id}-reason`, required: true, maxlength: 200, autocomplete: "off" });
    this.problem = el("p", { class: "warning", role: "alert", hidden: true });
    this.form = el(
      "form",
      { autocomplete: "off", on: { submit: (event) => this.submit(event) } },
      el("div", { class: "pair" }, others.length ? field("flag", this.flag) : null, field("reason", this.reason)),
      el("div", { class: "buttons" }, others.length ? el("button", { type: "submit", t: "recordings.flags.set" }) : null, ...this.removers.values()),
    );
    this.list = el("ul", {}, ...flags.map(() => el("li")));
    const title = el("h3", { id, t: "recordings.flags.title" });
    this.box = el("section", { class: "flags", "aria-labelledby": id }, title, flags.length ? this.list : null, this.form, this.problem);
  }

  /** Write the words about the flags in the language of the page. */
  render() {
    for (const [place, each] of this.flags.entries()) show(this.list.children[place], wordsOf(each));
    for (const [flag, button] of this.removers) show(button, t("recordings.flags.remove", { flag: t(`recordings.flag.${flag}`) }));
  }

  submit(event) {
    event.preventDefault();
    return this.flag.value && this.change("PUT", this.flag.value);
  }

  /** Remove a flag. This needs a reason, too. */
  remove(flag) {
    return this.form.reportValidity() && this.change("DELETE", flag);
  }

  async change(method, flag) {
    reveal(this.problem, false);
    try {
      await ask(method, `${this.path}/${flag}`, { reason: this.reason.value });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const known = { card_number: "search.card", step_up_needed: "stepup.needed" }[error.reason];
      say(this.problem, known ?? "error.notsent");
      reveal(this.problem, true);
      return;
    }
    await this.onChange();
  }
}

function field(name, input) {
  return el("div", { class: "field" }, el("label", { for: input.id, t: `recordings.flags.${name}` }), input);
}

function wordsOf({ flag, reason, since }) {
  return t("recordings.flags.since", { flag: t(`recordings.flag.${flag}`), time: preciseTimeOf(since, { dated: true }), reason: plain(reason) });
}
