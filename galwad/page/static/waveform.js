// The loudness of both parties over the whole recording, drawn as it is read. It is for the eyes: the slider below it has
// the same position.

import { el } from "./dom.js";

const BUCKET_S = 0.1;
const NAME = 16; // the height of a party's name, above its waveform
const FRAMES = 200; // that are decoded together
const HEIGHT = 120;

export class Waveform {
  constructor(file, onSeek) {
    this.file = file;
    this.length = file.samples / file.rate;
    this.done = 0; // frames
    this.loudness = [0, 1].map(() => new Uint8Array(Math.ceil(this.length / BUCKET_S) + 1));
    this.canvas = el("canvas", { height: HEIGHT, "aria-hidden": "true", on: { click: (event) => onSeek((this.length * event.offsetX) / this.canvas.clientWidth) } });
    this.cursor = el("span", { class: "cursor" });
    const names = ["caller", "advisor"].map((party) => el("span", { class: "party", t: `recordings.${party}` }));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.box = el("div", { class: "waveform", "aria-hidden": "true" }, ...names, this.canvas, this.cursor);
  }

  /** Read the sound of the frames that end before the byte `end` of the file. */
  async add(end) {
    const { file } = this;
    while (this.done < file.frames && (await file.place(Math.min(this.done + FRAMES, file.frames))) <= end) {
      const piece = await file.decode(this.done, FRAMES);
      for (const channel of [0, 1]) this.measure(piece.getChannelData(channel), this.loudness[channel]);
      this.done = Math.min(this.done + FRAMES, file.frames);
    }
    this.draw();
  }

  measure(samples, loudness) {
    const [first, bucket] = [this.done * this.file.block, BUCKET_S * this.file.rate];
    for (let index = 0; index < samples.length; index++) {
      const at = Math.floor((first + index) / bucket);
      const level = Math.min(255, Math.abs(samples[index]) * 256);
      if (level > loudness[at]) loudness[at] = level;
    }
  }

  draw() {
    const { canvas } = this;
    const width = Math.round(canvas.clientWidth);
    if (!width) return; // it is hidden
    canvas.width = width;
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(canvas).color;
    const buckets = this.length / BUCKET_S;
    for (const [channel, loudness] of this.loudness.entries()) {
      const middle = (HEIGHT / 4) * (1 + 2 * channel) + NAME / 2;
      for (let x = 0; x < width; x++) {
        const [from, to] = [x, x + 1].map((each) => Math.floor((each * buckets) / width));
        const level = Math.max(...loudness.subarray(from, Math.max(from + 1, to)));
        const height = Math.max(1, (Math.sqrt(level / 255) * HEIGHT) / 2 - NAME - 4);
        context.fillRect(x, middle - height / 2, 1, height);
      }
    }
  }

  mark(position) {
    this.cursor.style.insetInlineStart = `${(100 * position) / Math.max(this.length, 0.001)}%`;
  }
}
