// The purposes of calls that the council lists, in both languages. The desk checks them again.

import { ApiError, ask } from "./api.js";
import { el } from "./dom.js";
import { language } from "./i18n.js";

let purposes = [];
let freeText = true;

/** Fetch the list; without it, every purpose can be written, and the desk decides. */
export async function loadPurposes() {
  try {
    const found = await ask("GET", "/contacts/purposes");
    purposes = found.purposes;
    freeText = found.free_text;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

/** Return whether a note may have this purpose. */
export function accepts(text) {
  return freeText || purposes.some((each) => each.en === text || each.cy === text);
}

/** Return a list of suggestions for the text field `input`, in the page's language. */
export function suggestions(input) {
  const list = el("datalist", { id: `${input.id}-list` });
  input.setAttribute("list", list.id);
  const fill = () => {
    const names = purposes.map((each) => each[language()]);
    if (names.join("\n") === list.dataset.names) return;
    list.dataset.names = names.join("\n");
    list.replaceChildren(...names.map((value) => el("option", { value })));
  };
  input.addEventListener("focus", fill);
  return list;
}
