"""The finaliser as a process: seals ended calls, reports them to the desk, then deletes spools.

Covers `galwad/finaliser/sealer.py`.
"""

import asyncio
import base64
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import structlog

from galwad.finaliser.process import folders_of, sealer_of
from galwad.finaliser.sealer import Sealer
from galwad.finaliser.worker import SEALING_TASKS
from galwad.messages import Alarm, Hello, Indexed, Sealed, SpoolClosed, WaitingSpools
from recording.spool.recovery import recover_key

FIRST = "20260301-090000-abcdefgh"
SECOND = "20260301-090500-bcdefghi"
NUMBER = "+442079460123"


async def test_a_leftover_spool_is_sealed_indexed_and_only_then_deleted(site):
    path = site.call(FIRST)
    async with site.desk(index=False) as peer, site.running():
        assert (await peer.next(Hello)).role == "finaliser"
        sealed = await peer.next(Sealed)
        assert (sealed.call_id, sealed.folder, sealed.talk_us) == (FIRST, "2026/03/01", 2_000_000)
        assert (sealed.number, sealed.line, sealed.advisor) == (NUMBER, "main", "sian")
        assert path.exists()
        peer.links[0].send(Indexed(FIRST))
        await site.gone(path)
    assert site.whole(FIRST)


class AllCallsLast(Sealer):
    """Finishes a call only when `let` is released for it; `begun` has the calls that it began."""

    let: threading.Semaphore
    begun: list[str]

    def seal(self, call_id: str) -> Sealed | Alarm | None:
        self.begun.append(call_id)
        assert self.let.acquire(timeout=20)
        return super().seal(call_id)


@pytest.fixture
def slow(site):
    """A sealer that finishes a call when the test releases it."""
    made = AllCallsLast(folders_of(site.settings), "galwad", "test", site.officer.public_key)
    made.let, made.begun = threading.Semaphore(0), []
    return made


async def test_a_short_call_is_sealed_without_waiting_for_earlier_long_calls(site, slow):
    long = [f"20260301-08{number:02}00-abcdefgh" for number in range(3 * SEALING_TASKS)]
    for call_id in long:
        site.call(call_id, seconds=8)
    site.call(SECOND, seconds=2)
    async with site.desk() as peer, site.running(sealer=slow):
        await site.until(lambda: len(slow.begun) == SEALING_TASKS)
        assert SECOND in slow.begun
        slow.let.release(len(long) + 1)
        told = [(await peer.next(Sealed)).call_id for _ in range(len(long) + 1)]
    assert sorted(told) == sorted([*long, SECOND])


class OneCallLasts(Sealer):
    """Does not finish the first call until `let` is set."""

    let: threading.Event

    def seal(self, call_id: str) -> Sealed | Alarm | None:
        if call_id == FIRST:
            self.let.wait(20)
        return super().seal(call_id)


async def test_a_slow_seal_does_not_delay_other_calls(site):
    sealer = OneCallLasts(folders_of(site.settings), "galwad", "test", site.officer.public_key)
    sealer.let = threading.Event()
    site.call(FIRST)
    async with site.switch() as switch, site.desk() as peer, site.running(sealer=sealer):
        await switch.next(Hello)
        for number in range(2 * SEALING_TASKS):
            call_id = f"20260301-10{number:02}00-abcdefgh"
            site.call(call_id)
            switch.links[0].send(SpoolClosed(call_id))
            assert (await peer.next(Sealed)).call_id == call_id
        sealer.let.set()
        assert (await peer.next(Sealed)).call_id == FIRST
    assert site.whole(FIRST)


async def test_nothing_is_sealed_into_the_empty_mount_point_of_the_archive(site):
    archive = site.root / "state" / "archive"
    async with site.desk() as peer, site.running(look_round_s=0.05):
        await peer.next(Hello)
        archive.rename(away := archive.with_name("away"))
        archive.mkdir()
        path = site.call(FIRST)
        alarm = await peer.next(Alarm)
        assert (alarm.kind, alarm.call_id) == ("recording.not_sealed", FIRST)
        assert "mount that disk again" in alarm.detail
        assert list(archive.iterdir()) == []
        archive.rmdir()
        away.rename(archive)
        await peer.next(Sealed)
        await site.gone(path)
    assert site.whole(FIRST)


async def test_a_spool_folder_that_appears_later_is_searched(site):
    away = site.spool.with_name("away")
    site.call(FIRST)
    site.spool.rename(away)
    async with site.desk() as peer, site.running(look_round_s=0.05):
        await peer.next(Hello)
        await asyncio.sleep(0.1)
        away.rename(site.spool)
        assert (await peer.next(Sealed)).call_id == FIRST


async def test_a_call_that_has_just_ended_is_sealed_before_leftover_spools(site, slow):
    waiting = [f"20260301-08{number:02}00-abcdefgh" for number in range(20)]
    for call_id in waiting:
        site.call(call_id)
    async with site.switch() as switch, site.running(sealer=slow) as finaliser:
        await switch.next(Hello)
        await site.until(lambda: len(slow.begun) == SEALING_TASKS)
        switch.links[0].send(SpoolClosed(FIRST))
        await site.until(lambda: FIRST in finaliser._queued)
        site.call(FIRST, seconds=8)
        slow.let.release(SEALING_TASKS)
        await site.until(lambda: len(slow.begun) == 2 * SEALING_TASKS)
        assert FIRST in slow.begun
        slow.let.release(len(waiting))
    assert site.whole(FIRST)


async def test_a_spool_is_sealed_when_the_switch_reports_it_closed(site):
    async with site.switch() as switch, site.desk() as peer, site.running():
        assert (await switch.next(Hello)).role == "finaliser"
        path = site.call(FIRST)
        switch.links[0].send(SpoolClosed(FIRST))
        assert (await peer.next(Sealed)).call_id == FIRST
        await site.gone(path)


async def test_spools_closed_before_the_switch_echoes_our_hello_are_sealed(site):
    async with site.switch() as switch, site.desk() as peer, site.running():
        hello = await switch.next(Hello)
        await asyncio.sleep(0.3)  # its own first search is over
        site.call(FIRST)
        switch.links[0].send(hello)
        assert (await peer.next(Sealed)).call_id == FIRST


async def test_a_desk_that_is_down_delays_indexing_but_not_sealing(site):
    paths = [site.call(FIRST), site.call(SECOND)]
    async with site.running():
        manifest = site.root / "state" / "archive" / "2026" / "03" / "01" / f"{SECOND}.manifest"
        await site.until(manifest.exists)
        assert all(path.exists() for path in paths)
        async with site.desk() as peer:
            told = {(await peer.next(Sealed)).call_id for _ in range(2)}
            assert told == {FIRST, SECOND}
            for path in paths:
                await site.gone(path)


async def test_a_recording_is_reported_again_after_a_restart_between_sealing_and_indexing(site):
    path = site.call(FIRST)
    async with site.desk(index=False) as peer, site.running():
        first = await peer.next(Sealed)
    async with site.desk() as peer, site.running():
        assert await peer.next(Sealed) == first
        await site.gone(path)


async def test_ended_calls_are_sealed_and_indexed_before_the_finaliser_stops(site):
    async with site.desk() as peer:
        async with site.running(index_wait_s=10.0):
            await peer.next(Hello)
            live = site.writer("20260301-091000-cdefghij")
            paths = [site.call(FIRST), site.call(SECOND)]
        assert not any(path.exists() for path in paths)
    assert site.whole(FIRST)
    assert site.whole(SECOND)
    assert live.path.exists()
    live.abandon()


async def test_a_second_stop_ends_the_finaliser_after_the_current_seals(site):
    calls = [f"20260301-09{minute}00-abcdefgh" for minute in range(10, 16)]
    paths = [site.call(call_id) for call_id in calls]
    async with site.desk(), site.running(index_wait_s=10.0) as finaliser:
        finaliser.stop()
        finaliser.stop()
    assert sum(path.exists() for path in paths) >= len(paths) - SEALING_TASKS


async def test_a_live_spool_is_not_sealed_until_its_writer_dies(site):
    live = site.writer(FIRST)
    live.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    other = site.call(SECOND)
    async with site.desk() as peer, site.running(look_round_s=0.05):
        assert (await peer.next(Sealed)).call_id == SECOND
        await site.gone(other)
        live.abandon()
        while (sealed := await peer.next(Sealed)).call_id == SECOND:
            pass  # it was reported again before the desk had confirmed it
        assert (sealed.call_id, sealed.interrupted) == (FIRST, True)
        assert (await peer.next(Alarm)).kind == "recording.interrupted"
        await site.gone(live.path)


def test_a_copy_of_a_spool_that_is_completed_during_the_check_for_a_writer_is_found_too(
    site, monkeypatch
):
    first = site.call(FIRST)
    copy = first.with_name(f"{FIRST}.2.spool")

    def is_live(path):
        """Complete the copy and release the lock, after the folder was read."""
        shutil.copy(path, copy)
        return False

    monkeypatch.setattr("galwad.finaliser.sealer.is_live", is_live)
    assert sealer_of(site.settings).spools(FIRST) == [first, copy]


async def test_a_spool_with_the_key_of_another_boot_stays_and_raises_one_alarm(site):
    path = site.call(FIRST)
    (site.root / "run" / "boot.key").write_bytes(os.urandom(32))
    with structlog.testing.capture_logs() as logs:
        async with site.desk() as peer, site.running():
            alarm = await peer.next(Alarm)
            assert (alarm.kind, alarm.call_id) == ("recording.locked", FIRST)
    assert path.exists()  # it was tried again before the finaliser stopped
    assert [log["event"] for log in logs].count("alarm") == 1


@pytest.mark.parametrize("disk", ["another key", "no key", "a disk that does not read"])
async def test_a_spool_begun_before_unattended_recovery_was_set_is_sealed(site, disk):
    """Also while the key on disk is missing or unreadable: the key in memory opens the spool."""
    path = site.call(FIRST)
    with site.config.open("a") as config:
        config.write("unattended_recovery = true\n")
    if disk == "another key":
        (site.spool / "host.key").write_bytes(os.urandom(32))
    elif disk != "no key":
        (site.spool / "host.key").mkdir()
    async with site.desk() as peer, site.running():
        assert (await peer.next(Sealed)).call_id == FIRST
        await site.gone(path)
    assert site.whole(FIRST)


async def test_a_spool_with_the_host_key_of_the_spare_folder_is_sealed(site):
    """With unattended recovery, the switch found no key in the spare folder and made one there."""
    path, spare, key = site.call(FIRST), site.settings.spare_folder, site.root / "run" / "boot.key"
    spare.mkdir()
    path.rename(spare / path.name)
    key.rename(spare / "host.key")
    key.write_bytes(os.urandom(32))
    (site.spool / "host.key").write_bytes(os.urandom(32))
    with site.config.open("a") as config:
        config.write("unattended_recovery = true\n")
    async with site.desk() as peer, site.running():
        assert (await peer.next(Sealed)).call_id == FIRST
        await site.gone(spare / path.name)
    assert site.whole(FIRST)


async def test_a_spool_of_another_boot_is_sealed_once_an_officer_recovers_its_key(site):
    path = site.call(FIRST)
    (site.root / "run" / "boot.key").write_bytes(os.urandom(32))
    async with site.desk() as peer, site.running(look_round_s=0.05):
        assert (await peer.next(Alarm)).kind == "recording.locked"
        key = recover_key(path, [site.officer.identity])
        place = site.root / "run" / "spool-keys" / key.name
        place.write_bytes(bytes(key))
        sealed = await peer.next(Sealed)
        await site.gone(place)
    assert (sealed.number, sealed.advisor, sealed.personal) == (NUMBER, "sian", True)
    assert sealed.recovered == (1,)
    assert not path.exists()
    assert site.whole(FIRST)


async def test_a_spool_of_another_boot_is_deleted_once_its_call_is_archived_and_indexed(site):
    path = site.call(FIRST)
    async with site.desk(index=False) as peer, site.running():
        first = await peer.next(Sealed)
    assert path.exists()
    (site.root / "run" / "boot.key").write_bytes(os.urandom(32))
    async with site.desk() as peer, site.running():
        again = await peer.next(Sealed)
        await site.gone(path)
        assert peer.heard.empty()
    assert (first.personal, again.personal) == (True, False)
    assert (again.number, again.line, again.advisor, again.extension) == (None, "", "", "")
    assert again.manifest_sha256 == first.manifest_sha256
    assert site.whole(FIRST)


async def test_no_spool_is_sealed_until_the_recipients_have_a_valid_signature(site):
    path = site.call(FIRST)
    good = site.recipients.read_bytes()
    site.recipients.write_bytes(good.replace(b'"serial": 1', b'"serial": 2'))
    async with site.desk() as peer, site.running(look_round_s=0.05):
        assert (await peer.next(Alarm)).kind == "recording.no_recipients"
        assert path.exists()
        site.recipients.write_bytes(good)
        assert (await peer.next(Sealed)).call_id == FIRST
        await site.gone(path)


async def test_garbage_in_the_spool_folder_is_reported_and_not_deleted(site):
    rubbish = site.spool / f"{FIRST}.1.spool"
    rubbish.write_bytes(os.urandom(3000))
    (site.spool / "notes.txt").write_text("hello")
    good = site.call(SECOND)
    with structlog.testing.capture_logs() as logs:
        async with site.desk() as peer, site.running():
            told = await peer.next(Alarm)
            await site.gone(good)
    assert rubbish.exists()
    assert told.kind == "recording.not_sealed"
    assert [log["detail"] for log in logs if log["event"] == "alarm"] == [told.detail]
    assert told.detail


async def test_the_desk_receives_a_list_of_long_waiting_spools_with_the_reasons(site):
    locked, live = site.call(FIRST), site.writer(SECOND)
    strange = site.spool / "strange.spool"
    strange.write_bytes(b"x")
    (site.root / "run" / "boot.key").write_bytes(os.urandom(32))
    for path in (locked, live.path, strange):
        os.utime(path, (1000.0, 1000.0))
    async with site.desk() as peer, site.running(look_round_s=0.02):
        told = WaitingSpools(())
        while not any(spool.why for spool in told.spools):
            told = await peer.next(WaitingSpools)
    assert [(spool.name, spool.call_id, spool.since, spool.why) for spool in told.spools] == [
        (locked.name, FIRST, 1000.0, "recording.locked"),
        ("strange.spool", "", 1000.0, ""),
    ]
    live.abandon()


async def test_when_a_recording_is_indexed_only_the_spools_that_it_contains_are_deleted(site):
    path = site.call(FIRST)
    async with site.desk(index=False) as peer, site.running():
        await peer.next(Sealed)
        late = site.writer(FIRST, life=2)
        late.close(0)
        peer.links[0].send(Indexed(FIRST))
        await site.gone(path)
    assert late.path.exists()


class WatchedSealer(Sealer):
    """Waits for two searches of the folder while it seals, and again while it deletes."""

    looks = 0
    sealed: tuple[str, ...] = ()

    def closed(self) -> dict[str, int]:
        found = super().closed()
        self.looks += 1
        return found

    def seal(self, call_id: str) -> Sealed | Alarm | None:
        if self.spools(call_id):
            self.sealed += (call_id,)
        self._two_looks()
        return super().seal(call_id)

    def forget(self, call_id: str) -> None:
        self._two_looks()
        super().forget(call_id)

    def _two_looks(self) -> None:
        wanted = self.looks + 2
        while self.looks < wanted:
            time.sleep(0.002)


async def test_a_call_that_is_being_sealed_or_deleted_is_not_sealed_again(site):
    settings = site.settings
    sealer = WatchedSealer(folders_of(settings), "galwad", "test", site.officer.public_key)
    path = site.call(FIRST)
    async with site.desk(), site.running(0.005, sealer):
        await site.gone(path)
        await site.gone(site.call(SECOND))
    assert sealer.sealed == (FIRST, SECOND)


async def test_the_finaliser_dumps_no_core_logs_no_number_and_ends_on_sigterm(site):
    path = site.call(FIRST)
    command = [sys.executable, "-m", "galwad", "serve", "--only", "finaliser", "--json"]
    async with site.desk() as peer:
        process = await asyncio.create_subprocess_exec(
            *command, "--config", site.config, stderr=asyncio.subprocess.PIPE
        )
        await peer.next(Sealed)
        await site.gone(path)
        limits = await asyncio.to_thread(Path(f"/proc/{process.pid}/limits").read_text)
        assert next(line for line in limits.splitlines() if "core" in line).split()[4] == "0"
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert b"recording.sealed" in log
    for text in (NUMBER.encode(), b"79460123", base64.b64encode(NUMBER.encode())):
        assert text not in log
    assert site.whole(FIRST)
