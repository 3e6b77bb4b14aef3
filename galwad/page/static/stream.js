// The desk's server-sent events, read with fetch so that a refusal (401) can be told from a
// broken line. Every connection begins with a snapshot: after a loss nothing is assumed.

const SILENCE_MS = 5_000; // the desk sends something at least every 2.5 s
const READ_MS = 50; // what has arrived while the page was busy is read before the line is given up
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5_000;

/** Follow the events; `on` has `event(type, data)`, `up()`, `down()`, `refused()`, `replaced()`. */
export class Stream {
  constructor(on) {
    this.on = on;
    this.wait = FIRST_WAIT_MS;
    this.closed = false;
  }

  async run() {
    while (!this.closed) {
      const refused = await this.connect();
      if (this.closed) return;
      if (refused) {
        this.on.refused();
        return;
      }
      this.on.down();
      await new Promise((done) => setTimeout(done, this.wait));
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    }
  }

  /** A request has not reached the desk: take the line for broken, and try it again. */
  doubt() {
    if (this.closed) return;
    this.on.down();
    this.abort?.abort();
  }

  close() {
    this.closed = true;
    this.abort?.abort();
  }

  /** One connection, until it breaks; true when the desk wants a sign-in. */
  async connect() {
    this.abort = new AbortController();
    this.listen();
    try {
      const response = await fetch("/api/v1/events", {
        headers: { Accept: "text/event-stream" },
        cache: "no-store",
        signal: this.abort.signal,
      });
      if (response.status === 401) return true;
      if (response.ok) await this.read(response.body.pipeThrough(new TextDecoderStream()));
    } catch {
      return false; // a broken line: `run` says so and tries again
    } finally {
      clearTimeout(this.timer);
    }
    return false;
  }

  async read(body) {
    let text = "";
    const reader = body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.listen();
      text += value.replaceAll("\r\n", "\n");
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        this.dispatch(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  }

  dispatch(block) {
    let type = "message";
    const data = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("event:")) type = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
    if (!data.length) return;
    if (type === "replaced") {
      this.close(); // another try would end the stream of another copy of this page
      this.on.replaced();
      return;
    }
    if (type === "snapshot") {
      this.wait = FIRST_WAIT_MS;
      this.on.up();
    }
    this.on.event(type, JSON.parse(data.join("\n")));
  }

  /** Give the line up when it stays silent too long. */
  listen() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = setTimeout(() => this.abort.abort(), READ_MS);
    }, SILENCE_MS);
  }
}
