// Drawing at most once a frame, however many events arrive. A page that is not in sight has no frames,
// but it has a title and it rings: there, each event is drawn at once.

export class Frame {
  constructor(draw) {
    this.draw = draw;
    this.drawn = false; // whether this frame has been drawn
    this.due = false; // whether something has changed since
    document.addEventListener("visibilitychange", () => this.due && this.ask());
  }

  /** Draw now, or with the next frame if this one is drawn already. */
  ask() {
    if (this.drawn && !document.hidden) {
      this.due = true;
      return;
    }
    this.due = false;
    if (!this.drawn) requestAnimationFrame(() => this.next());
    this.drawn = true;
    this.draw();
  }

  next() {
    this.drawn = false;
    if (this.due) this.ask();
  }
}
