"""Finds, opens and sends the files of recordings in the archive, without decrypting them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from galwad.host.errors import ApiError
from recording.archive.summary import RecordingSummary
from recording.call_id import is_call_id

_FOLDER = re.compile(r"\d{4}/\d{2}/\d{2}")
_BLOCK = 256 * 1024
"""The number of bytes in a block. Each block that is sent costs a switch to a thread and back."""
_READERS: Final = ThreadPoolExecutor(40, "sealed")
"""Threads that only read payloads to send. If the disk hangs, other work keeps its threads."""


def checked_id(call_id: str) -> str:
    """Return a call id that is safe in a file name; raise ApiError (404) if it is malformed."""
    if not is_call_id(call_id):
        raise ApiError(404, "no recording has this id", "an id looks like 20260131-101500-abcdefgh")
    return call_id


@dataclass(frozen=True, slots=True)
class SealedFiles:
    """An encrypted age file: its header, and the open file of its payload (audio or packets)."""

    header: bytes
    payload: BinaryIO
    payload_length: int

    @property
    def length(self) -> int:
        """The total number of bytes that `stream` yields."""
        return len(self.header) + self.payload_length

    def stream(self) -> Iterator[bytes]:
        """Yield the bytes of the header and the payload, then close the payload's file."""
        with self.payload:
            yield self.header + self.payload.read(_BLOCK)
            while block := self.payload.read(_BLOCK):
                yield block

    def close(self) -> None:
        """Close the payload file. Call this method if `stream` will not be called."""
        self.payload.close()


class ArchiveFolder:
    """The archive's folder, from which the desk reads files. The desk never writes there."""

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
        """Read a recording's header, and open the file that is sent after the header.

        `kind` is "payload" (the audio) or "raw" (the packets that could not be decoded). The file
        must have `wanted` bytes.

        Raises:
            ApiError: 409, the header or the file is missing, the file has another size, or the
                folder in the index is malformed.
        """
        with contextlib.ExitStack() as opened:
            try:
                header = _in_force(self._path(recording, "header"))
                payload = opened.enter_context(self._path(recording, kind).open("rb"))
            except OSError:
                raise ApiError(
                    409,
                    "the files of this recording are missing",
                    "restore the files from a copy of the archive",
                ) from None
            files = SealedFiles(header, payload, _size(payload))
            if files.payload_length != wanted:
                raise ApiError(
                    409,
                    "the recording's size has changed since it was sealed",
                    "run `galwad recordings verify` with --purpose and --reference",
                )
            opened.pop_all()
        return files

    async def part(self, recording: RecordingSummary, first: int, length: int) -> bytes:
        """Return `length` bytes of a recording's payload from `first` on.

        Raises:
            ApiError: 409, the file has no such part, or the folder in the index is malformed.
        """
        path = self._path(recording, "payload")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(_READERS, _part, path, first, length)
        except OSError:
            found = b""
        if len(found) != length:
            raise ApiError(
                409,
                "a part of this recording's payload is missing",
                "restore the file from a copy of the archive",
            )
        return found

    def text(self, recording: RecordingSummary, suffix: str) -> str | None:
        """Return the text of the file with this suffix; None if it cannot be read as UTF-8."""
        data = self.content(recording, suffix)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError:
            return None

    def content(self, recording: RecordingSummary, suffix: str) -> bytes | None:
        """Return the bytes of the file with this suffix; None if it cannot be read."""
        try:
            return self._path(recording, suffix).read_bytes()
        except (OSError, ApiError):
            return None


def _in_force(path: Path) -> bytes:
    """Read the header until two readings agree: the finaliser may replace it. Raises `OSError`."""
    while True:
        header = path.read_bytes()
        if path.read_bytes() == header:
            return header


def _part(path: Path, first: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(first)
        return file.read(length)


def _size(file: BinaryIO) -> int:
    length = file.seek(0, 2)
    file.seek(0)
    return length


class SealedResponse(Response):
    """Sends the two parts of an age file, and closes the payload's file.

    It is not one of Starlette's streaming responses, which need several times the CPU time.
    """

    def __init__(self, files: SealedFiles, headers: Mapping[str, str]) -> None:
        self._files = files
        self.status_code = 200
        self.media_type = "application/octet-stream"
        self.background = None
        self.init_headers({"Content-Length": str(files.length), **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; stop if the client disconnects."""
        del scope
        gone = asyncio.create_task(_disconnected(receive))
        loop, blocks, left = asyncio.get_running_loop(), self._files.stream(), self._files.length
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while left and not gone.done():
                block = await loop.run_in_executor(_READERS, _next, blocks)
                left = max(left - len(block), 0) if block else 0
                await send({"type": "http.response.body", "body": block, "more_body": left > 0})
        finally:
            gone.cancel()
            # If this task was cancelled, a thread may still read. `close` then waits for its end.
            loop.run_in_executor(_READERS, self._files.close)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _next(blocks: Iterator[bytes]) -> bytes:
    return next(blocks, b"")
