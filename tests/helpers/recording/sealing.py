"""Sealed recordings, made in memory."""

from __future__ import annotations

import tempfile

from recording.age.file import Recipient, new_file_key
from recording.age.header import make_header
from recording.age.stream import PayloadWriter


def seal(plain: bytes, recipient: Recipient) -> tuple[bytes, bytes]:
    """Return the header and the payload of a sealed recording."""
    file_key = new_file_key()
    return make_header(file_key, [recipient]), payload_of(plain, file_key)


def payload_of(plain: bytes, file_key: bytes) -> bytes:
    """Return a payload that this key opens."""
    with tempfile.TemporaryFile() as file:
        with PayloadWriter(file.fileno(), file_key) as writer:
            for start in range(0, len(plain), 50_000):
                writer.write(plain[start : start + 50_000])
        file.seek(0)
        return file.read()
