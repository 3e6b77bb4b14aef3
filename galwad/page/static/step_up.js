// The stronger sign-in at the provider (step-up), which the desk may ask for before a sensitive act.
// This is loaded only when the desk asks for it, or when the provider has sent the person back.

import { el, reveal, say } from "./dom.js";
import { language, translate } from "./i18n.js";

const PLACES = ["#admin", "#recordings", "#retention", "#holds", "#cases", "#command-line"]; // the parts of the page that have an address

const text = el("p", { id: "step-up-text", tabindex: "-1" });
const typed = el("p", { class: "note", t: "stepup.typed", hidden: true });
const problem = el("p", { class: "problem", role: "alert" });
const go = el("button", { type: "button", class: "primary", t: "stepup.go", on: { click: leave } });
const shut = el("button", { type: "button", class: "quiet", on: { click: close } });
const words = el("div", {}, text, typed, problem);
const box = el("div", { class: "banner ending", role: "region", "data-t-label": "stepup.label" }, words, el("div", { class: "buttons" }, shut, go));
let before = null; // what had the focus
let ask = null; // sends a request to the desk: api.js, which loads this module, passes it on

/** Ask the person to sign in more strongly, because the desk has refused an act without it. */
export function offer(send) {
  ask = send;
  open("stepup.ask", true);
  reveal(typed, isTyped());
}

/** Say how a sign-in at the provider came back, by the key of a text. */
export function show(key) {
  open(key, false);
}

function open(key, asks) {
  if (!box.isConnected) before = document.activeElement;
  say(text, key);
  say(shut, asks ? "stepup.later" : "stepup.close");
  reveal(go, asks);
  reveal(typed, false);
  forget();
  const place = document.getElementById("session"); // what is here goes with the session
  place.append(box);
  translate(place);
  text.focus();
}

function close() {
  box.remove();
  (before?.isConnected ? before : document.getElementById("main")).focus();
}

/** Whether a form on the page has something that the person has typed or ticked and not sent. */
function isTyped() {
  const fields = [...document.querySelectorAll("#main form :is(input, textarea), #main .setting input")];
  return fields.some((field) => field.checkVisibility() && (field.value !== field.defaultValue || field.checked !== field.defaultChecked));
}

function forget() {
  delete problem.dataset.t; // so that a second refusal is announced like the first
  problem.textContent = "";
}

async function leave() {
  if (go.getAttribute("aria-busy") === "true") return;
  go.setAttribute("aria-busy", "true");
  forget();
  try {
    const place = PLACES.includes(location.hash) ? location.hash.slice(1) : "";
    const { url } = await ask("POST", "/sign-in/begin", { language: language(), step_up: true, place });
    location.assign(url);
  } catch (error) {
    if (error.status === undefined) throw error; // it is no refusal of the desk
    say(problem, error.status === 503 ? "signin.refused.provider" : "error.notsent");
  } finally {
    go.setAttribute("aria-busy", "false");
  }
}
