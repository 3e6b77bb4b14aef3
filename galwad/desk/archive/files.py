"""The recordings' files in the archive: found by call id, opened and streamed, never decrypted."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from galwad.call_id import is_call_id
from galwad.desk.errors import ApiError
from recording.archive.summary import RecordingSummary

_FOLDER = re.compile(r"\d{4}/\d{2}/\d{2}")
_BLOCK = 64 * 1024


def checked_id(call_id: str) -> str:
    """Return the call id itself, once it is checked to be safe in a file name.

    Raises:
        ApiError: 404, the text is not a call id.
    """
    if not is_call_id(call_id):
        raise ApiError(404, "no recording has this id", "an id looks like 20260131-101500-abcdefgh")
    return call_id


@dataclass(frozen=True, slots=True)
class SealedFiles:
    """A header and an open payload; `stream` closes the payload."""

    header: bytes
    payload: BinaryIO
    payload_length: int

    @property
    def length(self) -> int:
        """The number of bytes that `stream` yields."""
        return len(self.header) + self.payload_length

    def stream(self) -> Iterator[bytes]:
        """Yield the header, then the payload: together they are a standard age file."""
        with self.payload:
            yield self.header
            while block := self.payload.read(_BLOCK):
                yield block

    def close(self) -> None:
        """Close the payload without reading it."""
        self.payload.close()


class ArchiveFolder:
    """The archive as the desk may use it: for reading only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, recording: RecordingSummary, suffix: str) -> Path:
        if not _FOLDER.fullmatch(recording.folder):
            raise ApiError(
                409,
                "the index has a wrong folder for this recording",
                "run `galwad recordings verify`",
            )
        return self.folder / recording.folder / f"{checked_id(recording.call_id)}.{suffix}"

    def open(self, recording: RecordingSummary, kind: str, wanted: int) -> SealedFiles:
        """Read the header, and open a payload (`kind`: payload or raw) of `wanted` bytes.

        Raises:
            ApiError: 409, a file is missing or does not have the size in the index.
        """
        with contextlib.ExitStack() as opened:
            try:
                header = _in_force(self._path(recording, "header"))
                payload = opened.enter_context(self._path(recording, kind).open("rb"))
            except OSError:
                raise ApiError(
                    409, "the files of this recording are missing", "restore them from a backup"
                ) from None
            files = SealedFiles(header, payload, _size(payload))
            if files.payload_length != wanted:
                raise ApiError(
                    409,
                    "the recording's size has changed since it was sealed",
                    "run `galwad recordings verify`",
                )
            opened.pop_all()
        return files

    def text(self, recording: RecordingSummary, suffix: str) -> str | None:
        """Return the text of manifest, header or another file; None if it is not readable text."""
        data = self.content(recording, suffix)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError:
            return None

    def content(self, recording: RecordingSummary, suffix: str) -> bytes | None:
        """Return the bytes of manifest, header or another file; None if it cannot be read."""
        try:
            return self._path(recording, suffix).read_bytes()
        except (OSError, ApiError):
            return None


def _in_force(path: Path) -> bytes:
    """Read a header until two readings are equal.

    A header that is being replaced is overwritten in place, also for a process that has it open.

    Raises:
        OSError: The header cannot be read.
    """
    while True:
        header = path.read_bytes()
        if path.read_bytes() == header:
            return header


def _size(file: BinaryIO) -> int:
    length = file.seek(0, 2)
    file.seek(0)
    return length
