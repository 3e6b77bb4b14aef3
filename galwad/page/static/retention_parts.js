// The parts that the sections of the page about retention share: numbers, periods and rules in words,
// tables, and why the desk has refused something.

import { sayRefusal } from "./admin_parts.js";
import { ApiError } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { has, language, lineName, t } from "./i18n.js";
import { duration, plain } from "./timeline.js";

const FORMS = { 1: "one", 2: "two", 3: "few", 4: "few", 6: "few" }; // in Welsh, a number changes the word
const WHYS = {
  "the clock was set": "set",
  "the clock is not synchronised": "unsynchronised",
  "the nightly run before has a later time than now": "future",
  "a backup was restored, so legal holds may be missing: open them again": "restored",
  "the finaliser cannot be reached": "finaliser",
};

/** A number such as "61,204". */
export function numberOf(count) {
  return new Intl.NumberFormat(language()).format(count);
}

/** A period of the settings, such as "12 months", in words. */
export function periodOf(text) {
  const [count, unit] = text.split(" ");
  const key = `admin.retention.${unit.replace(/s$/, "")}`;
  const form = `${key}.${FORMS[count]}`;
  return t(has(form) ? form : `${key}.other`, { count });
}

/** What a rule says, in words. */
export function wordsOf(rule) {
  const byHand = rule.keep === "by hand";
  return {
    keep: byHand ? t("admin.retention.by_hand") : periodOf(rule.keep),
    from: t(byHand ? "admin.retention.from.none" : `admin.retention.from.${rule.counted_from}`),
    minimum: rule.minimum ? periodOf(rule.minimum) : t("admin.retention.minimum.none"),
    applies: appliesTo(rule),
  };
}

function appliesTo({ lines, purposes, flags }) {
  const lists = {
    lines: lines.map((line) => lineName(line)),
    purposes,
    flags: flags.map((flag) => t(`recordings.flag.${flag}`)),
  };
  const given = Object.entries(lists).filter(([, names]) => names.length);
  return given.map(([name, names]) => t(`admin.retention.${name}`, { names: plain(names.join(", ")) })).join("; ") || t("admin.retention.others");
}

/** Why the desk disposes of nothing, in words: the desk says it in English only. */
export function whyOf(texts) {
  return texts.split("; ").map(reasonOf).join(" ");
}

function reasonOf(text) {
  const [, step] = /^the clock was set by ([+-]\d+) s$/.exec(text) ?? [];
  if (step) return t(step < 0 ? "admin.retention.why.back" : "admin.retention.why.ahead", { length: duration(Math.abs(step) * 1e6) });
  const [, count] = /^the nightly run before was (\d+) days ago$/.exec(text) ?? [];
  if (count) return t("admin.retention.why.gap", { count });
  return text in WHYS ? t(`admin.retention.why.${WHYS[text]}`) : plain(text);
}

/** A table whose first column names a category. It scrolls sideways by keyboard, too. */
export class CategoryTable {
  /** `title` is the heading that names the table. */
  constructor(title, columns) {
    const heads = ["category", ...columns].map((name) => el("th", { scope: "col", t: `admin.retention.${name}` }));
    this.body = el("tbody");
    const table = el("table", { "aria-labelledby": title.id }, el("thead", {}, el("tr", {}, ...heads)), this.body);
    this.box = el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": title.id }, table);
  }

  /** Show rows: each has a category, and the cells after it. */
  fill(rows) {
    this.body.replaceChildren(...rows.map(([category, ...cells]) => el("tr", {}, el("th", { scope: "row", raw: category }), ...cells)));
    reveal(this.box, rows.length > 0);
  }
}

/** A cell with a text, or with a number. */
export function cell(value) {
  return el("td", { raw: typeof value === "number" ? numberOf(value) : value });
}

/** Say why the desk has refused something. For a conflict, `conflict()` finds the key of the text. */
export async function refuse(node, error, conflict = () => "admin.retention.refused.busy", values = {}) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status !== 409 && (error.status !== 403 || error.reason)) {
    sayRefusal(node, error);
    return;
  }
  say(node, error.status === 409 ? await conflict() : "admin.refused.purge", values);
  reveal(node, true);
}
