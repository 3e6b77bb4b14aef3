"""The finaliser's worker processes: it starts them, gives them orders, and replaces those that die.

A call that a dead worker was sealing is sealed again at once, but only once more, because this call
may be what kills the worker. If a worker no longer responds but has not died, the finaliser cannot
end it, because the unit forbids the finaliser to send signals. Then the finaliser ends, the kernel
kills its workers, and systemd starts the finaliser again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol, TypeAlias

import msgspec
import structlog

from galwad.finaliser.spools import Share
from galwad.finaliser.worker import (
    BEAT_S,
    Beat,
    Done,
    FollowCalls,
    MessageStream,
    Order,
    Report,
    SealCall,
    SetUp,
    WorkOfAll,
)
from galwad.messages import Alarm, Sealed

WORKERS: Final = 2
"""The number of workers on a machine with two cores or more."""
_PATIENCE_S: Final = 20.0
"""In seconds. After this time without a `Beat`, a worker counts as hung."""
_TO_END_S: Final = 10.0
"""In seconds. A worker must end in this time after its socket was closed."""
_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0
_ATTEMPTS: Final = 2
_ENVIRONMENT: Final = {
    # Each arena of malloc keeps memory that its threads freed. One is enough: Python runs one
    # thread at a time.
    "MALLOC_ARENA_MAX": "1",
    # The products of matrices are small. OpenBLAS would start a thread for each core.
    "OPENBLAS_NUM_THREADS": "1",
}
_NOT_FOR_WORKERS: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
_WorkerStream: TypeAlias = MessageStream[Order, Report]
log = structlog.get_logger()


class WorkerHungError(Exception):
    """A worker process no longer responds, but has not ended."""


class _WorkerEndedError(Exception):
    """A worker process has ended before it carried out an order."""


class SealingWorker(Protocol):
    """Seals and follows calls: in this process (`Worker`) or in another one (`WorkerProcess`)."""

    async def run(self) -> None:
        """Work until `close` is called. `seal` and `follow` may wait until this method runs."""

    async def seal(self, call_id: str) -> Sealed | Alarm | None:
        """Seal a call that has ended, as `Sealer.seal` does."""

    async def follow(self) -> None:
        """Seal finished parts of calls in progress, for about a second."""

    async def close(self) -> None:
        """Discard the sealed parts of calls in progress, and end."""


def how_many() -> int:
    """Return the number of workers for this machine: at most one for each core."""
    return min(WORKERS, len(os.sched_getaffinity(0)))


class WorkerProcess:
    """One worker process, which is replaced each time it dies while `run` runs as a task."""

    def __init__(self, work: WorkOfAll, share: Share, patience_s: float = _PATIENCE_S) -> None:
        self._first = SetUp(work, share, os.getpid())
        self._patience_s = patience_s
        self._refs = count()
        self._waiting: dict[int, asyncio.Future[Sealed | Alarm | None]] = {}
        self._stream: _WorkerStream | None = None
        self.running = asyncio.Event()
        self._closing = False
        self._ended = asyncio.Event()
        self._silent_s = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    async def run(self) -> None:
        """Start the worker, and start it again each time it dies. Return after `close`.

        Raises `WorkerHungError` if it no longer responds, but has not died.
        """
        wait_s = _FIRST_WAIT_S
        try:
            while not self._closing:
                self.process, connection = _start()
                wait_s = _FIRST_WAIT_S if await self._serve(connection) else wait_s
                await self._reap(self.process)
                if not self._closing:
                    status = self.process.returncode
                    log.error("worker.died", number=self._first.share.number, status=status)
                    await asyncio.sleep(wait_s)
                    wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        finally:
            self._ended.set()

    async def seal(self, call_id: str) -> Sealed | Alarm | None:
        """Seal an ended call. If the worker and its replacement both die, return an alarm."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(_WorkerEndedError):
                return await self._ask(lambda ref: SealCall(ref, call_id))
        why = "the process that seals it has died twice: see the journal"
        return Alarm("recording.not_sealed", call_id, why)

    async def follow(self) -> None:
        """Let the worker seal finished parts of calls in progress, for about a second."""
        with contextlib.suppress(_WorkerEndedError):
            await self._ask(FollowCalls)

    async def close(self) -> None:
        """Let the worker discard the parts of calls in progress, and end."""
        self._closing = True
        if self._stream is not None:
            await self._stream.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), 2 * _TO_END_S)

    async def _ask(self, order: Callable[[int], SealCall | FollowCalls]) -> Sealed | Alarm | None:
        """Send an order when the worker runs; return its outcome. Raises `_WorkerEndedError`."""
        await self.running.wait()
        ref = next(self._refs)
        done: asyncio.Future[Sealed | Alarm | None] = asyncio.get_running_loop().create_future()
        self._waiting[ref] = done
        if self._stream is not None:
            self._stream.send(order(ref))
        try:
            return await done
        finally:
            self._waiting.pop(ref, None)

    async def _serve(self, connection: socket.socket) -> bool:
        """Exchange messages until the worker's end is closed; return whether it sent a report."""
        decoder = msgspec.msgpack.Decoder[Report](Report)
        streams = await asyncio.open_unix_connection(sock=connection)
        self._stream = stream = _WorkerStream(*streams, decoder)
        self._silent_s = 0.0
        stream.send(self._first)
        self.running.set()
        receiving = asyncio.create_task(self._receive(stream))
        try:
            await self._watch(receiving)
            return await receiving
        finally:
            receiving.cancel()
            self.running.clear()
            self._stream = None
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(_WorkerEndedError())
            await stream.close()

    async def _receive(self, stream: _WorkerStream) -> bool:
        heard = False
        while (report := await stream.receive()) is not None:
            heard = True
            match report:
                case Beat():
                    self._silent_s = 0.0
                case Done() if (waiting := self._waiting.get(report.ref)) is not None:
                    if not waiting.done():
                        waiting.set_result(report.outcome)
        return heard

    async def _watch(self, receiving: asyncio.Task[bool]) -> None:
        """Wait until nothing more can be received; raise `WorkerHungError` after a long silence.

        The silence is counted in beats, not read from a clock. So if the finaliser itself did not
        run, for example because the machine was suspended, its worker is not given up.
        """
        while not receiving.done():
            await asyncio.wait([receiving], timeout=BEAT_S)
            self._silent_s += BEAT_S
            if self._silent_s > self._patience_s and not receiving.done():
                self._give_up()

    async def _reap(self, process: subprocess.Popen[bytes]) -> None:
        try:
            await asyncio.to_thread(process.wait, _TO_END_S)
        except subprocess.TimeoutExpired:
            self._give_up()

    def _give_up(self) -> None:
        log.critical("worker.hung", number=self._first.share.number)
        raise WorkerHungError


def _start() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a worker process; return it and the finaliser's end of the socket to it.

    The kernel kills the worker when the thread that started it ends, so this must be the thread of
    the event loop. SIGTERM and SIGINT stay blocked in the worker until it ignores them.
    """
    ours, theirs = socket.socketpair()
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_WORKERS} | _ENVIRONMENT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    try:
        command = [sys.executable, "-P", "-m", "galwad.finaliser.worker"]
        process = subprocess.Popen(  # noqa: S603 - a program of this installation
            command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    ours.setblocking(False)
    return process, ours
