// Dates and times of day in the centre's time zone, in the language now shown. A time of day names
// the zone if this machine's clock shows another time at that moment.

import { language } from "./i18n.js";

const DAY = { day: "numeric", month: "short", year: "numeric" };
const TIME = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const ZONE = { timeZoneName: "short" };

/** The centre's time zone. Without one, times are those of this machine. */
let centre;

/** Take the centre's time zone from an answer of the desk. */
export function useZoneOf(response) {
  const name = response.headers.get("X-Galwad-Time-Zone");
  if (!name || name === centre) return;
  try {
    new Date().toLocaleString("en-GB", { timeZone: name });
  } catch {
    return; // this browser does not know the zone
  }
  centre = name;
}

/** The date, such as "1 Dec 2026", of a time in Unix seconds. */
export function dateOf(seconds) {
  return words(seconds, DAY, centre);
}

/** The time of day, such as "09:30". */
export function timeOf(seconds) {
  return named(seconds, TIME);
}

/** The date and the time of day. */
export function momentOf(seconds) {
  return named(seconds, { ...DAY, ...TIME });
}

/** A full hour of the centre's day today, from 0 to 23. */
export function hourOf(hour) {
  const now = Date.now() / 1000;
  const zone = differs(now) ? ` ${zoneName(now)}` : "";
  return `${String(hour).padStart(2, "0")}:00${zone}`;
}

function named(seconds, parts) {
  return words(seconds, differs(seconds) ? { ...parts, ...ZONE } : parts, centre);
}

function differs(seconds) {
  const parts = { ...DAY, ...TIME };
  return words(seconds, parts, centre) !== words(seconds, parts);
}

function zoneName(seconds) {
  const locale = language() === "cy" ? "cy-GB" : "en-GB";
  const parts = new Intl.DateTimeFormat(locale, { ...ZONE, timeZone: centre }).formatToParts(new Date(seconds * 1000));
  return parts.find(({ type }) => type === "timeZoneName").value;
}

function words(seconds, parts, timeZone) {
  return new Date(seconds * 1000).toLocaleString(language() === "cy" ? "cy-GB" : "en-GB", { ...parts, timeZone });
}
