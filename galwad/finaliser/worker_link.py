"""The orders of the finaliser to a worker process, and the worker's reports.

A message on their socket pair is its length (four bytes) and the message in msgpack, as over the
links of `galwad.link`. Both are of the same release, because the finaliser starts its workers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from galwad.finaliser.sealer import ArchiveIdentity, Folders
from galwad.finaliser.share import Share
from galwad.messages import Alarm, Sealed

_SEVERAL: Final = ("spools", "boot_keys", "newest_recipients")
"""The fields of `Folders` that have several paths."""
_LENGTH: Final = 4


class _Message(msgspec.Struct, frozen=True, tag=True):
    """The base class of all messages between the finaliser and a worker."""


class WorkOfAll(msgspec.Struct, frozen=True):
    """The facts that all workers of a finaliser need to seal calls. None of them is a secret.

    `recording.audio.captured_card.CardFilter` describes `near_pause_s`. `archive` is that of the
    finaliser's start.
    """

    folders: dict[str, tuple[str, ...]]
    archive: ArchiveIdentity | None
    node: str
    software: str
    officer_key: str
    near_pause_s: float
    json_logs: bool


class SetUp(_Message, frozen=True):
    """The first message to a worker, with the finaliser's process id."""

    work: WorkOfAll
    share: Share
    finaliser: int


class SealCall(_Message, frozen=True):
    """The order to seal a call that has ended."""

    ref: int
    call_id: str


class FollowCalls(_Message, frozen=True):
    """The order to seal finished parts of calls in progress, for about a second."""

    ref: int


class Beat(_Message, frozen=True):
    """The report, each `BEAT_S` seconds, that the worker's event loop runs."""


class Done(_Message, frozen=True):
    """The report that the order `ref` is done. `outcome` is the result of `SealCall`."""

    ref: int
    outcome: Sealed | Alarm | None = None


Order: TypeAlias = SetUp | SealCall | FollowCalls
Report: TypeAlias = Beat | Done
Sent = TypeVar("Sent", bound=_Message)
Received = TypeVar("Received")


def stored(folders: Folders) -> dict[str, tuple[str, ...]]:
    """Return the paths of `folders`, by the names of their fields."""
    found = {}
    for each in fields(folders):
        value: Path | tuple[Path, ...] = getattr(folders, each.name)
        found[each.name] = tuple(map(str, value if isinstance(value, tuple) else (value,)))
    return found


def restored(found: Mapping[str, tuple[str, ...]]) -> Folders:
    """Return the folders from which `stored` has made `found`."""
    first, spare = map(Path, found["spools"])
    return Folders(
        spools=(first, spare),
        boot_keys=tuple(map(Path, found["boot_keys"])),
        newest_recipients=tuple(map(Path, found["newest_recipients"])),
        **{name: Path(paths[0]) for name, paths in found.items() if name not in _SEVERAL},
    )


class MessageStream(Generic[Sent, Received]):
    """One end of the socket pair."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: msgspec.msgpack.Decoder[Received],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder

    def send(self, message: Sent) -> None:
        """Queue a message. If the other end is closed, do nothing."""
        body = msgspec.msgpack.encode(message)
        self._writer.write(len(body).to_bytes(_LENGTH, "big") + body)

    async def receive(self) -> Received | None:
        """Return the next message; None if the other end is closed."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
            return self._decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def close(self) -> None:
        """Send what is queued, and close this end."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
