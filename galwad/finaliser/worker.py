"""Seals and follows calls, in a process beside the finaliser's own.

There are `WORKERS` of them, because Python runs one thread of a process at a time; a machine with
one core has one. The finaliser's own process keeps the queue, the links and the locks
(`galwad.finaliser.workers`).

If the finaliser is killed, the kernel kills the worker too, so that it never writes beside the next
finaliser. SIGTERM reaches all processes of a unit; the worker ignores it, because the finaliser
still needs it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
import time
from contextlib import AbstractContextManager
from typing import Final, TypeAlias

import msgspec
import structlog

from galwad.finaliser.sealer import Sealer
from galwad.finaliser.worker_link import (
    Beat,
    Done,
    FollowCalls,
    MessageStream,
    Order,
    Report,
    SealCall,
    SetUp,
    restored,
)
from galwad.logs import configure
from galwad.memory import forbid_core_dumps
from galwad.messages import Alarm, Sealed
from galwad.single_instance import FolderLockedError, lock_folder

SEALING_TASKS: Final = 2
"""While one call waits for the disk, the processor can work on another one."""
BEAT_S: Final = 2.0
_SLICE_S: Final = 1.0
_SLICE_WHILE_OTHERS_WAIT_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1
_FinaliserStream: TypeAlias = MessageStream[Report, Order]
log = structlog.get_logger()


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
            return Alarm("recording.not_sealed", call_id, "see the journal")
        finally:
            self._sealing -= 1

    async def follow(self) -> None:
        """Follow calls for at most one second, or 50 ms while ended calls are being sealed."""
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
        """Stop following, and discard the parts of calls in progress that are already sealed."""
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
    """Return the sealer of a worker. Raises as `Sealer`."""
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
