"""The finaliser with real worker processes: calls are shared, and survive each kind of death.

Covers `galwad/finaliser/worker.py`.
"""

import asyncio
import contextlib
import os
import resource
import signal
from pathlib import Path
from subprocess import DEVNULL

import pytest

from galwad.finaliser import workers as workers_module
from galwad.finaliser.process import Finaliser, sealer_of, workers_of
from galwad.finaliser.spools import number_of
from galwad.finaliser.workers import WorkerHungError, WorkerProcess, how_many
from galwad.messages import Alarm, Hello, Sealed, SpoolClosed
from galwad.process_start import lock_folder
from helpers.processes import GALWAD, Child
from recording.spool import SpoolWriter

CALLS = [f"20260301-09{number:02}00-abcdefgh" for number in range(8)]


@pytest.fixture(autouse=True)
def two_workers(monkeypatch):
    """Two workers, also on a machine with one core."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture
def core_dumps():
    """Allow core dumps in this process, from which a worker would inherit that."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    assert before[1] != 0
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@contextlib.asynccontextmanager
async def running(site, patience_s=20.0):
    """Run the finaliser in this process, with its worker processes."""
    settings = site.settings
    sealer = sealer_of(settings)
    workers = workers_of(sealer, settings)
    for each in workers:
        each._patience_s = patience_s
    finaliser = Finaliser(
        sealer, settings, workers, look_round_s=0.2, follow_s=0.05, index_wait_s=10.0
    )
    task = asyncio.create_task(finaliser.run())
    try:
        yield workers, task
    finally:
        finaliser.stop()
        with contextlib.suppress(WorkerHungError):
            await task
        for worker in workers:  # on a busy machine, the finaliser can give a slow one up
            if worker.process is not None:
                worker.process.kill()
                worker.process.wait()


def talk(writer: SpoolWriter, seconds: int) -> None:
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    for index in range(seconds * 50):
        for track in (0, 1):
            head = bytes((0x80, 8)) + index.to_bytes(2, "big") + (index * 160).to_bytes(4, "big")
            data = head + track.to_bytes(4, "big") + os.urandom(160)
            writer.packet(track, index * 20_000, data)
        if index % 50 == 49:
            writer.tick((index + 1) * 20_000)


def end(writer: SpoolWriter, seconds: int) -> None:
    writer.event("ended", {"cause": "bye"}, seconds * 1_000_000)
    writer.close(seconds * 1_000_000)


def part(site, call_id: str) -> Path:
    return site.root / "state" / "archive" / "2026" / "03" / "01" / f".{call_id}.payload.part"


async def sealed_of(peer, calls) -> dict[str, Sealed]:
    found: dict[str, Sealed] = {}
    while set(found) != set(calls):
        sealed = await peer.next(Sealed)
        found[sealed.call_id] = sealed
    return found


def open_files(pid: int) -> set[str]:
    names = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.add(each.readlink().name)
    return names


async def test_each_call_is_followed_and_sealed_by_its_own_worker(site):
    assert {number_of(call_id, 2) for call_id in CALLS} == {0, 1}
    writers = {call_id: site.writer(call_id) for call_id in CALLS}
    for writer in writers.values():
        talk(writer, 40)
    async with site.desk() as peer, running(site) as (workers, _):
        for call_id, writer in writers.items():
            await site.until(part(site, call_id).exists)
            (pid,) = {
                worker.process.pid
                for worker in workers
                if f".{call_id}.payload.part" in open_files(worker.process.pid)
            }
            assert pid == workers[number_of(call_id, 2)].process.pid
            end(writer, 40)
        await sealed_of(peer, CALLS)
        for writer in writers.values():
            await site.gone(writer.path)
    assert all(site.whole(call_id) for call_id in CALLS)


async def test_a_killed_worker_is_replaced_and_its_calls_are_sealed(site):
    writers = {call_id: site.writer(call_id) for call_id in CALLS}
    for writer in writers.values():
        talk(writer, 40)
    async with site.desk() as peer, running(site) as (workers, _):
        for call_id in CALLS:
            await site.until(part(site, call_id).exists)
        first = [worker.process.pid for worker in workers]
        for writer in writers.values():
            end(writer, 40)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        found = await sealed_of(peer, CALLS)
        assert all(not each.interrupted for each in found.values())
        for writer in writers.values():
            await site.gone(writer.path)
        assert not {worker.process.pid for worker in workers} & set(first)
    assert all(site.whole(call_id) for call_id in CALLS)
    assert not list(part(site, CALLS[0]).parent.glob(".*"))


async def test_a_call_whose_worker_dies_twice_is_reported_and_sealed_later(site, monkeypatch):
    """The call may be what ends the worker, so it does not end one after the other for ever."""
    monkeypatch.setattr(workers_module, "_FIRST_WAIT_S", 0.01)
    real = WorkerProcess._ask
    deaths: list[int] = []

    async def deadly(worker, order):
        asking = asyncio.create_task(real(worker, order))
        if len(deaths) < 2:
            await site.until(worker.running.is_set)
            deaths.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)
        return await asking

    async with site.switch() as switch, site.desk() as peer, running(site) as (workers, _):
        await switch.next(Hello)
        for worker in workers:
            await site.until(worker.running.is_set)
        path = site.call(CALLS[0])
        monkeypatch.setattr(WorkerProcess, "_ask", deadly)
        monkeypatch.setattr(WorkerProcess, "follow", lambda _: asyncio.sleep(0))
        switch.links[0].send(SpoolClosed(CALLS[0]))
        alarm = await peer.next(Alarm)
        assert (alarm.kind, alarm.call_id) == ("recording.not_sealed", CALLS[0])
        assert "died twice" in alarm.detail
        await peer.next(Sealed)
        await site.gone(path)
    assert site.whole(CALLS[0])


async def test_sigterm_to_a_worker_is_ignored(site):
    async with site.desk() as peer, running(site) as (workers, _):
        for worker in workers:
            await site.until(worker.running.is_set)
            os.kill(worker.process.pid, signal.SIGTERM)
            os.kill(worker.process.pid, signal.SIGINT)
        before = [worker.process.pid for worker in workers]
        paths = [site.call(call_id) for call_id in CALLS]
        await sealed_of(peer, CALLS)
        for path in paths:
            await site.gone(path)
        assert [worker.process.pid for worker in workers] == before


def test_sigterm_does_not_end_a_worker_that_has_just_been_started():
    """systemd sends it to each process of the unit, at any moment."""
    process, connection = workers_module._start()
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGINT)
    connection.close()
    assert process.wait(30) == 1  # it has ended by itself, because the finaliser's end is closed


async def test_a_worker_that_hangs_ends_the_finaliser(site):
    async with running(site, patience_s=4.5) as (workers, task):
        for worker in workers:
            await site.until(worker.running.is_set)
        pid = workers[0].process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(WorkerHungError):
                await asyncio.wait_for(task, 60)
        finally:
            os.kill(pid, signal.SIGKILL)
            workers[0].process.wait()


def finaliser_of(site) -> Child:
    command = [*GALWAD, "serve", "--only", "finaliser", "--json", "--config", site.config]
    return Child(command, stderr=DEVNULL)


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


async def test_workers_end_at_once_with_a_killed_finaliser(site):
    process = finaliser_of(site)
    wanted = min(2, os.cpu_count() or 1)
    folder = site.root / "state" / "finaliser"
    await site.until(lambda: len(list(folder.glob("worker-*"))) == wanted)  # they can seal now
    workers = children_of(process.pid)
    os.kill(workers[0], signal.SIGSTOP)  # also one that does not run
    process.kill()
    await asyncio.to_thread(process.wait, 20)
    await site.until(lambda: not any(runs(pid) for pid in workers))


def runs(pid: int) -> bool:
    """Return whether a process has not ended; also a zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_workers_write_no_core_dump(site, core_dumps):
    async with running(site) as (workers, _):
        for worker in workers:
            await site.until(worker.running.is_set)
            pid = worker.process.pid
            await site.until(lambda pid=pid: core_limit(pid) == ["0", "0"])


def core_limit(pid: int) -> list[str]:
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = [each for each in limits if "core" in each]
    return line.split()[4:6]


async def test_a_worker_does_nothing_until_the_same_worker_of_an_earlier_finaliser_has_ended(site):
    folder = site.root / "state" / "finaliser" / "worker-0"
    folder.mkdir(parents=True)
    (call_id,) = [each for each in CALLS if number_of(each, 2) == 0][:1]
    path = site.call(call_id)
    async with site.desk() as peer:
        with lock_folder(folder):
            async with running(site) as (workers, _):
                await site.until(lambda: workers[0].process and workers[0].process.poll() == 1)
                assert not part(site, call_id).parent.exists()
                folder.rename(folder.with_name("away"))  # the earlier one has ended
                await peer.next(Sealed)
                await site.gone(path)


def test_there_is_one_worker_for_each_core_and_at_most_two(monkeypatch):
    for cores, workers in (({3}, 1), ({0, 1}, 2), (set(range(64)), 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores)
        assert how_many() == workers
