// A list that is asked for again and again while somebody watches it.

import { ApiError, ask } from "./api.js";

export class RefreshedList {
  /** The list is at `path` of the desk, and asked for every `everyMs`; `update(list)` shows it. */
  constructor(path, everyMs) {
    this.path = path;
    this.everyMs = everyMs;
  }

  /** Show the list, and keep it up to date until `stop`. */
  start() {
    this.timer = setInterval(() => this.refresh(), this.everyMs);
    return this.refresh();
  }

  stop() {
    clearInterval(this.timer);
  }

  async refresh() {
    try {
      this.update(await ask("GET", this.path));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the list stays as it is
    }
  }
}
