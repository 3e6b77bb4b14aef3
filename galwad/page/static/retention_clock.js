// A clock in doubt: why it is, what this means, and the form with which an administrator confirms it.

import { announce } from "./announce.js";
import { ask } from "./api.js";
import { el, reveal, say, show } from "./dom.js";
import { refuse, whyOf } from "./retention_parts.js";
import { preciseTimeOf } from "./times.js";

export class ClockInDoubt {
  /** `page` is the page about retention. */
  constructor(page) {
    this.page = page;
    const title = el("h2", { id: "retention-clock", t: "admin.retention.clock" });
    this.why = el("p", { class: "warning" });
    this.times = el("p", {});
    this.reason = el("input", { type: "text", id: "retention-reason", required: true, maxlength: 200, autocomplete: "off", "aria-describedby": "retention-reason-hint" });
    this.trouble = el("p", { class: "problem", role: "alert", hidden: true });
    this.form = el(
      "form",
      { autocomplete: "off", on: { submit: (event) => this.confirm(event) } },
      el(
        "div",
        { class: "field" },
        el("label", { for: this.reason.id, t: "admin.retention.clock.reason" }),
        this.reason,
        el("p", { class: "note", id: "retention-reason-hint", t: "admin.retention.clock.hint" }),
      ),
      this.trouble,
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary", t: "admin.retention.clock.confirm" })),
    );
    this.box = el(
      "section",
      { class: "card", "aria-labelledby": title.id },
      title,
      this.why,
      el("p", { t: "admin.retention.clock.means" }),
      this.times,
      this.form,
    );
  }

  render({ plan, serverTime, ownTime, mayPurge }) {
    reveal(this.box, Boolean(plan.clock_in_doubt));
    show(this.why, whyOf(plan.clock_in_doubt));
    const [server, own] = [serverTime, ownTime].map((time) => preciseTimeOf(time, { dated: true }));
    say(this.times, "admin.retention.clock.times", { server, own });
    reveal(this.form, mayPurge);
  }

  async confirm(event) {
    event.preventDefault();
    reveal(this.trouble, false);
    try {
      await ask("POST", "/retention/clock", { reason: this.reason.value });
    } catch (error) {
      await refuse(this.trouble, error);
      return;
    }
    this.form.reset();
    announce("admin.retention.say.clock");
    await this.page.refresh();
    this.page.title.focus();
  }
}
