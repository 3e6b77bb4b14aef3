// The title of the page, which is all that is seen of it from another tab.

import { lineName, t } from "./i18n.js";
import { shownState } from "./recording.js";

const ORDER = { answered: 0, held: 0, wrapup: 1, ended: 1 };

/** Set the title by the calls shown here; `null` for the sign-in. */
export function entitle(pops, known) {
  document.title = [...parts(pops, known), "Galwad"].join(" | ");
}

function parts(pops, known) {
  if (pops === null) return [t("signin.title")];
  const ringing = pops.filter((pop) => pop.state === "ringing");
  const calls = ringing.slice(0, 1).map((pop) => t("title.ringing", { line: pop.line }));
  const [first] = pops.filter((pop) => pop.state !== "ringing").sort((a, b) => ORDER[a.state] - ORDER[b.state]);
  if (!first) return calls.length ? calls : [t("idle.title")];
  const live = first.state === "answered" || first.state === "held";
  return [...calls, t(live ? `rec.${shownState(first, known)}` : `state.${first.state}`), lineName(first.line)];
}
