// What the page needs to open a recording: the format age, and the primitives below it.

export { Decrypter, armor } from "age-encryption";
export { chacha20poly1305 } from "@noble/ciphers/chacha.js";
export { ed25519 } from "@noble/curves/ed25519.js";
export { hkdf } from "@noble/hashes/hkdf.js";
export { sha256 } from "@noble/hashes/sha2.js";
