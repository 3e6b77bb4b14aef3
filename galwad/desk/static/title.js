// The title of the page, which is all that is seen of it from another tab.

import { t } from "./i18n.js";
import { shownState } from "./recording.js";

const ORDER = { answered: 0, held: 0, ringing: 1, wrapup: 2, ended: 2 };

/** Set the title by the calls shown here; `null` for the sign-in. */
export function entitle(pops, known) {
  document.title = [...parts(pops, known), "Galwad"].join(" | ");
}

function parts(pops, known) {
  if (pops === null) return [t("signin.title")];
  const [first] = [...pops].sort((a, b) => ORDER[a.state] - ORDER[b.state]);
  if (!first) return [t("idle.title")];
  const live = first.state === "answered" || first.state === "held";
  return [t(live ? `rec.${shownState(first, known)}` : `state.${first.state}`), first.line];
}
