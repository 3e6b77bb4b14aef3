// What is typed into a contact note and not saved yet: it is stored on the desk again and again,
// so that no crash loses it. The desk refuses it if another window has changed the note since.

import { ApiError, ask, callPath } from "./api.js";

const PAUSE_MS = 1_000; // a pause in typing
const LONGEST_MS = 5_000; // who types without a pause has lost at most this
const FIRST_RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 15_000;

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const WINDOW = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => LETTERS[byte % 26]).join("");
let edits = 0; // the requests of this window, for all its notes
const open = new Set(); // the drafts of the notes on the page
const guards = [];

/** Ask before the page is left, if `unsaved()` says that something typed is not on the desk. */
export function guard(unsaved) {
  guards.push(unsaved);
}

/** Store what was typed before a sign-out, as far as the desk answers in time. */
export function storeAll(drafts) {
  const late = new Promise((done) => setTimeout(done, FIRST_RETRY_MS));
  const open = drafts.filter((draft) => draft.pending);
  return Promise.race([Promise.all(open.map((draft) => draft.storeAndRest())), late]);
}

function flushAll() {
  for (const draft of open) draft.flush();
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") flushAll();
});
window.addEventListener("pagehide", flushAll);
window.addEventListener("beforeunload", (event) => {
  flushAll();
  if ([...open].some((draft) => draft.pending) || guards.some((unsaved) => unsaved())) event.preventDefault();
});

export class Draft {
  /** `on` has `text()`, the note as typed, or null if it may not be sent; `state(key)`, which shows how it is
   *  stored; and `conflict()`. */
  constructor(callId, on) {
    this.path = callPath(callId, "contact/draft");
    this.on = on;
    this.version = 0; // the newest that this window has seen
    this.edit = 0;
    this.changes = 0; // how often something was typed
    this.pending = false; // something typed is not on the desk
    this.held = false; // true while nothing may be sent: the note is saved, or two texts are compared
    this.conflicted = false; // another window has changed the note
    this.wait = FIRST_RETRY_MS;
    open.add(this);
  }

  /** Whether a draft that the desk shows was typed into this form. */
  isOwn(draft) {
    return draft.window === WINDOW && this.changes > 0;
  }

  typed() {
    this.changes += 1;
    if (!this.pending) this.since = performance.now();
    this.pending = true;
    if (this.held) return;
    this.on.state("draft.waiting");
    if (!this.retrying) this.schedule(Math.min(PAUSE_MS, Math.max(0, LONGEST_MS - (performance.now() - this.since))));
  }

  /** Store what was typed now, as when the field or the page is left. */
  flush() {
    if (this.pending && !this.held) this.send();
  }

  /** The note is saved, or what was typed is given up: there is nothing to store. */
  settle(version = 0) {
    clearTimeout(this.timer);
    this.retrying = false;
    this.pending = false;
    this.held = false;
    this.conflicted = false;
    this.version = version;
  }

  /** The note leaves the page: nothing more may be sent, as another user may sign in. */
  leave() {
    clearTimeout(this.timer);
    this.gone = true;
    open.delete(this);
  }

  /** Wait until no request is under way, and send no other one meanwhile. */
  async rest() {
    clearTimeout(this.timer);
    this.held = true;
    await this.underWay;
  }

  /** Store what was typed, then rest; false if another window has changed the note. What is stored
   *  already is stored again, because the desk may not have said yet that another window has changed it. */
  async storeAndRest() {
    await this.rest();
    if (this.changes && !this.conflicted) {
      this.underWay = this.put(this.changes);
      await this.underWay;
    }
    return !this.conflicted;
  }

  resume() {
    this.held = false;
    this.conflicted = false;
    if (this.pending) this.schedule(0);
  }

  schedule(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), ms);
  }

  send() {
    clearTimeout(this.timer);
    if (this.gone) return;
    this.underWay = this.put(this.changes);
  }

  async put(changes) {
    const text = this.on.text();
    if (!text) return this.on.state("draft.card");
    edits += 1;
    const edit = edits;
    this.edit = edit; // the newest request of this note
    this.on.state("draft.saving");
    const body = { ...text, window: WINDOW, edit, version: this.version };
    try {
      const { version } = await ask("PUT", this.path, body, { keepalive: true });
      if (this.gone || edit < this.edit) return; // a later request says how it stands
      this.stored(version, changes, body);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!this.gone && edit === this.edit) this.failed(error);
    }
  }

  stored(version, changes, body) {
    this.version = version;
    this.wait = FIRST_RETRY_MS;
    this.retrying = false;
    this.last = body;
    if (changes !== this.changes) {
      this.since = performance.now();
      this.schedule(PAUSE_MS);
      return;
    }
    this.pending = false;
    if (!this.held) this.on.state("draft.saved");
  }

  failed(error) {
    if (error.reason === "draft_conflict") this.conflicted = true;
    if (this.held) return;
    if (this.conflicted) {
      this.on.conflict();
    } else if (error.reason === "card_number") {
      this.on.state("draft.card");
    } else if (error.status === 403 || error.status === 404) {
      this.on.state("draft.refused");
    } else if (error.status === 409 || error.status === 422) {
      this.on.state("draft.waiting");
    } else {
      this.on.state("draft.offline");
      this.retrying = true;
      this.schedule(this.wait);
      this.wait = Math.min(this.wait * 2, LONGEST_RETRY_MS);
    }
  }
}
