// The user's second factor: a code of an authenticator app at each sign-in with a password. The
// secret and the recovery codes are on the page only while they are shown, and nowhere else.

import { announce } from "./announce.js";
import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { translate } from "./i18n.js";
import { momentOf } from "./times.js";

const PATH = "/me/second-factor";
const SVG = "http://www.w3.org/2000/svg";
const REFUSALS = { 0: "error.connection", 401: "signin.expired", 403: "account.wrong", 409: "factor.changed", 429: "signin.wait" };
const REASONS = {
  clock: "factor.clock",
  code_unreadable: "signin.code_unreadable",
  code_used: "signin.code_used",
  code_wrong: "signin.code_wrong",
  codes_barred: "signin.codes_barred",
  no_password: "account.elsewhere",
  setup_expired: "factor.expired",
};

export class SecondFactor {
  constructor() {
    this.button = el("button", { type: "button", class: "quiet", t: "factor.open", hidden: true, on: { click: () => this.open() } });
    const keydown = (event) => event.key === "Escape" && !this.first && !this.codes && this.close();
    this.box = el("section", { class: "card account", "aria-labelledby": "factor-title", on: { keydown } });
    this.used = el("span", {});
    this.notice = el(
      "div",
      { class: "banner used-code", role: "region", "data-t-label": "factor.open", hidden: true },
      this.used,
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "button", class: "quiet", t: "factor.was_me", on: { click: () => this.seen() } }),
        el("button", { type: "button", class: "quiet", t: "factor.open", on: { click: () => this.open() } }),
      ),
    );
  }

  /** `me` is the signed-in user, or null. */
  update(me) {
    const offered = me?.changes_password === true;
    reveal(this.button, offered);
    if (!me) {
      this.hide();
      reveal(this.notice, false);
    } else if (offered) {
      this.look();
    }
  }

  /** Show the notice if a recovery code was used and the user has not seen it. */
  async look() {
    try {
      this.note(await ask("GET", PATH));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the notice is shown after the next sign-in
    }
  }

  note({ recovery_used: used, recovery_left: left }) {
    reveal(this.notice, Boolean(used));
    if (used) say(this.used, "factor.used_code", { time: momentOf(used), left });
  }

  async seen() {
    try {
      await ask("POST", `${PATH}/seen`, {});
      reveal(this.notice, false);
      document.getElementById("main").focus();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      announce("error.notsent");
    }
  }

  async open() {
    document.getElementById("main").before(this.box);
    this.stage("factor.title", el("p", { class: "note", t: "factor.loading" }));
    await this.attempt(async () => {
      const facts = await ask("GET", PATH);
      this.note(facts);
      if (facts.since === null) this.offer();
      else this.manage(facts);
    });
  }

  /** The box in which a user who must have a second factor sets it up; `done` is called after it. */
  begin(done) {
    this.first = done;
    this.stage("factor.title", el("p", { class: "note", t: "factor.needed" }));
    this.attempt(() => this.setUp({}));
    return this.box;
  }

  close() {
    const done = this.first;
    this.hide();
    if (done) {
      done();
    } else {
      this.button.focus();
      this.look();
    }
  }

  hide() {
    this.first = null;
    this.codes = null;
    this.box.remove();
    this.box.replaceChildren();
  }

  /** There is none yet: the password, then the setup. */
  offer() {
    const password = field("password", { type: "password", autocomplete: "current-password" });
    const submit = () => this.setUp({ password: password.input.value });
    this.form("factor.title", [paragraph("factor.hint"), password.box], [primary("factor.set_up")], submit, { password });
  }

  /** One is in force: each change needs the password and a code. */
  manage({ since, recovery_left: left, required }) {
    const password = field("password", { type: "password", autocomplete: "current-password" });
    const code = field("code", { autocomplete: "one-time-code", hint: "signin.code_hint" });
    const state = el("p", {});
    say(state, "factor.state", { time: momentOf(since), left });
    const acts = {
      replace: (proof) => this.setUp(proof),
      codes: async (proof) => this.show(await ask("POST", `${PATH}/recovery-codes`, proof), "factor.new_codes"),
      off: (proof) => this.switchOff(proof),
    };
    const offered = Object.keys(acts).filter((act) => act !== "off" || !required);
    const buttons = offered.map((act) => el("button", { type: "submit", t: `factor.${act}`, value: act }));
    const submit = (event) => {
      const act = event.submitter?.value ?? "replace";
      return acts[act]({ password: password.input.value, code: code.input.value });
    };
    this.form("factor.title", [state, paragraph("factor.proof"), password.box, code.box], buttons, submit, { password, code });
  }

  async setUp(proof) {
    const setup = await ask("POST", `${PATH}/setup`, proof);
    const code = field("code", { autocomplete: "one-time-code" });
    const secret = el("code", { class: "secret", raw: setup.secret.match(/.{1,4}/g).join(" ") });
    const parts = [
      el("ol", { class: "steps" }, el("li", { t: "factor.step_app" }), el("li", { t: "factor.step_scan" }), el("li", { t: "factor.step_code" })),
      picture(setup.qr),
      el("p", {}, el("span", { t: "factor.by_hand" }), " ", secret),
      code.box,
    ];
    const submit = async () => this.show(await ask("POST", `${PATH}/confirm`, { code: code.input.value }), "factor.in_force");
    this.form("factor.setup_title", parts, [primary("factor.confirm")], submit, { code });
  }

  /** The recovery codes, which are shown once. */
  show({ recovery_codes: codes }, said) {
    this.codes = codes;
    const copy = el("button", { type: "button", t: "tokens.copy", on: { click: () => this.copy(copy) } });
    const list = el("ul", { class: "codes", "aria-labelledby": "factor-title" }, ...codes.map((code) => el("li", { raw: code })));
    this.stage(
      "factor.codes_title",
      paragraph("factor.codes_hint"),
      list,
      el(
        "div",
        { class: "buttons" },
        copy,
        el("button", { type: "button", t: "factor.print", on: { click: () => window.print() } }),
        el("button", { type: "button", class: "primary", t: "factor.kept", on: { click: () => this.close() } }),
      ),
    );
    announce(said);
  }

  async copy(button) {
    try {
      await navigator.clipboard.writeText(this.codes.join("\n"));
      say(button, "tokens.copied");
      announce("tokens.copied");
    } catch {
      getSelection().selectAllChildren(this.box.querySelector(".codes")); // to be copied by hand
    }
  }

  async switchOff(proof) {
    await ask("POST", `${PATH}/remove`, proof);
    this.close();
    announce("factor.is_off");
  }

  /** Show a form; `fields` are those that a refusal may be about. */
  form(title, parts, buttons, submit, fields) {
    const form = el("form", { class: "signin" }, ...parts, this.refusal(), el("div", { class: "buttons" }, ...buttons, ...this.cancel()));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      for (const button of buttons) button.disabled = true;
      await this.attempt(() => submit(event), fields);
      for (const button of buttons) button.disabled = false;
    });
    this.stage(title, form);
    fields.password?.input.focus(); // at the setup, the steps come first
  }

  stage(title, ...parts) {
    const heading = el("h2", { t: title, id: "factor-title", tabindex: "-1" });
    const also = parts.some((part) => part.contains(this.problem)) ? [] : [this.refusal()];
    this.box.replaceChildren(heading, ...parts, ...also);
    translate(this.box);
    heading.focus();
  }

  refusal() {
    this.problem = el("p", { class: "problem", role: "alert", id: "factor-problem" });
    return this.problem;
  }

  cancel() {
    return this.first ? [] : [el("button", { type: "button", class: "quiet", t: "account.cancel", on: { click: () => this.close() } })];
  }

  /** Do something at the desk, and show why it was refused. */
  async attempt(work, { password, code } = {}) {
    delete this.problem.dataset.t; // so that a second refusal is announced like the first
    this.problem.textContent = "";
    try {
      await work();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.problem, REASONS[error.reason] ?? (code && error.status === 422 ? "signin.code_wrong" : REFUSALS[error.status] ?? "error.server"));
      const wrong = error.reason.startsWith("code") || error.reason === "clock" || !password ? code : password;
      if (!wrong) return;
      wrong.input.value = "";
      wrong.input.focus();
    }
  }
}

function paragraph(key) {
  return el("p", { class: "note", t: key });
}

function primary(key) {
  return el("button", { type: "submit", class: "primary", t: key });
}

function field(name, { hint, ...attributes }) {
  const input = el("input", {
    id: `factor-${name}`,
    type: "text",
    required: true,
    autocapitalize: "none",
    spellcheck: "false",
    "aria-describedby": hint ? `factor-${name}-hint factor-problem` : "factor-problem",
    ...attributes,
  });
  const label = el("label", { for: input.id, t: `factor.${name}` });
  const about = hint ? el("p", { class: "note", id: `factor-${name}-hint`, t: hint }) : null;
  return { input, box: el("div", { class: "field" }, label, input, about) };
}

/** The QR code: dark on white in every look, because a camera reads it. */
function picture({ size, path }) {
  const svg = document.createElementNS(SVG, "svg");
  const dark = document.createElementNS(SVG, "path");
  dark.setAttribute("d", path);
  for (const [name, value] of Object.entries({ class: "qr", viewBox: `0 0 ${size} ${size}`, role: "img", "data-t-label": "factor.qr" })) {
    svg.setAttribute(name, value);
  }
  svg.append(dark);
  return svg;
}
