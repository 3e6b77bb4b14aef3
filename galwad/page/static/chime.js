// The chime for a pause that may be forgotten. A browser lets a page sound only after somebody has
// pressed a key or clicked there; until then a banner asks for that. Whoever switches the chime off
// does so for as long as the page is open: the written warnings stay.

import { announce } from "./announce.js";
import { el, reveal, say } from "./dom.js";

const TONES_HZ = [660, 880];
const TONE_S = 0.35;
const LOUDNESS = 0.25; // of full scale: to be heard beside a call, not over it

/** Put the chime into an audio context, to begin at once; the time at which it ends, in seconds. */
export function sound(context) {
  let at = context.currentTime;
  for (const frequency of TONES_HZ) {
    const tone = new OscillatorNode(context, { frequency });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setTargetAtTime(LOUDNESS, at, 0.01);
    gain.gain.setTargetAtTime(0, at + TONE_S / 2, 0.04);
    tone.connect(gain).connect(context.destination);
    tone.start(at);
    at += TONE_S;
    tone.stop(at);
  }
  return at;
}

const RING_HZ = [400, 450]; // the British ringing tone: two bursts, then a silence
const BURSTS_S = [[0, 0.4], [0.6, 1.0]];
const RING_S = 3;
const RING_LOUDNESS = 0.12;

/** Let a telephone ring in an audio context until the tone is stopped. No timer is needed for it. */
export function ringTone(context) {
  const buffer = context.createBuffer(1, RING_S * context.sampleRate, context.sampleRate);
  const samples = buffer.getChannelData(0);
  for (const [begin, end] of BURSTS_S) {
    for (let n = begin * context.sampleRate; n < end * context.sampleRate; n++) {
      const at = n / context.sampleRate;
      const edge = Math.min(1, (at - begin) / 0.02, (end - at) / 0.02); // without a click at either end
      const sum = RING_HZ.reduce((total, frequency) => total + Math.sin(2 * Math.PI * frequency * at), 0);
      samples[Math.floor(n)] = (RING_LOUDNESS * Math.max(0, edge) * sum) / RING_HZ.length;
    }
  }
  const tone = new AudioBufferSourceNode(context, { buffer, loop: true });
  tone.connect(context.destination);
  tone.start();
  return tone;
}

export class Chime {
  constructor() {
    this.muted = false;
    this.owed = false; // the browser has not let the last one sound
    this.unlocked = null; // called when the browser allows sound
    this.toggle = el("button", { type: "button", class: "quiet", "aria-pressed": "false", t: "chime.mute", on: { click: () => this.mute() } });
    this.blocked = el("div", { class: "banner ending", role: "alert", hidden: true }, el("span", { t: "chime.blocked" }));
  }

  mute() {
    this.muted = !this.muted;
    this.toggle.setAttribute("aria-pressed", String(this.muted));
    if (this.muted) this.settle();
    announce(this.muted ? "chime.off" : "chime.on");
  }

  /** Call this when a key is pressed or the page is clicked: browsers allow sound from then on. */
  async unlock() {
    const open = this.context?.state === "running";
    this.context ??= new AudioContext();
    if (this.context.state !== "running") await this.context.resume();
    if (!open) this.unlocked?.();
    if (this.owed) this.ring();
  }

  /** Sound the chime, or ask for a click where the browser does not allow it yet. */
  ring() {
    if (this.muted) return;
    if (this.context?.state !== "running") {
      this.owed = true;
      reveal(this.blocked, true);
      return;
    }
    this.settle();
    sound(this.context);
  }

  /** No chime is owed any more, as when the pause has ended meanwhile. */
  settle() {
    this.owed = false;
    reveal(this.blocked, false);
  }
}
