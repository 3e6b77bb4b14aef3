// The page's texts: one file a language, fetched from the desk.

let texts = {};
let current = "en";
const parts = new Set(["page"]); // whose texts are loaded

/** What the council has set in both languages: the names of lines, words by their keys, the teams. */
export const own = { lines: {}, words: {}, teams: [] };

/** The name of a line in a language. */
export function lineName(line, spoken = current) {
  const names = own.lines[line];
  return names?.[spoken] || names?.en || line;
}

/** The language now shown. */
export function language() {
  return current;
}

/** The language to begin with: the last one chosen here, or what the browser prefers. */
export function preferred() {
  return remembered() ?? (navigator.language.startsWith("cy") ? "cy" : "en");
}

/** The language chosen on this machine before, if any. */
export function remembered() {
  try {
    const kept = localStorage.getItem("galwad.language");
    return kept === "en" || kept === "cy" ? kept : null;
  } catch {
    return null; // storage may be barred; the choice then lasts as long as the page
  }
}

/** Keep the choice for the next time. */
export function remember(chosen) {
  try {
    localStorage.setItem("galwad.language", chosen);
  } catch {
    return; // as above
  }
}

/** Load a language and show the whole page in it. */
export async function use(chosen) {
  let found;
  let loaded;
  do {
    loaded = parts.size;
    found = await Promise.all([...parts].map((part) => textsOf(chosen, part)));
  } while (loaded !== parts.size);
  texts = Object.assign({}, ...found);
  current = chosen;
  document.documentElement.lang = chosen;
  translate(document.body);
}

/** Load the texts of a part of the page that not everybody opens. */
export async function load(part) {
  const chosen = current;
  parts.add(part); // from now on, a change of language loads it too
  try {
    const found = await textsOf(chosen, part);
    if (chosen === current) Object.assign(texts, found);
  } catch (error) {
    parts.delete(part);
    throw error;
  }
}

async function textsOf(chosen, part) {
  const response = await fetch(`/api/v1/strings/${chosen}?part=${part}`);
  if (!response.ok) throw new Error(`strings: ${response.status}`);
  return response.json();
}

/** A text by its key, with `{name}` filled in; `{line}` is the name of a line in this language. */
export function t(key, values = {}) {
  const text = own.words[key]?.[current] ?? texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name === "line" && values.line ? lineName(values.line) : values[name]) ?? whole);
}

/** Whether the locale knows a key. */
export function has(key) {
  return key in texts;
}

/** Say again, in the language now shown, everything below `root`. */
export function translate(root) {
  for (const node of root.querySelectorAll("[data-t]")) {
    node.textContent = t(node.dataset.t, JSON.parse(node.dataset.tValues ?? "{}"));
  }
  for (const node of root.querySelectorAll("[data-line]")) {
    node.textContent = lineName(node.dataset.line);
  }
  for (const node of root.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", t(node.dataset.tLabel));
  }
}
