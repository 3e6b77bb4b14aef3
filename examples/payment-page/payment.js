// A payment page that pauses the recording when it loads, renews the pause, and resumes when the
// payment is done or cancelled, or when the page is left. The card fields can be used only while
// Galwad itself has said, not long ago, that the recording is paused.

import { DESK, HEARTBEAT_S, RENEW_S } from "./config.js";
import { t } from "./texts.js";

const PATH = "/api/v1/payment-page";
const ANSWER_MS = 5_000; // Galwad answers within two seconds, or it does not

const state = document.getElementById("state");
const form = document.getElementById("payment");
const card = document.getElementById("card");
const done = document.getElementById("done");
const cancel = document.getElementById("cancel");
const token = takeToken();
let timer = null;
let open = false; // this page may hold a pause, which it must release

/** The token from the part of the address that no browser sends or logs, taken out of the history. */
function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  history.replaceState(null, "", location.pathname);
  return found;
}

/** One request with the token: the HTTP status (0: no answer), and Galwad's state of the recording. */
async function ask(method, more = {}) {
  try {
    const response = await fetch(DESK + PATH, {
      method,
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: method === "PUT" ? JSON.stringify({ heartbeat: HEARTBEAT_S }) : undefined,
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MS),
      ...more,
    });
    const body = await response.json();
    return { status: response.status, recording: response.ok ? body.state : null };
  } catch {
    return { status: 0, recording: null }; // no connection, no answer in time, or not Galwad's answer
  }
}

/** Show a state. The fields can be used in one of them only. */
function show(name) {
  state.dataset.state = name;
  state.textContent = t(name);
  card.disabled = name !== "paused";
  done.disabled = cancel.disabled = !["paused", "unsure", "stuck"].includes(name);
}

/** Pause, or renew the pause: the same request. */
async function pause() {
  const { status, recording } = await ask("PUT");
  if (!open) return; // the payment has ended meanwhile
  if (recording === "paused") show("paused");
  else if (status === 0 || status >= 500) show("unsure");
  else {
    stop();
    show(status === 404 ? "ended" : "refused");
    return;
  }
  timer = setTimeout(pause, RENEW_S * 1_000);
}

function stop() {
  open = false;
  clearTimeout(timer);
  form.reset();
}

/** Resume: the card fields are emptied first. */
async function finish() {
  stop();
  show("resuming");
  const { status, recording } = await ask("DELETE");
  if (recording === "paused") show("held");
  else if (recording) show("recording");
  else if (status === 404) show("ended");
  else show("stuck");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  finish();
});
cancel.addEventListener("click", finish);

// The browser sends this request although the page goes. If it cannot, as when the browser dies,
// the recording stays paused, and Galwad warns the advisor after HEARTBEAT_S.
addEventListener("pagehide", () => {
  if (open) ask("DELETE", { keepalive: true, signal: undefined });
  stop();
});
// A page that comes back from the browser's cache has released its pause.
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) show("refused");
});

for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
document.title = t("title");
show("pausing");
open = true;
pause();
