"""Files of the kinds that C2SP's testkit for age names, made here, and readers by others."""

import base64
import hashlib
import hmac
import subprocess

import pyrage

from recording.age.file import Identity
from recording.age.header import Stanza
from recording.age.identity_file import Passphrase
from recording.age.stream import payload_cipher

FILE_KEY = b"YELLOW SUBMARINE"
NONCE = bytes(range(16))
ME, OTHER = Identity(hashlib.sha256(b"me").digest()), Identity(hashlib.sha256(b"other").digest())
SECRET = "pässword"
VERSION = b"age-encryption.org/v1\n"
SUCCESS = None
"""The expected result of a vector that opens; the other vectors have an error class."""


def b64(data):
    return base64.b64encode(data).rstrip(b"=")


def sloppy(text):
    """Return base64 of the same octets that is not canonical: an unused bit is set."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:-1] + bytes([alphabet[alphabet.index(text[-1:]) | 1]])


def mine(file_key=FILE_KEY, identity=ME):
    """Return a stanza for an X25519 identity."""
    return bytes(identity.recipient.wrap(file_key))


def with_share(share, body=bytes(32)):
    """Return an X25519 stanza with this share, valid or not."""
    return bytes(Stanza(("X25519", b64(share).decode()), body))


def closed(file_key=FILE_KEY, passphrase=SECRET, factor=10):
    """Return a stanza for a passphrase."""
    return bytes(Passphrase(passphrase, work_factor=factor).wrap(file_key))


def mac_of(signed, file_key=FILE_KEY):
    key = hmac.digest(hmac.digest(bytes(32), file_key, "sha256"), b"header\x01", "sha256")
    return b64(hmac.digest(key, signed, "sha256"))


def header(*stanzas, end=b" %b\n", version=VERSION, file_key=FILE_KEY):
    """Return a header with a valid MAC and these stanzas, valid or not."""
    signed = version + b"".join(stanzas) + b"---"
    return signed + end % mac_of(signed, file_key)


def chunks(*parts, last=True):
    """Return a payload with each of these plaintexts as one chunk of any length."""
    cipher = payload_cipher(FILE_KEY, NONCE)
    sealed = [
        cipher.encrypt(
            index.to_bytes(11, "big") + bytes([last and index == len(parts) - 1]), part, None
        )
        for index, part in enumerate(parts)
    ]
    return NONCE + b"".join(sealed)


def by_pyrage(data, identity=ME):
    """Return the plaintext that pyrage reads; None if it refuses."""
    try:
        return pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(str(identity))])
    except pyrage.DecryptError:
        return None


def by_stock_age(data, folder):
    """Return the plaintext that the `age` program reads; None if it refuses."""
    done = run_stock_age(data, folder)
    return done.stdout if done.returncode == 0 else None


def run_stock_age(data, folder):
    """Run the `age` program; return its status and its output, even output before a fault."""
    (folder / "me.txt").write_text(f"{ME}\n")
    command = ["age", "-d", "-i", folder / "me.txt"]
    return subprocess.run(command, input=data, capture_output=True, check=False)
