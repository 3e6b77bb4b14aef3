"""A worker process of the finaliser: it seals and follows calls.

There are `WORKERS` such processes, or one on a machine with one core. They exist because Python
runs only one thread of a process at a time. The finaliser's own process has the queue, the links
and the locks, and starts the workers (`galwad.finaliser.workers`).

If the finaliser is killed, the kernel kills its workers too, so that they never write beside the
next finaliser. SIGTERM reaches all processes of a unit. A worker ignores it, because the finaliser
still needs the worker.

The finaliser's orders and the worker's reports go over a socket pair, in the form of the messages
of `galwad.link`. Both ends are of the same release, because the finaliser starts its workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec
import structlog

from galwad.finaliser.sealer import ArchiveIdentity, Folders, Sealer
from galwad.finaliser.spools import Share
from galwad.logs import configure
from galwad.messages import Alarm, Sealed
from galwad.process_start import FolderLockedError, forbid_core_dumps, lock_folder

SEALING_TASKS: Final = 2
"""The calls that a worker seals at a time: while one waits for the disk, it works on another."""
BEAT_S: Final = 2.0
_SLICE_S: Final = 1.0
_SLICE_WHILE_OTHERS_WAIT_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1
_SEVERAL: Final = ("spools", "boot_keys", "newest_recipients")
"""The fields of `Folders` that have several paths."""
_LENGTH: Final = 4
log = structlog.get_logger()


class _Message(msgspec.Struct, frozen=True, tag=True):
    """The base class of all messages between the finaliser and a worker."""


class WorkOfAll(msgspec.Struct, frozen=True):
    """The facts that all workers of a finaliser need to seal calls. They contain no secret.

    `recording.audio.captured_card.CardFilter` describes `near_pause_s`. `archive` is the archive
    that the finaliser found when it started.
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
    """The report that the worker's event loop runs, sent every `BEAT_S` seconds."""


class Done(_Message, frozen=True):
    """The report that the order `ref` is done. `outcome` is the result of `Sealer.seal`."""

    ref: int
    outcome: Sealed | Alarm | None = None


Order: TypeAlias = SetUp | SealCall | FollowCalls
Report: TypeAlias = Beat | Done
Sent = TypeVar("Sent", bound=_Message)
Received = TypeVar("Received")


def stored(folders: Folders) -> dict[str, tuple[str, ...]]:
    """Return the paths in `folders` by the names of the fields."""
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


_FinaliserStream: TypeAlias = MessageStream[Report, Order]


class Worker:
    """Seals ended calls and follows calls in progress, in threads of this process."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._sealing = 0
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Wait until `close` is called."""
        await self._ending.wait()

    async def seal(self, call_id: str) -> Sealed | Alarm | None:
        """Seal an ended call, as `Sealer.seal` does; report an exception as an alarm."""
        self._sealing += 1
        try:
            return await asyncio.to_thread(self._sealer.seal, call_id)
        except Exception:  # One call with unusual audio must not stop the sealing of other calls.
            log.exception("recording.not_sealed", call_id=call_id)
            return Alarm("recording.not_sealed", call_id, "unexpected error: see the journal")
        finally:
            self._sealing -= 1

    async def follow(self) -> None:
        """Follow calls for about a second, or 50 ms while ended calls are being sealed."""
        began = time.monotonic()

        def enough() -> bool:
            most_s = _SLICE_WHILE_OTHERS_WAIT_S if self._sealing else _SLICE_S
            return self._ending.is_set() or time.monotonic() - began > most_s

        try:
            await asyncio.to_thread(self._sealer.follow, enough)
        # The next search for closed spools reports a missing folder.
        except OSError:
            return
        except Exception:  # An error in a live call must not stop the sealing of ended calls.
            log.exception("calls.not_followed")

    async def close(self) -> None:
        """Stop following, and discard the sealed parts of calls in progress."""
        self._ending.set()
        await asyncio.to_thread(self._sealer.discard_all)


async def _serve(stream: _FinaliserStream, sealer: Sealer) -> None:
    worker = Worker(sealer)
    tasks: set[asyncio.Task[None]] = set()

    async def seal(order: SealCall) -> None:
        stream.send(Done(order.ref, await worker.seal(order.call_id)))

    async def follow(order: FollowCalls) -> None:
        await worker.follow()
        stream.send(Done(order.ref))

    async def beat() -> None:
        while True:
            stream.send(Beat())
            await asyncio.sleep(BEAT_S)

    beating = asyncio.create_task(beat())
    while (order := await stream.receive()) is not None:
        match order:
            case SealCall():
                tasks.add(asyncio.create_task(seal(order)))
            case FollowCalls():
                tasks.add(asyncio.create_task(follow(order)))
        tasks = {task for task in tasks if not task.done()}
    beating.cancel()
    closing = asyncio.create_task(worker.close())
    await asyncio.gather(closing, *tasks, return_exceptions=True)
    await asyncio.to_thread(sealer.discard_all)  # what `follow` has begun in the meantime
    await stream.close()


def sealer_for(order: SetUp) -> Sealer:
    """Return the sealer of a worker. Raises `KeyFileError` or `OSError`."""
    work = order.work
    return Sealer(
        restored(work.folders),
        work.node,
        work.software,
        work.officer_key,
        near_pause_s=work.near_pause_s,
        share=order.share,
        archive_at_start=work.archive,
    )


def _lock_of(order: SetUp) -> AbstractContextManager[None]:
    """Lock the worker's folder: the same worker of an earlier finaliser must have ended."""
    folder = restored(order.work.folders).node_key.parent / f"worker-{order.share.number}"
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    return lock_folder(folder)


async def _run(connection: socket.socket) -> int:
    decoder = msgspec.msgpack.Decoder[Order](Order)
    stream = _FinaliserStream(*await asyncio.open_unix_connection(sock=connection), decoder)
    order = await stream.receive()
    if not isinstance(order, SetUp) or order.finaliser != os.getppid():
        return 1
    configure("finaliser", as_json=order.work.json_logs)
    try:
        with _lock_of(order):
            await _serve(stream, await asyncio.to_thread(sealer_for, order))
    except FolderLockedError:
        log.error("worker.locked", number=order.share.number)  # noqa: TRY400 - it says what
        return 1
    return 0


def die_with_the_finaliser() -> None:
    """Ask the kernel to kill this process when the finaliser ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Run a worker whose standard input is the socket to the finaliser; return the exit status."""
    # The finaliser has blocked these signals until here, so that they cannot end the worker.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
    die_with_the_finaliser()
    forbid_core_dumps()
    return asyncio.run(_run(socket.socket(fileno=os.dup(sys.stdin.fileno()))))


if __name__ == "__main__":
    sys.exit(main())
