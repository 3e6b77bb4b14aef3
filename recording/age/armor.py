"""ASCII armor: an age file as lines of text (https://c2sp.org/age, section "ASCII armor").

Each file has only one valid armored form: PEM as in RFC 7468, section 3, figure 3. Only blank lines
around the armor, and CRLF as a line end, are accepted besides. Key files are armored, recordings
never, so the whole file is held in memory.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from recording.age.header import MAGIC
from recording.errors import ArmorError

BEGIN: Final = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END: Final = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS: Final = 64


def armored(data: bytes) -> bytes:
    """Return an age file in ASCII armor, with LF line ends."""
    text = base64.b64encode(data)
    lines = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
    return b"\n".join([BEGIN, *lines, _END, b""])


def dearmored(text: bytes) -> bytes:
    """Decode ASCII armor, and return the age file.

    Raises:
        ArmorError: There is text around the armor, a line other than the last does not have 64
            characters, or the base64 is not canonical.
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
        raise ArmorError(f"a line of the armor does not have {_COLUMNS} columns")
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
    """Return True if a file that begins with these bytes is probably armored, perhaps malformed."""
    return not head.startswith(MAGIC) and b"-----" in head
