"""Calls that are sealed while they continue, so that less work is left at their end."""

import asyncio
import contextlib
import os
import signal
import struct
from pathlib import Path
from subprocess import DEVNULL

import numpy as np
import pytest

from galwad.finaliser import live_sealer
from galwad.finaliser.process import sealer_of
from galwad.finaliser.worker import SEALING_TASKS
from galwad.messages import Sealed
from helpers.processes import GALWAD, Child
from helpers.recording.tones import packets, silence, tone
from recording.archive import store as archive_module
from recording.archive.sealing import LiveSealing, seal_audio
from recording.spool import SpoolWriter

FIRST = "20260301-090000-abcdefgh"
SECOND = "20260301-090500-bcdefghi"


def talk(writer: SpoolWriter, from_s: int, to_s: int) -> None:
    for index in range(from_s * 50, to_s * 50):
        for track in (0, 1):
            head = struct.pack("!BBHII", 0x80, 8, index & 0xFFFF, index * 160, track)
            writer.packet(track, index * 20_000, head + os.urandom(160))
        if index % 50 == 49:
            writer.tick((index + 1) * 20_000)


def part(site, call_id: str) -> Path:
    return site.root / "state" / "archive" / "2026" / "03" / "01" / f".{call_id}.payload.part"


@pytest.fixture
def straight(monkeypatch):
    """The calls that were read from their beginning when they had ended."""
    calls = []
    real = seal_audio

    def noted(*arguments, **options):
        calls.append(arguments[-1])
        return real(*arguments, **options)

    monkeypatch.setattr(archive_module, "seal_audio", noted)
    return calls


async def followed(site, call_id: str) -> None:
    """Wait until most of its first minute is sealed."""
    path = part(site, call_id)
    await site.until(lambda: path.exists() and path.stat().st_size > 900_000)


async def test_a_live_call_is_partly_sealed_and_finished_when_it_ends(site, straight):
    writer = site.writer(FIRST)
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    talk(writer, 0, 60)
    async with site.desk() as peer, site.running(follow_s=0.01, look_round_s=0.05):
        await followed(site, FIRST)
        talk(writer, 60, 62)
        writer.event("ended", {"cause": "bye"}, 62_000_000)
        writer.close(62_000_000)
        sealed = await peer.next(Sealed)
        assert (sealed.talk_us, sealed.interrupted) == (62_000_000, False)
        await site.gone(writer.path)
    assert site.whole(FIRST)
    assert not straight


async def test_followed_calls_that_end_together_are_all_finished_from_their_partial_seals(
    site, straight
):
    calls = [f"20260301-09{number:02}00-abcdefgh" for number in range(3 * SEALING_TASKS)]
    writers = [site.writer(call_id) for call_id in calls]
    for writer in writers:
        writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
        writer.event("segment", {"class": "centre", "to": ""}, 0)
        talk(writer, 0, 60)
    async with site.desk() as peer, site.running(follow_s=0.01, look_round_s=0.02):
        for call_id in calls:
            await followed(site, call_id)
        for writer in writers:
            writer.event("ended", {"cause": "bye"}, 60_000_000)
            writer.close(60_000_000)
        told: set = set()
        while told != set(calls):  # some may be reported again before the desk has confirmed them
            told.add((await peer.next(Sealed)).call_id)
        for writer in writers:
            await site.gone(writer.path)
    assert not straight
    assert all(site.whole(call_id) for call_id in calls)
    assert not list(part(site, FIRST).parent.glob(".*"))


async def test_partial_seals_are_deleted_when_the_finaliser_stops(site):
    writer = site.writer(FIRST)
    talk(writer, 0, 60)
    async with site.running(follow_s=0.01):
        await followed(site, FIRST)
    assert not part(site, FIRST).exists()
    async with site.running(follow_s=0.01):
        await followed(site, FIRST)
    writer.abandon()


async def test_a_followed_call_whose_writer_dies_is_sealed_from_its_spool(site, straight):
    writer = site.writer(FIRST)
    talk(writer, 0, 60)
    async with site.desk() as peer, site.running(follow_s=0.01, look_round_s=0.05):
        await followed(site, FIRST)
        writer.abandon()
        assert (await peer.next(Sealed)).interrupted
        await site.gone(writer.path)
    assert straight == [FIRST]
    assert site.whole(FIRST)


async def test_a_followed_call_with_a_second_life_is_sealed_from_its_spools(site, straight):
    first = site.writer(FIRST)
    talk(first, 0, 60)
    async with site.desk() as peer, site.running(follow_s=0.01, look_round_s=0.05):
        await followed(site, FIRST)
        second = site.writer(FIRST, life=2)
        first.abandon()
        talk(second, 0, 60)
        await site.gone(part(site, FIRST))
        second.close(60_000_000)
        await peer.next(Sealed)
        await site.gone(second.path)
    assert straight
    assert site.whole(FIRST)


async def test_a_call_that_cannot_be_followed_does_not_prevent_following_others(site, monkeypatch):
    strange, usual = site.writer(FIRST), site.writer(SECOND)
    real = LiveSealing.step

    def strangely(following, frames):
        if FIRST in following.spool.name:
            raise ZeroDivisionError
        return real(following, frames)

    monkeypatch.setattr(LiveSealing, "step", strangely)
    for writer in (strange, usual):
        talk(writer, 0, 60)
    async with site.desk() as peer, site.running(follow_s=0.01, look_round_s=0.05):
        await followed(site, SECOND)
        assert not part(site, FIRST).exists()
        for writer in (strange, usual):
            writer.close(60_000_000)
        told: set = set()
        while told != {FIRST, SECOND}:  # one may be reported again before the desk has confirmed it
            told.add((await peer.next(Sealed)).call_id)
    assert site.whole(FIRST)


def test_live_calls_are_followed_in_turns_and_slices_when_following_is_interrupted(site):
    writers = [site.writer(call_id) for call_id in (FIRST, SECOND)]
    for writer in writers:
        talk(writer, 0, 200)
    sealer = sealer_of(site.settings)
    sizes = set()
    for _ in range(40):
        sealer.follow(lambda: True)
        found = [part(site, call_id) for call_id in (FIRST, SECOND)]
        sizes.add(tuple(path.stat().st_size if path.exists() else 0 for path in found))
    whole = max(sizes)
    assert min(whole) > 4_000_000  # nearly the whole call
    assert {(16, 0), (0, 16)} & sizes  # begun
    assert any(0 < abs(one - other) < 2_000_000 for one, other in sizes - {whole})  # by turns
    assert len(sizes) >= 8
    sealer.discard_all()
    for writer in writers:
        writer.abandon()


def test_partial_seals_are_deleted_when_the_disk_gets_full(site, monkeypatch):
    writer = site.writer(FIRST)
    talk(writer, 0, 60)
    sealer = sealer_of(site.settings)
    sealer.follow(lambda: False)
    assert part(site, FIRST).stat().st_size > 900_000
    monkeypatch.setattr(live_sealer, "MIN_FREE_BYTES", 1 << 60)
    sealer.follow(lambda: False)
    assert not part(site, FIRST).exists()
    monkeypatch.setattr(live_sealer, "MIN_FREE_BYTES", 0)
    sealer.follow(lambda: False)
    assert part(site, FIRST).exists()
    sealer.discard_all()
    writer.abandon()


def test_a_followed_call_that_holds_back_too_much_audio_is_sealed_only_after_its_end(
    site, monkeypatch
):
    """Nothing of it is lost: it is sealed from its spool."""
    slow = np.concatenate([np.append(tone("5", 100, 100), silence(4)) for _ in range(20)])
    writer = site.writer(FIRST)
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    for at_us, track, data in packets("PCMA", slow):
        writer.packet(track, at_us, data)
        if at_us % 1_000_000 == 0:
            writer.tick(at_us)
    sealer = sealer_of(site.settings)
    monkeypatch.setattr(live_sealer, "MOST_HELD_BYTES", 100 << 20)
    sealer.follow(lambda: False)
    assert part(site, FIRST).exists()
    sealer.discard_all()
    monkeypatch.setattr(live_sealer, "MOST_HELD_BYTES", 1_500_000)
    sealer.follow(lambda: False)
    assert not part(site, FIRST).exists()
    writer.event("ended", {"cause": "bye"}, 80_000_000)
    writer.close(80_000_000)
    assert isinstance(sealer.seal(FIRST), Sealed)
    assert site.whole(FIRST)


async def test_an_ended_call_is_sealed_before_live_calls_are_followed_further(site):
    live = [site.writer(call_id) for call_id in (FIRST, SECOND)]
    for writer in live:
        talk(writer, 0, 300)
    ended = "20260301-091000-cdefghij"
    async with site.desk() as peer, site.running(follow_s=0.01, look_round_s=0.02):
        await site.until(part(site, FIRST).exists)
        path = site.call(ended)
        assert (await peer.next(Sealed)).call_id == ended
        await site.gone(path)
    for writer in live:
        writer.abandon()


async def test_a_kill_of_the_finaliser_while_it_follows_a_call_loses_nothing(site):
    writer = site.writer(FIRST)
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    talk(writer, 0, 60)
    command = [*GALWAD, "serve", "--only", "finaliser", "--json", "--config", site.config]
    async with site.desk() as peer:
        for ending in (signal.SIGKILL, signal.SIGTERM):
            process = Child(command, stderr=DEVNULL)
            await followed(site, FIRST)
            if ending == signal.SIGTERM:
                writer.event("ended", {"cause": "bye"}, 60_000_000)
                writer.close(60_000_000)
            process.send_signal(ending)
            await asyncio.to_thread(process.wait, 20)
            # The worker may see the end of its socket before the kernel kills it; then it has
            # discarded the file. Otherwise this is an old file that is shorter than the next one.
            if ending == signal.SIGKILL:
                with contextlib.suppress(FileNotFoundError):
                    os.truncate(part(site, FIRST), 1000)
        sealed = await peer.next(Sealed)
    assert (sealed.talk_us, sealed.interrupted) == (60_000_000, False)
    assert not writer.path.exists()
    assert not part(site, FIRST).exists()
    assert site.whole(FIRST)
