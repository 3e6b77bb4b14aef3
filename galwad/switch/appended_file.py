"""A file of JSON lines to which the switch appends, and its reading and writing.

A line feed precedes each line. So a line is readable even if a crash interrupted the writing of the
line before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

log = structlog.get_logger()


def lines_of(values: Iterable[msgspec.Struct]) -> bytes:
    """Return one line of JSON for each value, with a line feed before each line."""
    return b"".join(b"\n" + msgspec.json.encode(value) for value in values)


def read_file(path: Path) -> bytes:
    """Return the content of the file; empty if there is no file, or if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        log.error("outbox.not_read", file=path.name, reason=error.strerror)  # noqa: TRY400 - no traceback needed
        return b""


def append(path: Path, lines: bytes, *, mode: int = 0o640, sync: bool = True) -> int:
    """Append the lines to the file, and return the number of bytes written.

    If an error occurs, the file is cut back to its previous length. If `sync` is false, the file is
    not synced to the disk.

    Raises:
        OSError: The lines cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode)
    try:
        before = os.fstat(descriptor).st_size
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
            if sync:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
    return len(lines)
