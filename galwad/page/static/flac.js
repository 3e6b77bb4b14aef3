// A FLAC file (RFC 9639) that is decoded in pieces by the browser. Frames do not depend on each other, so a piece is the
// beginning of the file, then any run of whole frames. All frames but the last have the same number of samples.

import { DamagedError } from "./sealed.js";

const METADATA = 4; // bytes of a metadata block's header
const STREAMINFO = 34;
const HEADER = 4 + METADATA + STREAMINFO; // bytes before the frames of a piece
const LONGEST_FRAME_HEADER = 16;
const NEAR = 400; // frames that are scanned rather than jumped over
const CRC = Uint8Array.from({ length: 256 }, (_, octet) => crc8(octet));

export class FlacFile {
  /** `source` has `length` and `bytes(from, to)`. */
  static async open(source) {
    const file = new FlacFile(source);
    const start = await source.bytes(0, HEADER);
    const text = new TextDecoder("latin1").decode(start.subarray(0, 4));
    if (text !== "fLaC" || (start[4] & 0x7f) !== 0) throw new DamagedError("it is not a FLAC file");
    const view = new DataView(start.buffer, start.byteOffset + 4 + METADATA);
    file.block = view.getUint16(0);
    if (file.block !== view.getUint16(2)) throw new DamagedError("the frames differ in length");
    const longest = (view.getUint32(6) & 0xffffff) || LONGEST_FRAME_HEADER + file.block * 8;
    file.window = 2 * longest + LONGEST_FRAME_HEADER;
    file.rate = view.getUint32(10) >>> 12;
    file.samples = (view.getUint8(13) & 15) * 2 ** 32 + view.getUint32(14);
    file.frames = Math.ceil(file.samples / file.block);
    file.header = headerOf(start);
    const first = await file.endOfMetadata();
    file.known = [[0, first], [file.frames, source.length]]; // frames and their places in the file, by number
    return file;
  }

  constructor(source) {
    this.source = source;
  }

  async endOfMetadata() {
    let at = 4;
    for (;;) {
      const [kind, high, middle, low] = await this.source.bytes(at, at + METADATA);
      at += METADATA + high * 65_536 + middle * 256 + low;
      if (!(at <= this.source.length)) throw new DamagedError("the metadata does not end");
      if (kind & 0x80) return at;
    }
  }

  /** The decoded samples of `count` frames from `frame` on; fewer at the end of the file. */
  async decode(frame, count) {
    const end = Math.min(this.frames, frame + count);
    const from = await this.place(frame);
    const data = await this.source.bytes(from, await this.place(end));
    const piece = new Uint8Array(HEADER + data.length);
    piece.set(this.header);
    piece.set(data, HEADER);
    const context = new OfflineAudioContext(2, 1, this.rate);
    try {
      return await context.decodeAudioData(piece.buffer);
    } catch {
      throw new DamagedError("the sound cannot be decoded");
    }
  }

  /** The place of a frame in the file. Guesses by what is known, until the frame is near. */
  async place(frame) {
    for (let turn = 0, limit = this.source.length; ; turn++) {
      const above = this.known.findIndex(([number]) => number > frame);
      if (above < 0) return this.known.at(-1)[1];
      const [low, high] = this.known.slice(above - 1, above + 1);
      limit = Math.min(limit, high[1]); // no frame between the two begins behind it
      if (frame - low[0] <= NEAR || limit - low[1] <= this.window) return this.scan(low, frame);
      // After some guesses by proportion, halve: loud and quiet parts differ much in size.
      const share = turn < 6 ? (frame - NEAR / 2 - low[0]) / (high[0] - low[0]) : 1;
      const guess = Math.floor(low[1] + Math.min(share * (high[1] - low[1]), (limit - low[1]) / 2));
      const found = await this.next(guess + 1, low[0] + 1, high[0] - 1);
      if (found) this.learn(found);
      else limit = guess;
    }
  }

  /** Go from frame to frame. */
  async scan(low, frame) {
    let at = low;
    while (at[0] < frame) {
      at = await this.next(at[1] + 1, at[0] + 1, at[0] + 1);
      if (!at) throw new DamagedError("a frame is missing");
    }
    this.learn(at);
    return at[1];
  }

  /** The first frame from a place on that has one of these numbers; null if there is none. */
  async next(place, lowest, highest) {
    for (let from = place; from < this.source.length; from += this.window - LONGEST_FRAME_HEADER) {
      const bytes = await this.source.bytes(from, from + this.window);
      for (let at = bytes.indexOf(0xff); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
        const number = numberOf(bytes, at);
        if (number !== null && number >= lowest && number <= highest) return [number, from + at];
      }
    }
    return null;
  }

  learn([number, place]) {
    const at = this.known.findIndex(([other]) => other >= number);
    if (this.known[at]?.[0] !== number) this.known.splice(at, 0, [number, place]);
  }
}

/** The beginning of a file with only the block that describes the samples, without their count and digest. */
function headerOf(start) {
  const header = start.slice(0, HEADER);
  header[4] |= 0x80; // the last block of metadata
  header[21] &= 0xf0; // the count of samples, from here on, and the digest
  header.fill(0, 22);
  return header;
}

/** The number of the frame whose header is at `at` (RFC 9639 section 9.1); null if there is no header. */
function numberOf(bytes, at) {
  if (bytes[at + 1] !== 0xf8) return null;
  let end = at + 4;
  let number = bytes[end++];
  if (number >= 0x80) {
    const more = Math.clz32(~(number << 24)) - 1;
    if (more < 1 || more > 6) return null;
    number &= 0x3f >> more;
    for (let count = 0; count < more; count++) number = number * 64 + (bytes[end++] & 0x3f);
  }
  const [size, rate] = [bytes[at + 2] >> 4, bytes[at + 2] & 15];
  end += size === 6 ? 1 : size === 7 ? 2 : 0;
  end += rate === 12 ? 1 : rate === 13 || rate === 14 ? 2 : 0;
  if (end >= bytes.length) return null;
  let check = 0;
  for (let index = at; index < end; index++) check = CRC[check ^ bytes[index]];
  return check === bytes[end] ? number : null;
}

function crc8(octet) {
  let value = octet;
  for (let bit = 0; bit < 8; bit++) value = value & 0x80 ? (value << 1) ^ 0x107 : value << 1;
  return value;
}
