// Whether I can take a call: shown in the header, with the buttons to begin and to end a break.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { clock, el, reveal, say, show } from "./dom.js";
import { language } from "./i18n.js";

/** The reasons of breaks, and after how many seconds a break may be forgotten; the desk says so. */
export const breaks = { reasons: [], former: [], reminder: 3600 };

/** The name of a reason in the present language; its code, where no list has ever had it. */
export function reasonName(code) {
  const reason = [...breaks.reasons, ...breaks.former].find((each) => each.code === code);
  return reason ? reason[language()] : code;
}

/** The state that is shown: no state is known without a connection. */
export function shownPresence(presence, known) {
  if (!presence || !known) return "unknown";
  return presence.state === "on_call" && presence.ringing ? "ringing" : presence.state;
}

/** Whether a break has lasted so long that it may be forgotten. */
export function forgottenBreak(presence, now) {
  return presence.state === "break" && now - presence.since >= breaks.reminder;
}

export class PresenceControl {
  /** `store(request)` stores the presence that the desk answers to a request. */
  constructor(store) {
    this.store = store;
    this.word = el("strong");
    this.time = el("span", { class: "time" });
    this.why = el("span", { class: "note" });
    this.silent = el("span", { class: "note", t: "presence.no_phone.means", hidden: true });
    this.later = el("span", { class: "note", t: "presence.later", hidden: true });
    this.trouble = el("span", { class: "problem", t: "error.notsent", hidden: true });
    this.state = el("span", { class: "status" }, this.word, this.time);
    this.back = el("button", { type: "button", class: "primary", t: "presence.back", on: { click: () => this.choose("available") } });
    this.leave = el("button", { type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": "break-reasons", t: "presence.leave", on: { click: () => this.open() } });
    this.reasons = el("div", { class: "reasons", id: "break-reasons", role: "group", "data-t-label": "presence.why", hidden: true });
    this.box = el(
      "div",
      { class: "presence", role: "group", "data-t-label": "presence.label", hidden: true, on: { keydown: (event) => this.onKey(event), focusout: (event) => this.onLeave(event) } },
      this.state,
      this.why,
      this.silent,
      this.later,
      this.trouble,
      this.back,
      this.leave,
      this.reasons,
    );
    this.text = el("span");
    const again = el("button", { type: "button", t: "presence.back", on: { click: () => this.choose("available") } });
    this.reminder = el("div", { class: "banner ending", role: "region", "data-t-label": "presence.reminder", hidden: true }, this.text, again);
  }

  /** Show my presence; it is undefined for a user who takes no calls. */
  update(presence, connected, now) {
    const before = this.presence;
    this.presence = presence;
    this.connected = connected;
    reveal(this.box, Boolean(presence));
    if (!presence) {
      this.close();
      reveal(this.reminder, false);
      return;
    }
    const state = shownPresence(presence, connected);
    this.box.dataset.state = state;
    say(this.word, `presence.${state}`);
    show(this.why, presence.on_break ? reasonName(presence.reason) : "");
    reveal(this.silent, state === "no_phone");
    reveal(this.later, presence.on_break && presence.state !== "break");
    this.swap(presence.on_break || presence.state === "wrap_up", !presence.on_break);
    this.tell(before, presence);
    this.tick(now);
  }

  /** Show the buttons that make sense now; a button that goes while it has the focus hands it on. */
  swap(back, leave) {
    const focused = document.activeElement;
    reveal(this.back, back);
    reveal(this.leave, leave);
    if (!leave) this.close();
    const lost = (focused === this.back && !back) || (!leave && (focused === this.leave || this.reasons.contains(focused)));
    if (lost) (leave ? this.leave : this.back).focus();
  }

  /** Announce the beginning and the end of a break, also those that a supervisor has set. */
  tell(before, presence) {
    if (!before || before.on_break === presence.on_break) return;
    const by = presence.set_by ? "presence.say.set" : "presence.say.break";
    announce(presence.on_break ? by : "presence.say.available", { reason: reasonName(presence.reason), user: presence.set_by });
  }

  tick(now) {
    const presence = this.presence;
    if (!presence) return;
    show(this.time, this.connected ? clock(now - presence.since) : "");
    const due = this.connected && forgottenBreak(presence, now);
    if (due) say(this.text, "presence.forgotten", { time: clock(now - presence.since) });
    const focused = this.reminder.contains(document.activeElement);
    reveal(this.reminder, due);
    if (focused && !due) this.leave.focus();
    if (due && this.reminded !== presence.since) {
      this.reminded = presence.since;
      announce("presence.forgotten", { time: clock(now - presence.since) }, { urgent: true });
    }
  }

  open() {
    if (!breaks.reasons.length) {
      this.choose("break");
      return;
    }
    if (!this.reasons.hidden) {
      this.close();
      return;
    }
    const buttons = breaks.reasons.map(({ code }) => el("button", { type: "button", raw: reasonName(code), on: { click: () => this.choose("break", code) } }));
    this.reasons.replaceChildren(...buttons);
    reveal(this.reasons, true);
    this.leave.setAttribute("aria-expanded", "true");
    buttons[0].focus();
  }

  close() {
    reveal(this.reasons, false);
    this.leave.setAttribute("aria-expanded", "false");
  }

  onKey(event) {
    if (event.key !== "Escape" || this.reasons.hidden) return;
    this.close();
    this.leave.focus();
  }

  /** The open reasons cover what may have the focus next. */
  onLeave({ relatedTarget }) {
    if (relatedTarget && !this.box.contains(relatedTarget)) this.close();
  }

  async choose(state, reason = "") {
    try {
      await this.store(ask("PUT", "/presence", { state, reason }));
      reveal(this.trouble, false);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      announce("error.notsent", {}, { urgent: true });
      reveal(this.trouble, true);
    }
  }
}
