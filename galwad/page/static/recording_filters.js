// The filters by line and date, which the search for recordings and the page about legal holds share.

import { lineName, own } from "./i18n.js";

export const LAST_DAY = "9998-12-30"; // of the calendar: the desk gets the day after it
const DAY_MS = 86_400_000;

/** The line that a text names: in a language of the page, or as the settings do. */
export function codeOf(text) {
  const same = (name) => name.localeCompare(text, undefined, { sensitivity: "accent" }) === 0;
  const found = Object.keys(own.lines).filter((line) => same(line) || ["en", "cy"].some((spoken) => same(lineName(line, spoken))));
  return found.length === 1 ? found[0] : text;
}

/** The desk leaves out the day of `until`, and people mean it to be included. */
export function dayAfter(date) {
  return new Date(Date.parse(date) + DAY_MS).toISOString().slice(0, date.length);
}
