// Legal holds: the list of the cases for which recordings are retained, one case in detail, and the form
// that opens a case.

import { HoldDetail, ownerOf, reviewOf } from "./hold_detail.js";
import { NewHold } from "./hold_forms.js";
import { t } from "./i18n.js";
import { RegisterPage } from "./register.js";
import { cell } from "./retention_parts.js";
import { plain } from "./timeline.js";
import { dateOf } from "./times.js";

const HOLDS = {
  name: "holds",
  over: "released",
  columns: ["hold", "reason", "owner", "review", "recordings", "state"],
  idOf: (hold) => hold.hold_id,
  cellsOf: (hold, owners) => [cell(plain(hold.reason)), cell(ownerOf(hold)), cell(reviewOf(hold)), cell(hold.recordings), cell(stateOf(hold, owners))],
  Detail: HoldDetail,
  New: NewHold,
};

export class Holds extends RegisterPage {
  constructor(me, onClose) {
    super(me, onClose, HOLDS);
  }
}

/** The state of a hold. A request of a person who is no longer an administrator does not count. */
function stateOf({ released, number, asked_by: user }, owners) {
  if (released !== null) return t("admin.holds.state.released", { day: dateOf(released) });
  const parts = [];
  if (owners.includes(user)) parts.push(t("admin.holds.state.asked", { user }));
  if (number) parts.push(t("admin.holds.state.future", { number: plain(number) }));
  return parts.join(" ") || t("admin.holds.state.open");
}
