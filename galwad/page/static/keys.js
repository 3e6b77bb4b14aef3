// The officer's keys in the browser: the key file, and the nodes whose signatures the officer trusts. Nothing of them
// is sent or stored: they are forgotten with the page.

import { Decrypter, armor, ed25519 } from "./age.js";
import { ApiError } from "./api.js";

const ARMOR = "-----BEGIN AGE";
const MAGIC = "age-encryption.org/v1";
const LARGEST = 65_536; // bytes of a key file or a trust file

/** `reason` is the end of a text's key: `recordings.listen.error.REASON`. */
export class KeyError extends Error {
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

export class Keys {
  /** Read a key file, and perhaps a trust file (`galwad keys trust`), as the person chose them. */
  static async open(files, passphrase) {
    const contents = await Promise.all([...files].map(read));
    const isTrust = (bytes) => bytes[0] === "{".charCodeAt(0);
    const [key, more] = contents.filter((bytes) => !isTrust(bytes));
    if (!key || more) throw new KeyError("one_key");
    const keys = new Keys(await textOf(key, passphrase));
    for (const trust of contents.filter(isTrust)) keys.trust(new TextDecoder().decode(trust));
    return keys;
  }

  /** `text` is that of an age identity file. */
  constructor(text) {
    const lines = text.split("\n").map((line) => line.trim());
    this.opener = new Decrypter();
    const identities = lines.filter((line) => line && !line.startsWith("#"));
    try {
      for (const line of identities) this.opener.addIdentity(line);
    } catch {
      throw new KeyError("not_a_key");
    }
    if (!identities.length) throw new KeyError("not_a_key");
    const signing = lines.find((line) => line.startsWith("# public signing key: "));
    this.officer = signing?.split(": ")[1] ?? null;
    this.trusted = null; // the public keys of nodes; null without a trust file
  }

  /** Trust the nodes of a trust file, if the officer of these keys signed it. */
  trust(text) {
    try {
      const { key, document } = verified(text, "trust-file");
      if (key !== this.officer) throw new KeyError("trust");
      this.trusted = new Set(document.node_keys);
    } catch (error) {
      throw error instanceof KeyError ? error : new KeyError("trust");
    }
  }

  /** The file key of a recording, from the header of its age file. */
  async fileKey(header) {
    try {
      return await this.opener.decryptHeader(header);
    } catch (error) {
      throw new KeyError(/no identity matched/.test(error.message) ? "another_key" : "header");
    }
  }
}

async function read(file) {
  if (file.size > LARGEST) throw new KeyError("not_a_key");
  return new Uint8Array(await file.arrayBuffer());
}

async function textOf(bytes, passphrase) {
  const text = new TextDecoder().decode(bytes);
  const armored = text.trimStart().startsWith(ARMOR);
  if (!armored && !text.startsWith(MAGIC)) return text;
  if (!passphrase) throw new KeyError("no_passphrase");
  let file = bytes;
  try {
    if (armored) file = armor.decode(text);
  } catch {
    throw new KeyError("not_a_key");
  }
  const found = await inWorker({ file, passphrase });
  if (found.error) throw new KeyError(/no identity matched/.test(found.error) ? "passphrase" : "not_a_key");
  return found.text;
}

function inWorker(question) {
  const worker = new Worker(new URL("./key_worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) => resolve(data));
    worker.addEventListener("error", () => reject(new ApiError(0))); // the desk did not send its script
    worker.postMessage(question);
  }).finally(() => worker.terminate());
}

/**
 * A signed document of the type `name`, and the key that signed it. An error if a byte of it was changed
 * (docs/file-formats.md). The bytes are canonical, so what was signed can be cut out of them.
 */
export function verified(text, name) {
  const members = { key: '"([A-Za-z0-9+/]{43}=)"', signature: '"([A-Za-z0-9+/]{86}==)"', [name]: "(\\{.*\\})" };
  const names = Object.keys(members).sort();
  const pattern = new RegExp(`^\\{${names.map((each) => `"${each}":${members[each]}`).join(",")}\\}\\n$`);
  const found = pattern.exec(text)?.slice(1);
  if (!found) throw new Error(`the ${name} is malformed`);
  const [key, signature, body] = ["key", "signature", name].map((each) => found[names.indexOf(each)]);
  const message = new TextEncoder().encode(`galwad ${name} v1\n${body}`);
  // The last character before "=" has bits that do not count.
  if ([key, signature].some((each) => btoa(atob(each)) !== each)) throw new Error(`the ${name} was changed`);
  if (!ed25519.verify(octets(signature), message, octets(key))) throw new Error(`the ${name} was changed`);
  return { key, document: JSON.parse(body) };
}

/** The bytes of a text in base64. */
export function octets(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
