// The payload of an age file (c2sp.org/age), decrypted in parts. It is 16 bytes of nonce, then chunks of
// 64 KiB, each with a tag of 16 bytes. Only the last chunk has a nonce that says so, which shows if the end is missing.

import { chacha20poly1305, hkdf, sha256 } from "./age.js";

const CHUNK = 65_536;
const TAG = 16;
const NONCE = 16;
const SEALED = CHUNK + TAG;
const BLOCK = 4; // chunks that are asked for together
const KEPT_BLOCKS = 4;
const KEPT_CHUNKS = 32;

export class DamagedError extends Error {}

export class SealedPayload {
  /**
   * Authenticate the last chunk of a payload of `size` bytes, before anything of it is used. `fetchPart(from, to)` gets
   * its bytes.
   */
  static async open(fileKey, size, fetchPart) {
    if (size < NONCE + TAG) throw new DamagedError("the payload is too short");
    const payload = new SealedPayload(size, fetchPart);
    const nonce = await payload.part(0, NONCE);
    payload.key = hkdf(sha256, fileKey, nonce, new TextEncoder().encode("payload"), 32);
    const last = payload.chunks - 1;
    const sealed = await payload.part(NONCE + last * SEALED, size);
    const tail = payload.decrypt(sealed, last);
    if (!tail.length && last) throw new DamagedError("the last chunk is empty");
    payload.length = last * CHUNK + tail.length;
    payload.plain.set(last, tail);
    return payload;
  }

  constructor(size, fetchPart) {
    this.size = size;
    this.fetchPart = fetchPart;
    this.chunks = Math.ceil((size - NONCE) / SEALED);
    this.blocks = Math.ceil(this.chunks / BLOCK);
    this.sealed = new Map(); // promises of blocks, the most recent last
    this.plain = new Map(); // chunks, the most recent last
  }

  /** The plaintext from `from` up to `to`, in bytes; shorter at the end. */
  async bytes(from, to) {
    const end = Math.min(to, this.length);
    const [first, last] = [Math.floor(from / CHUNK), Math.floor((end - 1) / CHUNK)];
    if (first === last) {
      const chunk = await this.chunk(first);
      return chunk.subarray(from - first * CHUNK, end - first * CHUNK);
    }
    const found = new Uint8Array(Math.max(0, end - from));
    for (let at = first; at <= last; at++) {
      const chunk = await this.chunk(at);
      const skipped = Math.max(0, from - at * CHUNK);
      found.set(chunk.subarray(skipped, Math.min(CHUNK, end - at * CHUNK)), at * CHUNK + skipped - from);
    }
    return found;
  }

  async chunk(number) {
    let found = this.plain.get(number);
    if (!found) {
      const block = await this.block(Math.floor(number / BLOCK));
      const begin = (number % BLOCK) * SEALED;
      found = this.decrypt(block.subarray(begin, begin + SEALED), number);
    }
    keep(this.plain, number, found, KEPT_CHUNKS);
    return found;
  }

  /** The encrypted chunks of a block, without the nonce before the first. */
  block(number) {
    const begin = NONCE + number * BLOCK * SEALED;
    const found = this.sealed.get(number) ?? this.part(begin, Math.min(this.size, begin + BLOCK * SEALED));
    keep(this.sealed, number, found, KEPT_BLOCKS);
    found.catch(() => this.sealed.delete(number)); // the next call asks again
    return found;
  }

  /** The SHA-256 of the whole payload in hexadecimal. `onBlock(end)` follows each block: the plaintext up to its end. */
  async digest(onBlock) {
    const hash = sha256.create().update(await this.part(0, NONCE));
    for (let number = 0; number < this.blocks; number++) {
      hash.update(await this.block(number));
      await onBlock(Math.min(this.length, (number + 1) * BLOCK * CHUNK));
    }
    return [...hash.digest()].map((octet) => octet.toString(16).padStart(2, "0")).join("");
  }

  async part(from, to) {
    const found = await this.fetchPart(from, to);
    if (found.length !== to - from) throw new DamagedError("a part of the payload is missing");
    return found;
  }

  decrypt(sealed, number) {
    const nonce = new Uint8Array(12);
    new DataView(nonce.buffer).setUint32(7, number);
    nonce[11] = number === this.chunks - 1 ? 1 : 0;
    try {
      return chacha20poly1305(this.key, nonce).decrypt(sealed);
    } catch {
      throw new DamagedError(`chunk ${number} was changed`);
    }
  }
}

function keep(map, key, value, most) {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value);
}
