// Alarms. Advisors get a banner for each alarm of their own calls. The list of supervisors is in
// alarm_panel.js.

import { announce } from "./announce.js";
import { el, reveal, say } from "./dom.js";
import { has } from "./i18n.js";

const IN_HEADER = "switch.lost"; // an advisor sees it at the top of the page

/** The key of the text of an alarm, and its values. */
export function meaning(alarm) {
  const key = `alarm.${alarm.kind}`;
  return [has(key) ? key : "alarm.other", { kind: alarm.kind, line: alarm.line || "–" }];
}

/** Speak a new alarm. */
export function news(alarm) {
  announce(...meaning(alarm), { urgent: true });
}

/** The banners of an advisor: each stays until its alarm ends, or the advisor closes it. */
export class AlarmBanners {
  /** `region` is the element for the banners; `landing()` gives what takes the focus after them. */
  constructor(region, landing) {
    this.region = region;
    this.landing = landing;
    this.banners = new Map(); // alarm id → { alarm, box }
    this.dismissed = new Set();
  }

  snapshot(alarms) {
    const ids = new Set(alarms.map((alarm) => alarm.id));
    for (const id of this.banners.keys()) if (!ids.has(id)) this.remove(id);
    for (const alarm of alarms) if (!this.dismissed.has(alarm.id)) this.add(alarm);
  }

  raised(alarm) {
    this.dismissed.delete(alarm.id);
    this.add(alarm);
  }

  changed(alarm) {
    if (alarm.state === "closed") this.remove(alarm.id);
  }

  /** A call that has gone takes its banners along. */
  update(calls) {
    for (const [id, { alarm }] of this.banners) if (!calls.get(alarm.call_id)?.mine) this.remove(id);
  }

  add(alarm) {
    if (this.banners.has(alarm.id) || alarm.kind === IN_HEADER) return;
    const close = () => {
      this.dismissed.add(alarm.id);
      this.remove(alarm.id);
    };
    const text = el("span", {});
    say(text, ...meaning(alarm));
    const button = el("button", { type: "button", class: "quiet", t: "alarm.close", on: { click: close } });
    const box = el("div", { class: "banner alarm" }, text, button);
    this.banners.set(alarm.id, { alarm, box });
    this.region.append(box);
    reveal(this.region, true);
    news(alarm);
  }

  remove(id) {
    const box = this.banners.get(id)?.box;
    if (!box) return;
    const focused = box.contains(document.activeElement);
    box.remove();
    this.banners.delete(id);
    reveal(this.region, this.banners.size > 0);
    if (focused) (this.region.querySelector("button") ?? this.landing()).focus();
  }
}
