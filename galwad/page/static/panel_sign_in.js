// The sign-in of a panel with a sign-in in a tab of its own. The panel shows a code, and opens the
// page with this code. There the person signs in as usual, compares the code and approves. The two
// share no storage and no window, so the panel asks the desk until it has its own session.

import { ApiError, ask } from "./api.js";
import { el, reveal, say } from "./dom.js";
import { translate } from "./i18n.js";

const ENDED = { 401: "panel.late", 403: "panel.unnamed", 410: "panel.late", 422: "panel.unnamed" };
const REFUSED = { ...ENDED, 0: "error.connection" };

/** The origin of the page in the browser's address bar, or of the page around this one. */
function site() {
  const around = location.ancestorOrigins;
  if (around?.length) return around[around.length - 1];
  return document.referrer ? new URL(document.referrer).origin : "";
}

export class PanelSignIn {
  /** `done(me)` is called after the sign-in; `leave()` shows the form again. */
  constructor({ done, leave }) {
    this.done = done;
    this.title = el("h1", { t: "signin.title", tabindex: "-1" });
    this.code = el("strong", { class: "shown-code" });
    this.link = el("a", { target: "_blank", rel: "noopener", t: "panel.open" });
    this.steps = el("div", { hidden: true }, el("p", { t: "panel.steps" }), el("p", {}, this.code), el("p", {}, this.link));
    this.trouble = el("p", { class: "problem", role: "alert" });
    const back = el("button", { type: "button", t: "panel.back", on: { click: leave } });
    this.box = el("section", { class: "card signin" }, this.title, this.steps, this.trouble, el("div", { class: "buttons" }, back));
  }

  async begin() {
    translate(this.box);
    this.title.focus();
    let waiting;
    try {
      waiting = await ask("POST", "/panels", { site: site() });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, REFUSED[error.status] ?? "error.server");
      return;
    }
    this.link.href = `${waiting.page}=${waiting.code}`;
    say(this.code, "panel.compare", { code: waiting.code });
    reveal(this.steps, true);
    window.open(this.link.href, "_blank", "noopener"); // if the browser blocks it, there is the link
    await this.wait(waiting);
  }

  /** Ask for the session until there is one, or there will be none. A lost connection ends nothing. */
  async wait({ secret, interval_s }) {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, interval_s * 1000));
      if (!this.box.isConnected) return;
      try {
        this.done(await ask("POST", "/panels/session", { secret }));
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (!(error.status in ENDED)) continue;
        reveal(this.steps, false);
        say(this.trouble, ENDED[error.status]);
        return;
      }
    }
  }
}
