// Which of the advisor's calls is shown in full: the one that they talk in, else one that rings, else
// the one that they chose. A call that begins to ring never replaces a card that has the focus; one
// that they answer always does, so that what is shown, and what the keys do, is the call they hear.

const RANKS = { answered: 0, ringing: 1, held: 2, wrapup: 3, ended: 3 };

/** The order in which calls matter: first by their state, then by their age. */
export function inOrder(pops) {
  return [...pops].sort((a, b) => RANKS[a.state] - RANKS[b.state] || a.started - b.started);
}

/** The call that the advisor certainly talks in, or null: of several, the one connected last. */
export function talkedIn(pops) {
  const heard = pops.filter((pop) => typeof pop.talking_since === "number");
  return heard.reduce((last, pop) => (last && last.talking_since >= pop.talking_since ? last : pop), null);
}

/** True if the advisor talks in this call and in no other, as far as it is known: the desk decides. */
export function talksIn(pop, pops) {
  if (pop.state !== "answered") return false;
  const heard = talkedIn(pops);
  if (!heard || heard.call_id === pop.call_id) return true;
  return typeof pop.talking_since !== "number" && heard.talking_since <= pop.since;
}

export class Slots {
  constructor() {
    this.shown = null; // the id of the call that is shown in full
    this.chosen = false; // whether the advisor has chosen it
    this.talking = null; // the id of the call that the advisor talks in
  }

  /** Show this call until it goes or another one is answered. */
  choose(id) {
    this.shown = id;
    this.chosen = true;
  }

  /** Return the id of the call to show. `focused`, `typing`: whether the focus is in the card shown, or in a field of it. */
  pick(pops, { focused, typing }) {
    const heard = talkedIn(pops);
    const best = heard ?? inOrder(pops)[0];
    const talking = best?.state === "answered" ? best.call_id : null;
    const answered = talking !== null && talking !== this.talking;
    this.talking = talking;
    const now = pops.find((pop) => pop.call_id === this.shown);
    if (!now) this.show(best?.call_id ?? null);
    else if (answered && (heard || !typing)) this.show(talking);
    else if (!this.chosen && !focused && RANKS[best.state] < RANKS[now.state]) this.show(best.call_id);
    return this.shown;
  }

  show(id) {
    this.shown = id;
    this.chosen = false;
  }
}
