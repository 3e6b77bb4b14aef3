// Which of the advisor's calls is shown in full: the one that they talk on, else one that rings, else
// the one that they chose. A call that begins to ring never replaces a card that has the focus.

const RANKS = { answered: 0, ringing: 1, held: 2, wrapup: 3, ended: 3 };

/** The order in which calls matter: first by their state, then by their age. */
export function inOrder(pops) {
  return [...pops].sort((a, b) => RANKS[a.state] - RANKS[b.state] || a.started - b.started);
}

export class Slots {
  constructor() {
    this.shown = null; // the id of the call that is shown in full
    this.chosen = false; // whether the advisor has chosen it
    this.talking = null; // the id of the call that the advisor talks on
  }

  /** Show this call until it goes or another one is answered. */
  choose(id) {
    this.shown = id;
    this.chosen = true;
  }

  /** Return the id of the call to show. `focused`, `typing`: whether the focus is in the card shown, or in a field of it. */
  pick(pops, { focused, typing }) {
    const [best] = inOrder(pops);
    const talking = best?.state === "answered" ? best.call_id : null;
    const answered = talking !== null && talking !== this.talking;
    this.talking = talking;
    const now = pops.find((pop) => pop.call_id === this.shown);
    if (!now) this.show(best?.call_id ?? null);
    else if (answered && !typing) this.show(talking);
    else if (!this.chosen && !focused && RANKS[best.state] < RANKS[now.state]) this.show(best.call_id);
    return this.shown;
  }

  show(id) {
    this.shown = id;
    this.chosen = false;
  }
}
