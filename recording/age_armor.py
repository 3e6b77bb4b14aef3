"""ASCII armor: an age file as lines of text (https://c2sp.org/age, "ASCII armor").

PEM after RFC 7468, section 3, figure 3, label "AGE ENCRYPTED FILE". Strict, so that an armored
file has one spelling, but for blank lines around it and CRLF as an end of line. All of it is
held in memory: keys are armored, recordings never.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from recording.age_header import MAGIC
from recording.errors import ArmorError

BEGIN: Final = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END: Final = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS: Final = 64


def armored(data: bytes) -> bytes:
    """An age file in armor, lines ended by LF."""
    text = base64.b64encode(data)
    lines = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
    return b"\n".join([BEGIN, *lines, _END, b""])


def dearmored(text: bytes) -> bytes:
    """Undo `armored`.

    Raises:
        ArmorError: anything but blank lines stands around it, a line has another length than
            64 columns (the last may be shorter), or its base64 is not canonical.
    """
    lines = text.split(b"\n")
    filled = [place for place, line in enumerate(lines) if line.strip()] or [0]
    lines = [line.removesuffix(b"\r") for line in lines[filled[0] : filled[-1] + 1]]
    if lines[0] != BEGIN:
        raise ArmorError("the armor's first line is malformed")
    if lines[-1] != _END:
        raise ArmorError("the armor's last line is missing or malformed")
    body = lines[1:-1]
    widths = [len(line) for line in body]
    if any(width != _COLUMNS for width in widths[:-1]) or max(widths, default=0) > _COLUMNS:
        raise ArmorError(f"a line of the armor has not {_COLUMNS} columns")
    if widths and not widths[-1]:
        raise ArmorError("the armor ends with an empty line")
    joined = b"".join(body)
    try:
        data = base64.b64decode(joined, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if base64.b64encode(data) != joined:
        raise ArmorError("the armor's base64 is not canonical")
    return data


def looks_armored(head: bytes) -> bool:
    """Whether a file that begins so is meant as an armored one, well made or not."""
    return not head.startswith(MAGIC) and b"-----" in head
