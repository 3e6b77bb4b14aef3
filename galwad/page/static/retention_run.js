// The disposal of recordings that are due now. The desk disposes of some in each request, so that it can
// be followed and stopped.

import { AskedButton } from "./admin_ask.js";
import { announce } from "./announce.js";
import { ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { numberOf, refuse, whyOf } from "./retention_parts.js";

const LIMIT = 100; // recordings in one request

/** A button that counts the recordings before it asks. */
class CountedButton extends AskedButton {
  constructor(count, act) {
    super("retention.run", {}, act);
    this.count = count;
  }

  async open() {
    if (await this.count()) super.open();
  }
}

export class DisposalRun {
  /** `page` is the page about retention. */
  constructor(page) {
    this.page = page;
    this.asked = new CountedButton(() => this.count(), () => this.run());
    this.progress = el("p", { hidden: true });
    this.stopper = el("button", { type: "button", hidden: true, t: "admin.retention.run.stop", on: { click: () => this.stop() } });
    this.results = el("div", { class: "results" });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.box = el(
      "div",
      { class: "run" },
      el("div", { class: "buttons" }, this.asked.button, this.stopper),
      this.asked.ask,
      this.progress,
      this.results,
      this.trouble,
    );
    this.result = []; // of the run before: keys of texts, and their values in the language of the page
    this.running = false;
    this.stopped = false;
  }

  render({ plan, mayPurge }) {
    const offered = mayPurge && Boolean(plan.in_force) && !plan.clock_in_doubt && !this.running;
    reveal(this.asked.button, offered);
    if (!offered) reveal(this.asked.ask, false);
    this.results.replaceChildren(...this.result.map(([key, values]) => said(key, values())));
  }

  /** Count what is due now for the question; whether it is to be asked. */
  async count() {
    this.clear();
    try {
      const { due } = await ask("GET", "/retention?days=0");
      const kept = due.reduce((sum, each) => sum + each.retained + each.restricted + each.incidents, 0);
      this.due = due.reduce((sum, each) => sum + each.recordings, -kept);
      if (this.due) say(this.asked.question, "admin.ask.retention.run", { count: numberOf(this.due), kept: numberOf(kept) });
      else this.tell([["admin.retention.run.none", () => ({})]]);
      return this.due > 0;
    } catch (error) {
      await refuse(this.trouble, error);
      return false;
    }
  }

  /** Dispose of what is due, part by part, until nothing is left, the desk waits, or a person stops it. */
  async run() {
    const total = { disposed: 0, failed: 0 };
    let done = { waits: "", after: null };
    this.begin();
    try {
      do {
        this.follow(total);
        done = await ask("POST", "/retention/run", { limit: LIMIT, ...(done.after ? { after: done.after } : {}) });
        for (const name of Object.keys(total)) total[name] += done[name];
      } while (done.after && !done.waits && !this.stopped);
    } catch (error) {
      await refuse(this.trouble, error);
      if (!total.disposed && !total.failed) done = null;
    }
    await this.end(total, done);
  }

  begin() {
    this.clear();
    this.running = true;
    this.stopped = false;
    reveal(this.asked.ask, false);
    reveal(this.asked.button, false);
    reveal(this.stopper, true);
    reveal(this.progress, true);
    this.stopper.focus();
    announce("admin.retention.say.running");
  }

  follow({ disposed }) {
    say(this.progress, "admin.retention.run.progress", { disposed: numberOf(disposed), count: numberOf(this.due) });
  }

  /** Ask no more of the desk: what it has begun, it finishes. */
  stop() {
    if (!this.running) return;
    this.stopped = true;
    say(this.progress, "admin.retention.run.stopping");
  }

  async end(total, done) {
    const focused = this.box.contains(document.activeElement);
    reveal(this.stopper, false);
    reveal(this.progress, false);
    if (done) {
      const parts = [["done", () => ({ disposed: numberOf(total.disposed), failed: numberOf(total.failed) })]];
      if (total.failed) parts.push(["failed", () => ({})]);
      if (done.waits) parts.push(["waits", () => ({ why: whyOf(done.waits) })]);
      else if (done.after && this.stopped) parts.push(["stopped", () => ({})]);
      this.tell(parts.map(([name, values]) => [`admin.retention.run.${name}`, values]));
    }
    await this.page.refresh();
    this.running = false; // only now can the next run be asked for: the focus is set below
    this.render(this.page.state);
    if (!focused) return;
    if (this.asked.button.hidden) this.page.title.focus();
    else this.asked.button.focus();
  }

  clear() {
    reveal(this.trouble, false);
    this.result = [];
    this.results.replaceChildren();
  }

  tell(result) {
    this.result = result;
    for (const [key, values] of result) announce(key, values());
    this.render(this.page.state);
  }
}

function said(key, values) {
  const text = el("p");
  say(text, key, values);
  return text;
}
