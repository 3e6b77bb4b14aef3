// The sign-in form.

import { ApiError, ask } from "./api.js";
import { el, say } from "./dom.js";
import { embedded } from "./embedding.js";

const REFUSALS = { 0: "error.connection", 401: "signin.wrong", 403: "signin.wrong", 429: "signin.wait" };

/** The form; `done(me)` is called after a sign-in. `note` is a locale key shown above it. */
export function signIn(done, note) {
  const problem = el("p", { class: "problem", role: "alert", id: "signin-problem" });
  const user = field("user", { type: "text", autocomplete: "username", autocapitalize: "none", spellcheck: "false" });
  const password = field("password", { type: "password", autocomplete: "current-password" });
  const button = el("button", { type: "submit", class: "primary", t: "signin.submit" });

  const client = embedded ? "embedded" : "page";

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    delete problem.dataset.t; // so that a second refusal is told like the first
    problem.textContent = "";
    try {
      done(await ask("POST", "/login", { user: user.input.value.trim(), password: password.input.value, client }));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(problem, REFUSALS[error.status] ?? "error.server");
      password.input.value = "";
      password.input.focus();
    } finally {
      button.disabled = false;
    }
  }

  const form = el(
    "form",
    { class: "card signin", on: { submit } },
    el("h1", { t: "signin.title" }),
    el("p", { class: "note", role: "alert", id: "signin-note", ...(note ? { t: note } : {}) }),
    user.box,
    password.box,
    problem,
    button,
  );
  return form;
}

function field(name, attributes) {
  const input = el("input", {
    id: `signin-${name}`,
    name,
    required: true,
    "aria-describedby": "signin-note signin-problem",
    ...attributes,
  });
  return { input, box: el("div", { class: "field" }, el("label", { for: input.id, t: `signin.${name}` }), input) };
}
