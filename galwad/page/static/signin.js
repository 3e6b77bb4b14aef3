// The sign-in: with the account of an OpenID provider if the desk has one, or with a password.

import { ApiError, ask } from "./api.js";
import { keepApproval } from "./approval_door.js";
import { el, reveal, say } from "./dom.js";
import { embedded } from "./embedding.js";
import * as i18n from "./i18n.js";

const REFUSALS = { 0: "error.connection", 401: "signin.wrong", 403: "signin.wrong", 429: "signin.wait" };
const CODES = {
  code_needed: "signin.code_needed",
  code_wrong: "signin.code_wrong",
  code_used: "signin.code_used",
  code_unreadable: "signin.code_unreadable",
  codes_barred: "signin.codes_barred",
};
const REASON = /^#(sign-in|step-up)=([a-z_]+)(?:,([a-z-]+))?$/;

let ways = { provider: false, passwords: "everyone" };

/** Ask the desk how people sign in. Until it answers, they do so with a password. */
export async function loadWays() {
  try {
    ways = await ask("GET", "/sign-in");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
}

/** The locale key of what came of a sign-in or step-up at the provider, if the page is back from it. */
export function takeReason() {
  const [, act, reason, place] = REASON.exec(location.hash) ?? [];
  if (!reason) return undefined;
  history.replaceState(null, "", place ? `#${place}` : location.pathname);
  const keys = [`${act === "step-up" ? "stepup.back" : ""}.${reason}`, `signin.refused.${reason}`];
  return keys.find((key) => i18n.has(key)) ?? "error.server";
}

/** The form; `done(me)` is called after a sign-in. `note` is a locale key shown above it.
 *  With `keeping`, this page has a note that must not be lost: the provider gets a page of its own. */
export function signIn(done, note, keeping = false) {
  const problem = el("p", { class: "problem", role: "alert", id: "signin-problem" });
  const user = field("user", { type: "text", autocomplete: "username", autocapitalize: "none", spellcheck: "false" });
  const password = field("password", { type: "password", autocomplete: "current-password" });
  const code = field("code", { type: "text", autocomplete: "one-time-code", autocapitalize: "none", spellcheck: "false" });
  code.box.append(el("p", { class: "note", id: "signin-code-hint", t: "signin.code_hint" }));
  code.input.setAttribute("aria-describedby", "signin-code-hint signin-problem");
  askForCode(false);
  const button = el("button", { type: "submit", class: ways.provider ? null : "primary", t: "signin.submit" });

  function refuse(key) {
    say(problem, key);
  }

  function forget() {
    delete problem.dataset.t; // so that a second refusal is told like the first
    problem.textContent = "";
  }

  /** Ask for a code, or not any more: only a user whose password was right learns that one is needed. */
  function askForCode(asked) {
    reveal(code.box, asked);
    code.input.required = asked;
    code.input.value = "";
  }

  const client = embedded ? "embedded" : "page";

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    forget();
    try {
      const typed = code.input.value ? { code: code.input.value } : {};
      done(await ask("POST", "/login", { user: user.input.value.trim(), password: password.input.value, client, ...typed }));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.reason in CODES) {
        askForCode(true);
        say(problem, CODES[error.reason]);
        code.input.focus();
        return;
      }
      askForCode(false);
      const wrong = ways.provider && error.status === 401;
      refuse(wrong ? "signin.wrong_or_work" : REFUSALS[error.status] ?? "error.server");
      password.input.value = "";
      password.input.focus();
    } finally {
      button.disabled = false;
    }
  }

  /** No provider can be shown in a panel: the person signs in in a tab of its own. */
  async function inPanel() {
    const { PanelSignIn } = await import("./panel_sign_in.js");
    const leave = () => {
      panel.box.replaceWith(form);
      i18n.translate(form);
      work.focus();
    };
    const panel = new PanelSignIn({ done, leave });
    form.replaceWith(panel.box);
    await panel.begin();
  }

  async function atProvider() {
    if (work.getAttribute("aria-busy") === "true") return;
    work.setAttribute("aria-busy", "true");
    say(work, "signin.opening");
    forget();
    try {
      const { url } = await ask("POST", "/sign-in/begin", { language: i18n.language() });
      keepApproval();
      if (!keeping) location.assign(url);
      else if (!window.open(url, "_blank")) refuse("signin.blocked");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      refuse(error.status === 503 ? "signin.refused.provider" : REFUSALS[error.status] ?? "error.server");
    } finally {
      work.setAttribute("aria-busy", "false");
      say(work, "signin.work");
    }
  }

  /** Back from the other page: the sign-in there holds here too. */
  async function look() {
    if (!form.isConnected) {
      window.removeEventListener("focus", look);
      return;
    }
    try {
      done(await ask("GET", "/me"));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }

  const work = el("button", { type: "button", class: "primary", t: "signin.work", on: { click: embedded ? inPanel : atProvider } });
  const refused = note?.startsWith("signin.refused.");
  const own = [user.box, password.box, code.box, button];
  const form = el(
    "form",
    { class: "card signin", on: { submit } },
    el("h1", { t: "signin.title" }),
    el("p", { class: refused ? "problem" : "note", role: "alert", id: "signin-note", ...(note ? { t: note } : {}) }),
    ...(ways.provider
      ? [
          keeping && !embedded ? el("p", { class: "note", t: "signin.keeping" }) : null,
          work,
          problem,
          el("details", { class: "own" }, el("summary", { t: "signin.own" }), ...own),
        ]
      : [user.box, password.box, code.box, problem, button]),
  );
  if (keeping && !embedded) window.addEventListener("focus", look);
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
