"""Fetching a recording: sealed bytes from the server, opened here, written whole or not at all.

Only sealed bytes are ever written to a temporary file. Everything is authenticated to its end
before the first decoded sample is written, and the output receives its name last.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

import httpx

from galwad.cli import audio, sealed
from galwad.cli.client import check, open_client, told_as_ours
from galwad.cli.console import CliError, clock, size
from galwad.cli.whole import check_free, whole_file

CALL_ID: Final = re.compile(r"\d{8}-\d{6}-[a-z2-7]{8}")
_TIME = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,2}):)?(\d{1,9}(?:\.\d{1,9})?)")


class Format(StrEnum):
    """The formats of the output."""

    FLAC = "flac"
    WAV = "wav"


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of a fetch, as given on the command line."""

    call_id: str
    purpose: str
    reference: str
    identity: Path | None
    output: Path | None
    format: Format | None
    from_s: float | None
    to_s: float | None
    sealed: bool
    force: bool
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The file that was written."""

    file: Path
    octets: int
    sha256: str
    seconds: float | None
    sealed: bool = False

    def as_json(self) -> dict[str, object]:
        """Return the result for JSON output."""
        return {
            "file": str(self.file),
            "octets": self.octets,
            "sha256": self.sha256,
            "seconds": self.seconds,
        }

    def sentence(self) -> str:
        """Return the result as a line of text."""
        length = f", {clock(self.seconds)}" if self.seconds is not None else ""
        length += ", still sealed" if self.sealed else ""
        return f"{self.file} ({size(self.octets)}{length}) sha256 {self.sha256}"


def seconds(text: str, option: str) -> float | None:
    """Return a position in a recording in seconds; None for an empty text.

    `text` is such as `80`, `1:20` or `1:02:03.5`.
    """
    if not text:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise CliError(f"{option} is no time", "write it as 1:20, 80 or 1:02:03", status=2)
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def checked_id(call_id: str) -> str:
    """Return the call id, once it is checked to be safe as part of a path."""
    if not CALL_ID.fullmatch(call_id):
        raise CliError(
            "that is no recording's id", "an id looks like 20261125-093000-abcdefgh", status=2
        )
    return call_id


def fetch(wish: Wish, server: str) -> Result:
    """Fetch a recording and write the output.

    Faults that can be found here are refused before the server is asked, because every request that
    reaches the server is entered in its audit as a fetch.
    """
    _coherent(wish)
    output, kind = _output(wish)
    identities = sealed.read_identity(wish.identity).identities if wish.identity else ()
    with (
        told_as_ours(),
        open_client(server) as client,
        received(wish.call_id, wish.purpose, wish.reference, client, raw=wish.raw) as stream,
    ):
        header, payload = stream
        with whole_file(output, replace=wish.force) as file:
            if not identities:
                file.write(header)
                _copy(payload, file)
                length = None
            else:
                with sealed.opened(header, payload, identities) as plain:
                    if wish.raw:
                        _copy(plain, file)
                        length = None
                    else:
                        length = audio.export(plain, file, kind.value, wish.from_s, wish.to_s)
            octets = file.tell()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Result(output, octets, digest, length, wish.sealed)


def _coherent(wish: Wish) -> None:
    opening = wish.identity or wish.format or wish.from_s is not None or wish.to_s is not None
    if not wish.reference:
        raise CliError(
            "--reference is empty", "name your case, such as --reference C-1024", status=2
        )
    if wish.sealed and opening:
        raise CliError(
            "--sealed leaves it closed: no --identity, --format, --from or --to",
            "leave out --sealed, or the others",
            status=2,
        )
    if wish.raw and (wish.format or wish.from_s is not None or wish.to_s is not None):
        raise CliError("--raw is no audio: no --format, --from or --to", "leave them out", status=2)
    if not wish.sealed and wish.identity is None:
        raise CliError(
            "no identity to open it with", "give --identity FILE, or take it --sealed", status=2
        )
    start, end = wish.from_s or 0.0, wish.to_s
    if end is not None and end <= start:
        raise CliError("--to lies before --from", "a slice has a length", status=2)


def _output(wish: Wish) -> tuple[Path, Format]:
    """Return the output file and its format, checked before anything is fetched."""
    if wish.raw:
        ending = "pcapng.age" if wish.sealed else "pcapng"
        return _free(wish.output or Path(f"{wish.call_id}.{ending}"), wish), Format.FLAC
    if wish.sealed:
        return _free(wish.output or Path(f"{wish.call_id}.flac.age"), wish), Format.FLAC
    kind = wish.format
    if kind is None and wish.output is not None:
        ending = wish.output.suffix.lower().removeprefix(".")
        if ending not in set(Format):
            raise CliError(
                "the output's name says neither .flac nor .wav",
                "add --format flac or wav",
                status=2,
            )
        kind = Format(ending)
    kind = kind or Format.FLAC
    return _free(wish.output or Path(f"{wish.call_id}.{kind.value}"), wish), kind


def _free(output: Path, wish: Wish) -> Path:
    check_free(output, replace=wish.force)
    return output


@contextmanager
def received(
    call_id: str, purpose: str, reference: str, client: httpx.Client, *, raw: bool = False
) -> Iterator[tuple[bytes, BinaryIO]]:
    """Receive header and payload from the server, and check the payload's digest."""
    body = {"purpose": purpose, "reference": reference} | ({"raw": True} if raw else {})
    path = f"/recordings/{call_id}/fetch"
    with _room(), tempfile.TemporaryFile() as payload:
        header = b""
        digest = hashlib.sha256()
        with client.stream("POST", path, json=body) as response:
            check(response)
            header_length = int(response.headers.get("X-Galwad-Header-Length", "0"))
            wanted = response.headers.get("X-Galwad-Payload-SHA256", "")
            for block in response.iter_bytes():
                missing = header_length - len(header)
                header += block[:missing]
                digest.update(block[missing:])
                payload.write(block[missing:])
        if not header or digest.hexdigest() != wanted:
            raise CliError(
                "what arrived is not what the index promises",
                f"`galwad recordings verify {call_id}` says more",
            )
        payload.seek(0)
        yield header, payload


@contextmanager
def _room() -> Iterator[None]:
    """Turn an `OSError` of the temporary file into a `CliError`.

    The output file reports its own faults.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or "none can be used").lower()
        raise CliError(
            f"the sealed bytes found no room in the folder for temporary files: {reason}",
            "name one that has it, in $TMPDIR",
        ) from None


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while block := source.read(64 * 1024):
        target.write(block)
