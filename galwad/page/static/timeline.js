// What happened in a recording: a bar with its gaps, how long they are, and sentences that explain
// them, as those of the command line. Positions are in microseconds since the recording's start.

import { clock, el } from "./dom.js";
import { has, t } from "./i18n.js";
import { preciseTimeOf } from "./times.js";

/** The reasons of gaps, in the sequence in which they are listed. */
export const REASONS = ["payment", "transfer", "fault", "erased", "captured-card"];

/** The bar of a recording, for the eyes: `summary` and `explanations` say in words what it shows. */
export function bar({ gaps, unexplained, talk_s }) {
  const whole = Math.max(1, talk_s * 1e6);
  const parts = [
    ...gaps.map(({ reason, ...part }) => ({ kind: REASONS.includes(reason) ? reason : "other", ...part })),
    ...unexplained.map((part) => ({ kind: "unexplained", ...part })), // above a gap in the same place
  ];
  const spans = parts.map(({ kind, from_us, to_us }) => {
    const span = el("span", { class: `gap-${kind}` });
    span.style.insetInlineStart = `${(100 * from_us) / whole}%`;
    span.style.inlineSize = `${(100 * (to_us - from_us)) / whole}%`;
    return span;
  });
  return el("div", { class: "track", "aria-hidden": "true" }, ...spans);
}

/** The gaps of a recording in words: for each reason, how long they are together. */
export function summary({ gaps, unexplained_s }) {
  const found = [...REASONS, ...gaps.map(({ reason }) => reason)];
  const parts = [...new Set(found)].flatMap((reason) => {
    const us = gaps.filter((gap) => gap.reason === reason).reduce((sum, gap) => sum + gap.to_us - gap.from_us, 0);
    return us ? [`${nameOf(reason)} ${duration(us)}`] : [];
  });
  if (unexplained_s) parts.push(`${t("recordings.unexplained")} ${duration(unexplained_s * 1e6)}`);
  return parts.join(", ") || t("recordings.whole");
}

export function nameOf(reason) {
  const key = `recordings.gap_reason.${reason}`;
  return has(key) ? t(key) : plain(reason);
}

/** A length such as "1 min 20 s", as the command line writes it. */
export function duration(us) {
  const tenths = rounded(us / 1e5);
  if (tenths > 0 && tenths < 100 && tenths % 10) return t("duration.seconds", { count: (tenths / 10).toFixed(1) });
  if (us > 0 && tenths === 0) return t("duration.moment");
  const whole = rounded(us / 1e6);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const seconds = whole % 60;
  const parts = [];
  if (hours) parts.push(t("duration.hours", { count: hours }));
  if (minutes) parts.push(t(minutes === 2 ? "duration.two_minutes" : "duration.minutes", { count: minutes }));
  if (seconds || !parts.length) parts.push(t("duration.seconds", { count: seconds }));
  return parts.join(" ");
}

/** The nearest whole number, and of two the even one, as the command line rounds. */
function rounded(number) {
  const up = Math.round(number);
  return up - number === 0.5 && up % 2 ? up - 1 : up;
}

/** A text without characters that are not seen, or that turn the text around them. */
export function plain(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

/** The sentences that explain a recording's gaps (`/recordings/{id}/gaps`), each with its proof. */
export function explanations({ gaps, signed, unexplained_us }) {
  const found = gaps.map(sentence);
  if (!signed) found.unshift(t("explain.unsigned"));
  if (!gaps.length) found.push(t(signed && !unexplained_us ? "explain.none" : "explain.none.listed"));
  if (unexplained_us) found.push(t("explain.unexplained", { length: duration(unexplained_us) }));
  return found;
}

function sentence(gap) {
  const values = { time: preciseTimeOf(gap.began), position: clock(gap.from_us / 1e6), length: duration(gap.to_us - gap.from_us) };
  if (gap.reason === "captured-card") return `${t("explain.captured", values)} ${proof(gap)}`;
  const parts = [t(gap.reason === "erased" ? "explain.erased" : "explain.stopped", { ...values, cause: cause(gap) })];
  if (gap.reason === "fault") parts.push(t("explain.fault"));
  // What is erased ends where its pause begins, so no sentence says that a gap follows.
  if (gap.reason !== "erased" || gap.then !== "gap") parts.push(t(`explain.then.${gap.then}`, { time: preciseTimeOf(gap.ended) }));
  return [...parts, proof(gap)].join(" ");
}

function cause({ reason, trigger, actor }) {
  const values = { reason: plain(reason), trigger: plain(trigger) || "-", actor: plain(actorOf(actor)) };
  const key = `explain.cause.${reason === "erased" ? "payment" : reason}.${trigger}`;
  if (has(key)) return t(key, values);
  return t(reason === "fault" ? "explain.cause.fault.other" : "explain.cause.other", values);
}

/** Who or what did it, in words: `user:sian` is "sian", and `phone:201` is "phone 201". */
export function actorOf(actor) {
  const at = actor.indexOf(":");
  const [kind, name] = [actor.slice(0, Math.max(at, 0)), actor.slice(at + 1)];
  if (kind === "user" && name) return name;
  if (kind && name && has(`holder.${kind}`)) return t(`holder.${kind}`, { name });
  if (actor === "system") return t("explain.actor.system");
  return actor || t("explain.actor.unknown");
}

function proof({ proof: kind, stopped_by: seq, resumed_by: resumed }) {
  if (kind === "missing") return t("explain.proof.missing");
  const key = kind === "entry" ? "explain.proof.entry" : "explain.proof.manifest";
  if (resumed === null) return t(key, { seq });
  return t(kind === "entry" ? "explain.proof.resumed" : `${key}.resumed`, { seq, resumed });
}
