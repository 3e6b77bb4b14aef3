// The purposes of calls that the council lists, in both languages. The desk checks them again.

import { el } from "./dom.js";
import { language } from "./i18n.js";

let purposes = [];
let freeText = true;

/** Take the list that the desk has sent; `others` is true if other purposes can be written. */
export function takePurposes(listed, others) {
  purposes = listed;
  freeText = others;
  document.querySelectorAll("datalist.purposes").forEach(fill);
}

/** Return whether a note may have this purpose. */
export function accepts(text) {
  return freeText || purposes.some((each) => each.en === text || each.cy === text);
}

/** Return a list of suggestions for the text field `input`, in the page's language. */
export function suggestions(input) {
  const list = el("datalist", { id: `${input.id}-list`, class: "purposes" });
  input.setAttribute("list", list.id);
  input.addEventListener("focus", () => fill(list));
  return list;
}

function fill(list) {
  const names = purposes.map((each) => each[language()]);
  if (names.join("\n") === list.dataset.names) return;
  list.dataset.names = names.join("\n");
  list.replaceChildren(...names.map((value) => el("option", { value })));
}
