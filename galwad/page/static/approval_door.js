// The entry to the approval of a command line or a panel, at the addresses `#command-line` and
// `#panel=CODE` of the page. Its code is loaded when a signed-in person opens one of them.

import { el, reveal } from "./dom.js";
import { translate } from "./i18n.js";
import { keep, recall } from "./tab_memory.js";

const FRAGMENT = /^#(command-line|panel)(?:=([A-Z-]{1,20}))?$/;
const KEPT = "approval";

/** Keep the address of the approval while the person signs in at the provider, in this tab. */
export function keepApproval() {
  if (FRAGMENT.test(location.hash)) keep(KEPT, location.hash);
}

/** Come back to the approval that was kept, if there is one. */
export function resumeApproval() {
  const kept = recall(KEPT);
  keep(KEPT, "");
  if (FRAGMENT.test(kept)) history.replaceState(null, "", location.pathname + kept);
}

export class ApprovalDoor {
  constructor() {
    this.user = null; // the person who is signed in
    this.box = el("div", { hidden: true });
    this.opened = ""; // the address whose approval is shown
    this.ready = Promise.resolve(); // until the approval is shown, which then has the focus
    addEventListener("hashchange", () => this.follow());
  }

  /** `user` is the name of the person who has signed in, or null. */
  update(user) {
    this.user = user;
    this.opened = "";
    this.ready = this.follow();
  }

  close() {
    history.replaceState(null, "", location.pathname);
    this.follow();
    document.getElementById("main").focus();
  }

  async follow() {
    const hash = location.hash;
    const [, kind, code] = (this.user && FRAGMENT.exec(hash)) || [];
    reveal(this.box, Boolean(kind));
    if (kind && this.opened === hash) return;
    this.opened = kind ? hash : "";
    if (!kind) return;
    const { Approval } = await import("./approval.js");
    if (this.opened !== hash) return;
    const approval = new Approval(kind, this.user, () => this.close());
    this.box.replaceChildren(approval.box);
    translate(this.box);
    await approval.begin(code);
  }
}
