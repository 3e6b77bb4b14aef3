"""The age files that the specification's authors publish (C2SP, CCTV): accepted or refused.

Debian's package is golang-github-c2sp-cctv-dev. The first lines of a file name the expected
result, the keys, and the digest of what comes out before a fault is found.

Covers `recording/age/file.py` and `recording/age/identity_file.py`.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from pathlib import Path

import pytest

from recording.age.file import Identity, open_file
from recording.age.header import AnyIdentity
from recording.age.identity_file import Passphrase
from recording.errors import (
    AgeError,
    ArmorError,
    HeaderError,
    HeaderMacError,
    NoMatchError,
    PayloadError,
)

pytestmark = pytest.mark.peer

FOLDER = Path("/usr/share/gocode/src/c2sp.org/CCTV/age/testdata")
NAMES = sorted(path.name for path in FOLDER.glob("*"))
OUTCOMES = {
    "success": None,
    "armor failure": ArmorError,
    "header failure": HeaderError,
    "HMAC failure": HeaderMacError,
    "no match": NoMatchError,
    "payload failure": PayloadError,
}
UNDIGESTED = hashlib.sha256(b"").hexdigest()


class Vector:
    """One file of the kit."""

    def __init__(self, name):
        said, _, body = (FOLDER / name).read_bytes().partition(b"\n\n")
        pairs = [line.split(": ", 1) for line in said.decode().splitlines()]
        facts = dict(pairs)
        self.outcome = OUTCOMES[facts["expect"]]
        self.digest = facts.get("payload", UNDIGESTED)
        self.keys: list[AnyIdentity] = [
            Identity.parse(text) for key, text in pairs if key == "identity"
        ]
        self.keys += [Passphrase(text) for key, text in pairs if key == "passphrase"]
        self.file = zlib.decompress(body) if facts.get("compressed") == "zlib" else body


def read(vector):
    """Return the decrypted octets and the error that ended the decryption."""
    found = io.BytesIO()
    try:
        payload = open_file(io.BytesIO(vector.file), vector.keys)
        while part := payload.read(10_000):
            found.write(part)
    except AgeError as error:
        return found.getvalue(), error
    return found.getvalue(), None


def test_the_age_test_vectors_are_installed():
    assert len(NAMES) >= 120, "it is missing: apt-get install golang-github-c2sp-cctv-dev"


def test_each_published_age_file_gives_the_result_that_its_header_names():
    for name in NAMES:
        vector = Vector(name)
        found, error = read(vector)
        if vector.outcome is None:
            assert error is None, name
        else:
            assert isinstance(error, vector.outcome), name
            assert isinstance(error, HeaderMacError) == (vector.outcome is HeaderMacError), name
        assert hashlib.sha256(found).hexdigest() == vector.digest, name
