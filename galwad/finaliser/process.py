"""The finaliser's loop: it finds ended calls, seals them and reports them to the desk.

The switch reports the end of a call, and the finaliser also looks for closed spools in the folders.
The finaliser remembers a sealed call until the desk has indexed its recording, so calls can be
sealed while the desk is down. If a call cannot be sealed, the finaliser tries again later.

Calls that have just ended are sealed first, then calls that an outage left. In both groups, calls
with small spools go first. Each worker process (`galwad.finaliser.workers`) seals `SEALING_TASKS`
calls at the same time, so that a short call rarely waits for a long one or for the disk. The worker
that follows a call (`galwad.finaliser.live_sealer`) also seals it.

On SIGTERM or SIGINT the finaliser first seals the ended calls, because a reboot may follow. After
a reboot, no key on this machine can open their spools, unless the setting `unattended_recovery` is
true.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Collection, Sequence
from importlib.metadata import version
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import structlog

from galwad import logs, supervise
from galwad.finaliser.sealer import ArchiveOrder, Folders, Sealer, alarms_of
from galwad.finaliser.spools import Share, number_of
from galwad.finaliser.worker import SEALING_TASKS, WorkOfAll, stored
from galwad.finaliser.workers import SealingWorker, WorkerHungError, WorkerProcess, how_many
from galwad.link import Connector, Link
from galwad.messages import (
    Alarm,
    AnyMessage,
    ArchiveReply,
    CommitHeader,
    Dispose,
    Hello,
    Indexed,
    ProveSpools,
    Sealed,
    SpoolClosed,
    StageHeader,
    VerifyRecording,
    WaitingSpools,
)
from galwad.process_start import log_cannot_start
from galwad.settings import Settings
from recording.errors import RecordingError

LOOK_ROUND_S: Final = 30.0
FOLLOW_S: Final = 2.0
INDEX_WAIT_S: Final = 2.0
"""The longest time in seconds for which a stopping finaliser waits for the desk to index calls."""
_Rank: TypeAlias = tuple[bool, int]
"""The order of sealing: the call with the lowest rank is sealed first.

The first value is False if the switch has just reported the call's end. The second value is the
size of the spools in bytes.
"""
_MOST_ALARMS: Final = 1000
log = structlog.get_logger()


class Finaliser:
    """The queue of ended calls, the tasks that seal them, and the links to the switch and the desk.

    This is one class because queue, links and alarms all change the same set of calls.
    """

    def __init__(
        self,
        sealer: Sealer,
        settings: Settings,
        workers: Sequence[SealingWorker],
        *,
        look_round_s: float = LOOK_ROUND_S,
        follow_s: float = FOLLOW_S,
        index_wait_s: float = INDEX_WAIT_S,
    ) -> None:
        self._sealer = sealer
        self._workers = workers
        self._look_round_s = look_round_s
        self._follow_s = follow_s
        self._index_wait_s = index_wait_s
        self._queues: list[asyncio.PriorityQueue[tuple[_Rank, str]]] = [
            asyncio.PriorityQueue() for _ in workers
        ]
        self._queued: dict[str, _Rank] = {}
        self._in_sealing: dict[str, bool] = {}
        """The calls that are being sealed. With True, a call is queued again if this fails."""
        self._free = asyncio.Event()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._sealed: dict[str, Sealed] = {}
        self._alarms: dict[tuple[str, str | None], Alarm] = {}
        self._unsent: list[Alarm] = []
        self._waiting_spools = WaitingSpools(())
        self._stopping = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._indexed = asyncio.Event()
        self._switch = Connector(
            settings.switch_socket, self._greet_switch, self._from_switch, self._look_soon
        )
        self._desk = Connector(settings.desk_socket, self._greet_desk, self._from_desk)
        self._look = asyncio.Event()
        self._proofs: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Request that `run` seals all ended calls, and then returns.

        After a second request, `run` only finishes the calls that are being sealed, and does not
        wait for the desk.
        """
        if self._stopping.is_set():
            self._stop_now.set()
            self._indexed.set()
            self._free.set()
        self._stopping.set()

    async def run(self) -> None:
        """Seal calls until `stop` is called and the remaining calls are sealed.

        Raises `WorkerHungError` if a worker process no longer responds, but has not died.
        """
        tasks = [
            asyncio.create_task(job)
            for job in (
                self._switch.run(),
                self._desk.run(),
                self._look_round(),
                supervise.watchdog(),
            )
        ]
        workers = [asyncio.create_task(worker.run()) for worker in self._workers]
        work = asyncio.create_task(self._work())
        supervise.ready()
        log.info("finaliser.ready")
        try:
            # The task of a worker ends before `work` only if the worker has failed.
            await asyncio.wait([work, *workers], return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                if worker.done():
                    worker.result()
            await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)  # `_work` ends the workers
            for task in (*tasks, *workers):
                task.cancel()
            await asyncio.gather(*tasks, *workers, return_exceptions=True)

    async def _work(self) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        following = [asyncio.create_task(self._follow(worker)) for worker in self._workers]
        hands = [
            asyncio.create_task(self._seal_queued(worker, queue))
            for worker, queue in zip(self._workers, self._queues, strict=True)
            for _ in range(SEALING_TASKS)
        ]
        try:
            await stopping
            await self._finish()
        finally:
            for task in (stopping, *following, *hands):
                task.cancel()
            await asyncio.gather(*following, *hands, return_exceptions=True)
            await asyncio.gather(*(worker.close() for worker in self._workers))

    async def _follow(self, worker: SealingWorker) -> None:
        while not self._stopping.is_set():
            await asyncio.sleep(self._follow_s)
            if not self._stopping.is_set():
                await worker.follow()

    async def _seal_queued(
        self, worker: SealingWorker, queue: asyncio.PriorityQueue[tuple[_Rank, str]]
    ) -> None:
        while True:
            _, call_id = await queue.get()
            if self._stop_now.is_set():
                return
            await self._take(call_id, worker)

    async def _finish(self) -> None:
        """Seal all ended calls, then wait at most `index_wait_s` s for the desk to index them."""
        supervise.stopping()
        try:
            closed = await asyncio.to_thread(self._sealer.closed)
        except OSError as error:
            closed = {}
            log.error("spools.not_seen", why=error.strerror)  # noqa: TRY400 - it says what
        for call_id, size in closed.items():
            self._enqueue(call_id, size)
        log.info("finaliser.stopping", waiting=len(self._queued))
        while self._in_sealing or (self._queued and not self._stop_now.is_set()):
            self._free.clear()
            await self._free.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._index_wait_s):
                while self._sealed and not self._stop_now.is_set():
                    self._indexed.clear()
                    await self._indexed.wait()

    async def _take(self, call_id: str, worker: SealingWorker) -> None:
        self._queued.pop(call_id, None)
        self._in_sealing[call_id] = False
        async with self._lock_of(call_id):
            await self._seal(call_id, worker)
        if self._in_sealing.pop(call_id):
            self._enqueue(call_id, self._sealer.size(call_id))
        self._free.set()

    def _lock_of(self, call_id: str) -> asyncio.Lock:
        """Return the lock of this call's recording, which is deleted when no task uses it."""
        return self._locks.setdefault(call_id, asyncio.Lock())

    async def _seal(self, call_id: str, worker: SealingWorker) -> None:
        outcome = await worker.seal(call_id)
        if isinstance(outcome, Sealed):
            log.info("recording.sealed", call_id=call_id, talk_us=outcome.talk_us)
            self._sealed[call_id] = outcome
            self._desk.send(outcome)
            for alarm in alarms_of(outcome):
                self._alarm(alarm)
        elif outcome is not None:
            self._alarm(outcome)

    def _alarm(self, alarm: Alarm) -> None:
        """Send an alarm, once for each kind and call; store it while there is no link."""
        key = alarm.kind, alarm.call_id
        if key in self._alarms:
            return
        log.error("alarm", kind=alarm.kind, call_id=alarm.call_id, detail=alarm.detail)
        while len(self._alarms) >= _MOST_ALARMS:
            del self._alarms[next(iter(self._alarms))]
        self._alarms[key] = alarm
        if not self._desk.send(alarm):
            self._unsent.append(alarm)
            del self._unsent[:-_MOST_ALARMS]

    def _enqueue(self, call_id: str, size: int, *, just_ended: bool = False) -> None:
        """Queue a call whose spools are closed and have `size` bytes.

        A call that is being sealed is queued only if this sealing fails, perhaps because a spool
        was not closed yet.
        """
        if call_id in self._in_sealing:
            self._in_sealing[call_id] = True
        elif call_id not in self._queued and call_id not in self._sealed:
            rank = not just_ended, size
            self._queued[call_id] = rank
            number = number_of(call_id, len(self._workers))
            self._queues[number].put_nowait((rank, call_id))

    async def _look_round(self) -> None:
        """Look for closed spools every `look_round_s` s, and when the switch link opens or ends."""
        while True:
            # Clear the event first: if it is set during the search, the folders are searched again.
            self._look.clear()
            try:
                await self._look_at_the_folder()
            # A spool folder or its disk is missing. The finaliser looks again later.
            except OSError as error:
                log.error("spools.not_seen", why=error.strerror)  # noqa: TRY400 - it says what
            # The finaliser must look again later, whatever caused this error.
            except Exception:
                log.exception("spools.not_seen")
            try:
                await asyncio.wait_for(self._look.wait(), self._look_round_s)
            except TimeoutError:
                self._remind()

    async def _look_at_the_folder(self) -> None:
        closed = await asyncio.to_thread(self._sealer.closed)
        for call_id, size in closed.items():
            self._enqueue(call_id, size)
        unreadable = await asyncio.to_thread(self._sealer.unreadable, closed)
        for call_id, why in unreadable.items():
            self._alarm(Alarm("recording.not_sealed", call_id, why))
        await self._send_waiting([*closed, *unreadable])

    async def _send_waiting(self, closed: Collection[str]) -> None:
        """Send the list of waiting spools if it has changed: the desk cannot read the folders."""
        why = {alarm.call_id: alarm.kind for alarm in self._alarms.values() if alarm.call_id}
        waiting = WaitingSpools(await asyncio.to_thread(self._sealer.waiting, closed, why))
        if waiting != self._waiting_spools:
            self._waiting_spools = waiting
            self._desk.send(waiting)

    def _look_soon(self) -> None:
        self._look.set()

    def _greet_switch(self, link: Link) -> None:
        link.send(Hello.of("finaliser"))

    def _greet_desk(self, link: Link) -> None:
        link.send(Hello.of("finaliser"))
        for alarm in self._unsent:
            link.send(alarm)
        self._unsent.clear()
        link.send(self._waiting_spools)
        self._remind()

    def _remind(self) -> None:
        """Repeat the report of each recording that the desk has not confirmed as indexed."""
        for sealed in self._sealed.values():
            self._desk.send(sealed)

    async def _from_switch(self, _link: Link, message: AnyMessage) -> None:
        match message:
            case SpoolClosed():
                size = self._sealer.size(message.call_id)
                self._enqueue(message.call_id, size, just_ended=True)
            # The switch has connected. While it was not connected, it may have closed spools.
            case Hello():
                self._look_soon()

    async def _from_desk(self, link: Link, message: AnyMessage) -> None:
        match message:
            case Indexed() if message.call_id in self._sealed:
                await self._forget(message.call_id)
            case StageHeader() | CommitHeader() | Dispose() | VerifyRecording():
                async with self._lock_of(message.call_id):
                    link.send(await self._amend(message))
            case ProveSpools():
                # A task, because the desk's other messages must not wait for so long.
                proof = asyncio.create_task(self._prove(link, message))
                self._proofs.add(proof)
                proof.add_done_callback(self._proofs.discard)

    async def _prove(self, link: Link, order: ProveSpools) -> None:
        link.send(await self._amend(order))

    async def _amend(self, order: ArchiveOrder) -> ArchiveReply:
        try:
            return await asyncio.to_thread(self._sealer.amend, order)
        # An error here must not close the link to the desk, because other replies use this link.
        except Exception:
            call_id = "" if isinstance(order, ProveSpools) else order.call_id
            log.exception("recording.not_amended", call_id=call_id)
            return ArchiveReply(order.ref, "the finaliser failed: see its journal")

    async def _forget(self, call_id: str) -> None:
        try:
            await asyncio.to_thread(self._sealer.forget, call_id)
        # `_remind` repeats the report; when the desk confirms it, the finaliser tries again.
        except (OSError, RecordingError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self._alarm(Alarm("spool.not_removed", call_id, why))
            return
        # Until its spools are removed, the call must stay in `_sealed`, so that it is not queued
        # again.
        if self._sealed.pop(call_id, None) is not None:
            log.info("spool.removed", call_id=call_id)
            self._indexed.set()


def folders_of(settings: Settings) -> Folders:
    """Return the paths of the folders and key files that the finaliser uses."""
    node = settings.node
    return Folders(
        spools=settings.spool_folders,
        archive=settings.archive,
        recipients=settings.recipients,
        newest_recipients=settings.newest_recipients("finaliser"),
        boot_keys=settings.boot_keys,
        runtime_keys=node.runtime / "spool-keys",
        checkpoints=node.runtime / "calls",
        node_key=node.state / "finaliser" / "manifest.key",
    )


def sealer_of(settings: Settings) -> Sealer:
    """Return a `Sealer` with these settings. Raises `KeyFileError` or `OSError`."""
    software = f"galwad {version('galwad')}"
    recording = settings.recording
    return Sealer(
        folders_of(settings),
        settings.node.name,
        software,
        recording.officer_key,
        near_pause_s=recording.digits_near_pause,
    )


def workers_of(sealer: Sealer, settings: Settings) -> list[WorkerProcess]:
    """Return this machine's worker processes, not started; `sealer` is the finaliser's own."""
    work = WorkOfAll(
        folders=stored(folders_of(settings)),
        archive=sealer.archive_at_start,
        node=settings.node.name,
        software=f"galwad {version('galwad')}",
        officer_key=settings.recording.officer_key,
        near_pause_s=settings.recording.digits_near_pause,
        json_logs=logs.are_json(),
    )
    workers = how_many()
    return [WorkerProcess(work, Share(number, workers)) for number in range(workers)]


def run(settings: Settings) -> int:
    """Run the finaliser until SIGTERM or SIGINT; return the process's exit status."""
    try:
        sealer = sealer_of(settings)
    except (RecordingError, OSError) as error:
        log_cannot_start("finaliser", error)
        return 1
    try:
        asyncio.run(_main(sealer, settings))
    except WorkerHungError:  # It is logged already.
        return 1
    return 0


async def _main(sealer: Sealer, settings: Settings) -> None:
    finaliser = Finaliser(sealer, settings, workers_of(sealer, settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, finaliser.stop)
    await finaliser.run()
