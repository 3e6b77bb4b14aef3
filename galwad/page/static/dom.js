// Building and changing elements. Texts come from the locale by key (`t`), or are data (`raw`).

import { lineName, t } from "./i18n.js";

/**
 * Make an element: attributes, `t` (a locale key), `raw` (data as text), `line` (the name of a line),
 * `on` (listeners).
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "t") {
      say(node, value);
    } else if (name === "raw") {
      show(node, value);
    } else if (name === "line") {
      showLine(node, value);
    } else if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Show a text of the locale; it follows a change of language. */
export function say(node, key, values = {}) {
  const filled = JSON.stringify(values);
  if (node.dataset.t !== key) node.dataset.t = key;
  if (node.dataset.tValues !== filled) node.dataset.tValues = filled;
  change(node, t(key, values));
}

/** Show data, which no locale translates. */
export function show(node, text) {
  if (node.dataset.raw !== "") node.dataset.raw = "";
  change(node, text);
}

/** Show the name of a line, which follows a change of language. */
export function showLine(node, line) {
  if (node.dataset.line !== line) node.dataset.line = line;
  show(node, lineName(line));
}

/** Show an element or hide it, touching the page only where that changes something. */
export function reveal(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

function change(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Send a form once at a time: its button is marked as busy meanwhile. */
export async function busily(button, send) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await send();
  } finally {
    button.setAttribute("aria-busy", "false");
  }
}

/** `4:32`, or `1:04:32` from an hour on. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
