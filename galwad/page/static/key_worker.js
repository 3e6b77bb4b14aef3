// Decrypts a key file with its passphrase, outside the page: scrypt takes a second, and calls must not wait.

import { Decrypter } from "./age.js";

addEventListener("message", async ({ data: { file, passphrase } }) => {
  const opener = new Decrypter();
  opener.addPassphrase(passphrase);
  try {
    postMessage({ text: await opener.decrypt(file, "text") });
  } catch (error) {
    postMessage({ error: error.message });
  }
});
