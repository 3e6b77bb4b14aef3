// The parts that the administrator's list of users and the form of one user share.

import { el, reveal, say } from "./dom.js";
import { has, translate } from "./i18n.js";

/** Say why the desk has refused something. */
export function sayRefusal(node, error) {
  const known = error.reason === "step_up_needed" ? "stepup.needed" : `admin.refused.${error.reason}`;
  if (error.reason && has(known)) say(node, known);
  else say(node, error.status === 422 ? "admin.refused.invalid" : "error.notsent");
  reveal(node, true);
}

/** Offer these rights as boxes to tick; none if a user of this role can have none. */
export function fillRights(fieldset, offered, chosen) {
  const boxes = offered.map((right) => {
    const box = el("input", { type: "checkbox", value: right, checked: chosen.includes(right) });
    return el("label", {}, box, " ", el("span", { t: `admin.right.${right}` }));
  });
  fieldset.replaceChildren(el("legend", { t: "admin.rights" }), ...boxes);
  reveal(fieldset, offered.length > 0);
  translate(fieldset);
}

export function chosenRights(fieldset) {
  return [...fieldset.querySelectorAll("input:checked")].map((box) => box.value);
}

/** The part of an element's id that names a user: no two users have the same. */
export function idOf(user) {
  return user.name.replace(/[^a-z0-9-]/g, (sign) => `_${sign.charCodeAt(0)}`);
}
