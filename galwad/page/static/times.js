// Times in the centre's time zone, which is named if this machine's clock differs.

import { language } from "./i18n.js";

const DAY = { day: "numeric", month: "short", year: "numeric" };
const TIME = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const ZONE = { timeZoneName: "short" };

/** The centre's time zone; undefined until the desk has named one. */
let centre;

export function useZoneOf(response) {
  const name = response.headers.get("X-Galwad-Time-Zone");
  if (!name || name === centre) return;
  try {
    formatter(ZONE, name);
  } catch {
    return; // this browser does not know the zone
  }
  centre = name;
}

/** A date such as "1 Dec 2026". Times are Unix seconds. */
export function dateOf(seconds) {
  return formatter(DAY, centre).format(seconds * 1000);
}

/** A date such as "2026-12-01", as an input for dates has it. */
export function isoDayOf(seconds) {
  return new Intl.DateTimeFormat("sv-SE", { timeZone: centre }).format(seconds * 1000);
}

export function timeOf(seconds) {
  return named(seconds, TIME);
}

export function momentOf(seconds) {
  return named(seconds, { ...DAY, ...TIME });
}

/** A time with its seconds and zone, and its date if `dated`: no other moment is written so. */
export function preciseTimeOf(seconds, { dated = false } = {}) {
  return formatter({ ...(dated ? DAY : {}), ...TIME, second: "2-digit", ...ZONE }, centre).format(seconds * 1000);
}

/** An hour of the centre's day, from 0 to 23. */
export function hourOf(hour) {
  const zone = timeOf(Date.now() / 1000).slice("00:00".length);
  return `${String(hour).padStart(2, "0")}:00${zone}`;
}

function named(seconds, parts) {
  const at = seconds * 1000;
  return formatter(differs(at) ? { ...parts, ...ZONE } : parts, centre).format(at);
}

function differs(at) {
  const parts = { ...DAY, ...TIME };
  return formatter(parts, centre).format(at) !== formatter(parts).format(at);
}

function formatter(parts, timeZone) {
  return new Intl.DateTimeFormat(language() === "cy" ? "cy-GB" : "en-GB", { ...parts, timeZone });
}
