// Short texts that this tab of the browser keeps over a reload. A browser may bar this, as in a panel
// of another site; the text then lasts as long as the page.

/** Return what was kept under a name in this tab, or "". */
export function recall(name) {
  try {
    return sessionStorage.getItem(`galwad.${name}`) ?? "";
  } catch {
    return "";
  }
}

/** Keep a text under a name in this tab; "" forgets it. */
export function keep(name, text) {
  try {
    if (text) sessionStorage.setItem(`galwad.${name}`, text);
    else sessionStorage.removeItem(`galwad.${name}`);
  } catch {
    return; // as above
  }
}
