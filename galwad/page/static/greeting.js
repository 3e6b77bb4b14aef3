// What to say first, in the caller's language, by the desk's time of day. Of a caller whose
// preference is not known, it is said in both languages.

import { el, reveal } from "./dom.js";
import { lineName } from "./i18n.js";

const GREETINGS = {
  cy: { morning: "Bore da", afternoon: "Prynhawn da", evening: "Noswaith dda" },
  en: { morning: "Good morning", afternoon: "Good afternoon", evening: "Good evening" },
};
const BOTH = ["cy", "en"];
const SHOWN_S = 15; // after the answer, in which it is said
const HOUR_S = 3600;

/** How far the desk's local time is ahead of UTC, in seconds; the desk says so. */
export const deskTime = { offset: 0 };

/** The part of the desk's day at `now`, in seconds since 1970. */
export function partOfDay(now, offset) {
  const hour = Math.floor((now + offset) / HOUR_S) % 24;
  return hour < 12 ? "morning" : hour < 18 ? "afternoon" : "evening";
}

/** The language that the caller prefers, if all who may be calling prefer the same; else null. */
export function preferredLanguage({ candidates, chosen }) {
  const people = chosen ? candidates.filter((one) => one.person_id === chosen) : candidates;
  const preferred = new Set(people.map((one) => one.language));
  const [only] = preferred;
  return preferred.size === 1 && only in GREETINGS ? only : null;
}

/** The languages to greet a caller in. */
export function greetingLanguages(caller) {
  const only = preferredLanguage(caller);
  return only ? [only] : BOTH;
}

export class Greeting {
  constructor() {
    this.text = el("p", { class: "say" });
    this.box = el("div", { class: "greeting", hidden: true }, el("span", { class: "note", t: "greeting.say" }), this.text);
    this.offered = false; // whether this page has shown the call while it rang
  }

  update(pop, now) {
    if (pop.state === "ringing") this.offered = true;
    const due = pop.state === "ringing" || (pop.state === "answered" && now - pop.since < SHOWN_S && !pop.caller.outcome);
    if (!due) this.offered = false;
    reveal(this.box, this.offered);
    if (this.offered) this.draw(greetingLanguages(pop.caller), partOfDay(now, deskTime.offset), pop.line);
  }

  draw(languages, part, line) {
    const key = JSON.stringify([languages, part, lineName(line, "cy"), line]);
    if (key === this.key) return;
    this.key = key;
    const words = languages.map((lang) => el("span", { lang, raw: GREETINGS[lang][part] }));
    const names = new Set(languages.map((lang) => lineName(line, lang)));
    const lines = [...names].map((raw) => el("bdi", { raw }));
    this.text.dataset.raw = "";
    this.text.replaceChildren(...joined(words), ", ", ...joined(lines));
  }
}

/** The same in each language, one after the other. */
function joined(parts) {
  return parts.flatMap((part, place) => (place ? [" / ", part] : [part]));
}
