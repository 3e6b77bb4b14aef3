// The recordings of the calls in a small window above all others: the state, the clock and the
// buttons of the pause, and two of the phone. It shows what the page shows, at the same moment, and
// acts through it.

import { el, reveal, say, show, showLine } from "./dom.js";
import * as i18n from "./i18n.js";
import { PHONE_KEY } from "./phone.js";

const SIZE = { width: 360, height: 230 };
const TICK_MS = 1000;
const POPUP = "/static/mini.html";

/** One call in the small window: a second view of its card's recording. */
class MiniCall {
  constructor(card) {
    this.card = card;
    const { recording, phone } = card;
    this.line = el("h2", { class: "mini-line", dir: "auto" });
    this.word = el("strong", { class: "word" });
    this.time = el("span", { class: "time" });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.warning = el("p", { class: "warning", hidden: true });
    this.pause = recording.button("pause", "F8", () => recording.pause());
    this.resume = recording.button("resume", "Shift+F8", () => recording.pressResume());
    this.bar = el(
      "section",
      { class: "bar", "data-t-label": "rec.label", tabindex: "-1" },
      el("span", { class: "shape", "aria-hidden": "true" }),
      el("div", { class: "says" }, el("p", { class: "line" }, this.word, this.time)),
      el("div", { class: "buttons" }, this.pause, this.resume),
    );
    this.hold = phone.button("hold", PHONE_KEY, () => phone.toggleHold());
    this.hangup = phone.button("hangup", `Shift+${PHONE_KEY}`, () => phone.act("hangup"));
    this.phone = el("section", { class: "phone buttons", "data-t-label": "phone.label" }, this.hold, this.hangup);
    this.box = el("article", { class: "mini recording" }, this.line, this.bar, this.phone, this.trouble, this.warning);
    i18n.translate(this.box);
  }

  update() {
    const { pop, recording, phone } = this.card;
    showLine(this.line, pop.line);
    this.box.dataset.state = recording.box.dataset.state;
    copy(recording.word, this.word);
    copy(recording.time, this.time);
    this.offer(this.pause, recording.pauseButton);
    this.offer(this.resume, recording.resumeButton);
    for (const name of ["hold", "hangup"]) this.offerPhone(this[name], phone[name]);
    reveal(this.phone, !this.hold.hidden || !this.hangup.hidden);
    this.mirror([phone.trouble, recording.trouble].find((one) => !one.hidden), this.trouble);
    this.mirror([recording.late, recording.warning].find((one) => !one.hidden), this.warning);
  }

  mirror(original, warning) {
    const shown = Boolean(original) && !original.hidden;
    if (shown) copy(original, warning);
    reveal(warning, shown);
  }

  /** Show a button of the phone as the page has it. Why it is not possible is on the page. */
  offerPhone(button, original) {
    copy(original.firstChild, button.firstChild);
    if (original.hasAttribute("aria-disabled")) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    this.offer(button, original);
  }

  offer(button, original) {
    if (button.hidden === original.hidden) return;
    const focused = button === button.ownerDocument.activeElement;
    reveal(button, !original.hidden);
    if (focused) this.bar.focus();
  }
}

/** Show the text of another element, in the language shown now. */
function copy(from, to) {
  if (from.dataset.t) say(to, from.dataset.t, JSON.parse(from.dataset.tValues));
  else show(to, from.textContent);
}

export class MiniWindow {
  /**
   * `keys` handle the keys of the small window, `tick()` brings the page's clocks up to date, and `notice` is what
   * the page says of a key that has done nothing.
   */
  constructor({ keys, tick, notice }) {
    this.keys = keys;
    this.tick = tick;
    this.notice = notice;
    this.cards = [];
    this.rows = new Map(); // CallCard → MiniCall
    this.window = null;
    this.button = el("button", { type: "button", class: "quiet", t: "mini.open", on: { click: () => this.open() } });
    addEventListener("pagehide", () => this.close());
  }

  /** Offer the window, or close it. A panel of another site's page can open none that it may fill. */
  offer(possible) {
    reveal(this.button, possible && window.parent === window);
    if (!possible) this.close();
  }

  async open() {
    if (this.window && !this.window.closed) {
      this.window.focus();
      return;
    }
    const pip = window.documentPictureInPicture;
    if (pip) {
      this.prepare(await pip.requestWindow(SIZE));
      return;
    }
    const popup = window.open(POPUP, "galwad-mini", `popup,width=${SIZE.width},height=${SIZE.height}`);
    if (popup) popup.addEventListener("load", () => this.prepare(popup));
  }

  /** Fill the window, and draw it by its own timer: that of a page out of sight is slowed down. */
  prepare(opened) {
    this.window = opened;
    const page = opened.document;
    if (!page.querySelector("link")) page.head.append(el("link", { rel: "stylesheet", href: "/static/style.css" }));
    this.none = el("p", { class: "note", t: "idle.title" });
    this.list = el("div", { class: "mini-list" });
    this.said = el("p", { class: "warning", role: "alert", hidden: true });
    this.title = el("h1", { class: "unseen", t: "mini.title" });
    page.body.className = "mini-body";
    page.body.replaceChildren(el("main", {}, this.title, this.none, this.list, this.said));
    for (const onKey of this.keys) opened.addEventListener("keydown", onKey);
    opened.addEventListener("keydown", () => this.draw());
    opened.addEventListener("pagehide", () => this.forget(opened));
    opened.setInterval(() => this.tick(), TICK_MS);
    this.rows.clear();
    this.draw();
  }

  forget(closed) {
    if (this.window === closed) this.window = null;
  }

  /** Show the recordings of these cards, those of the calls that are live. */
  update(cards) {
    this.cards = cards;
    this.draw();
  }

  draw() {
    if (!this.window || this.window.closed) return;
    const page = this.window.document;
    page.documentElement.lang = i18n.language();
    page.title = i18n.t("mini.title");
    for (const [card, row] of this.rows) {
      if (this.cards.includes(card)) continue;
      row.box.remove();
      this.rows.delete(card);
    }
    for (const card of this.cards) {
      const row = this.rows.get(card) ?? new MiniCall(card);
      if (!this.rows.has(card)) this.list.append(row.box);
      this.rows.set(card, row);
      row.update();
    }
    if (!this.notice.box.hidden) copy(this.notice.text, this.said);
    reveal(this.said, !this.notice.box.hidden);
    i18n.translate(page.body);
    reveal(this.none, this.cards.length === 0);
  }

  close() {
    this.window?.close();
    this.window = null;
  }
}
