// Plays a recording from any position: decodes a few seconds ahead, and lets the browser join the pieces. Each party can
// be silenced, and other speeds keep the voices' pitch. Positions are in seconds since the recording's start.

import { stretched } from "./stretch.js";

const AHEAD_S = 5; // sound that waits to be played
const FIRST_FRAMES = 10;
const FRAMES = 40;
const LATER_S = 0.05; // until the first sound
const TURN_MS = 250;

export class Player extends EventTarget {
  /** Sends the event `change`, and `failed` with the error in `detail`. */
  constructor(file) {
    super();
    this.file = file;
    this.length = file.samples / file.rate;
    this.speed = 1;
    this.heard = { caller: true, advisor: true };
    this.pieces = []; // what plays or waits: `at` on the context's clock, `from` and `length` in the recording
    this.rest = 0; // the position while nothing plays
    this.turn = null; // one run of playing; null while nothing plays
  }

  get playing() {
    return this.turn !== null;
  }

  get position() {
    if (!this.turn) return this.rest;
    const now = this.context.currentTime;
    const piece = this.pieces.findLast(({ at }) => at <= now);
    if (!piece) return this.rest;
    return Math.min(piece.from + (now - piece.at) * this.speed, piece.from + piece.length, this.length);
  }

  play() {
    if (this.playing) return;
    if (this.rest >= this.length) this.rest = 0;
    this.open();
    this.turn = {};
    this.run(this.turn).catch((error) => {
      this.pause();
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    });
    this.changed();
  }

  pause() {
    this.rest = this.position;
    this.turn = null;
    for (const { source } of this.pieces) source.stop();
    this.pieces = [];
    this.changed();
  }

  seek(position) {
    const goesOn = this.playing;
    if (goesOn) this.pause();
    this.rest = Math.min(Math.max(0, position), this.length);
    if (goesOn && this.rest < this.length) this.play(); // at the end, it would begin again
    this.changed();
  }

  setSpeed(speed) {
    const goesOn = this.playing;
    if (goesOn) this.pause();
    this.speed = speed;
    if (goesOn) this.play();
  }

  setHeard(party, heard) {
    this.heard[party] = heard;
    if (this.gains) this.gains[party].gain.value = heard ? 1 : 0;
  }

  close() {
    this.pause();
    this.context?.close();
    this.context = null;
    this.gains = null;
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  open() {
    if (!this.context) {
      this.context = new AudioContext({ sampleRate: this.file.rate });
      this.parties = new ChannelSplitterNode(this.context, { numberOfOutputs: 2 });
      this.gains = {};
      for (const [channel, party] of ["caller", "advisor"].entries()) {
        this.gains[party] = new GainNode(this.context, { gain: this.heard[party] ? 1 : 0 });
        this.parties.connect(this.gains[party], channel).connect(this.context.destination);
      }
    }
    this.context.resume();
  }

  /** Keep some seconds of sound ready until the end, as long as `turn` lasts. */
  async run(turn) {
    const { block, frames, rate } = this.file;
    let sample = Math.round(this.rest * rate);
    let end = null; // of what waits, on the context's clock
    let count = FIRST_FRAMES;
    while (this.turn === turn) {
      const now = this.context.currentTime;
      if (end !== null && end - now > AHEAD_S) await pause(TURN_MS);
      else if (sample >= this.file.samples || Math.floor(sample / block) >= frames) break;
      else {
        const frame = Math.floor(sample / block);
        const piece = await this.file.decode(frame, count);
        if (this.turn !== turn) return;
        const skipped = sample - frame * block;
        const sound = stretched(piece, skipped, this.speed);
        const at = Math.max(end ?? 0, this.context.currentTime + LATER_S);
        const length = (piece.length - skipped) / rate;
        this.schedule(sound, { at, from: sample / rate, length });
        end = at + sound.length / rate;
        sample = frame * block + piece.length;
        count = FRAMES;
      }
    }
    while (this.turn === turn && end !== null && this.context.currentTime < end) await pause(TURN_MS);
    if (this.turn !== turn) return;
    this.pause();
    this.rest = this.length;
    this.changed();
  }

  schedule(buffer, piece) {
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.parties);
    source.start(piece.at);
    this.pieces = this.pieces.filter(({ at, length }) => at + length / this.speed > this.context.currentTime);
    this.pieces.push({ ...piece, source });
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
