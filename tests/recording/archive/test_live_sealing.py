"""A call sealed while it continues: the same recording as one sealed at its end, or none yet."""

import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.office import Office
from recording.archive import store as archive_module
from recording.archive.sealing import seal_audio
from recording.errors import SpoolError

US = 1_000_000
CALL_ID = "20260301-090000-abcdefgh"
MANY = settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))


class Party:
    """A sender of RTP that is mostly regular."""

    def __init__(self, track, dice):
        self.track = track
        self.dice = dice
        self.sequence = dice.randint(0, 65_535)
        self.timestamp = dice.randint(0, 2**32 - 1)
        self.kind = 8

    def packet(self):
        dice = self.dice
        trouble = dice.random()
        step = 0 if trouble < 0.02 else 3 if trouble < 0.04 else 1
        self.sequence = (self.sequence + step) & 0xFFFF
        self.timestamp = (self.timestamp + 160 * step) % 2**32
        head = (0x80, self.kind, self.sequence, self.timestamp, self.track + 1)
        return struct.pack("!BBHII", *head) + dice.randbytes(159 if trouble > 0.98 else 160)


class Play:
    """A call with random events in each second."""

    def __init__(self, office, dice):
        self.dice = dice
        self.call = office.call()
        self.now = dice.choice([0, 1_300_000])
        self.parties = [Party(track, dice) for track in (0, 1)]
        self.held = False
        self.call.answer(self.now)

    def second(self):
        dice, writer = self.dice, self.call.writer
        for _ in range(50):
            for party in self.parties:
                jitter = dice.randint(0, 30_000)
                if not self.held and dice.random() > 0.01:
                    writer.packet(party.track, self.now + jitter, party.packet())
            self.now += 20_000
        writer.tick(self.now)
        self.happening()

    def happening(self):
        dice, call = self.dice, self.call
        what = dice.choice(["pause", "go on", "segment", "erase", "clock", "fault", *[""] * 6])
        if what == "pause" and not self.held:
            trigger_us = max(0, self.now - dice.choice([0, 2 * US, 9 * US]))
            trigger_us = max(trigger_us, call.writer.erasable_from_us)
            call.writer.erase_back_to(trigger_us)
            why = {"reason": "payment", "trigger": "api", "actor": "token:pay"}
            call.event("gap-start", trigger_us, **why)
            self.held = True
        elif what == "go on" and self.held:
            call.event("gap-end", self.now)
            call.event("segment", self.now, **{"class": "centre", "to": ""})
            self.held = False
        elif what == "segment" and not self.held:
            call.event("segment", self.now, **{"class": "department", "to": ""})
        elif what == "erase":
            call.writer.erase_back_to(self.now - dice.randint(0, 3 * US))
        elif what:
            call.event(what, self.now, wall=1_772_355_600 + self.now / US, why="heard")

    def end(self, how):
        """End the spool as `clean`, `died` or `damaged` at its end, and return its path."""
        writer = self.call.writer
        if how == "died":
            writer.abandon()
        else:
            self.call.end(self.now)
        if how == "damaged":
            data = bytearray(writer.path.read_bytes())
            data[-self.dice.randint(1, 50)] ^= 0xFF
            writer.path.write_bytes(data)
        return writer.path


def facts(recording):
    """Return the manifest's facts without those that differ between any two recordings."""
    told = msgspec.structs.asdict(recording.manifest)
    del told["payload"], told["header"], told["sealed"], told["sealed_facts"]
    raw = told.pop("raw")
    return told, recording.personal, raw and (raw.size, raw.packets)


@pytest.fixture
def straight(monkeypatch):
    """A list that grows each time a recording is sealed in one go at the end of its call."""
    times = []
    real = seal_audio

    def counted(*arguments, **options):
        times.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(archive_module, "seal_audio", counted)
    return times


@given(
    seed=st.integers(0, 2**32),
    how=st.sampled_from(["clean", "clean", "clean", "died", "damaged"]),
    kind=st.sampled_from([8, 8, 0, 9, 13, 99]),
)
@MANY
def test_a_call_sealed_live_gives_the_same_recording_as_one_sealed_at_its_end(
    straight, seed, how, kind
):
    dice = random.Random(seed)
    straight.clear()
    with tempfile.TemporaryDirectory() as name:
        office = Office(Path(name))
        play = Play(office, dice)
        following = office.follow(play.call.writer.path)
        for _ in range(dice.randint(1, 14)):
            play.second()
            if dice.random() < 0.1:
                play.parties[dice.randint(0, 1)].kind = kind
            if dice.random() < 0.5:
                following.step(dice.choice([1, 7, 100]))
        path = play.end(how)
        followed = office.seal(path, following=following)
        assert len(straight) == (how != "clean")
        samples, rate = office.audio()
        raw = office.raw()
        assert not office.verdict(identities=[office.officer.identity]).problems
        assert all(not p.name.startswith(".") for p in office.folder.iterdir())
        shutil.rmtree(office.folder)
        assert facts(office.seal(path)) == facts(followed)
        again, again_rate = office.audio()
        assert rate == again_rate
        assert np.array_equal(samples, again)
        assert office.raw() == raw


def test_live_sealing_leaves_only_the_last_seconds_for_the_end(office, straight):
    call = office.call()
    call.answer()
    following = office.follow(call.writer.path)
    call.talk(0, 40 * US)
    while following.step(10):
        pass
    size = os.fstat(following.part.fd).st_size
    path = call.end(40 * US)
    payload = office.seal(path, following=following).manifest.payload
    assert size > payload.size - 5 * 65_552  # except chunk 0, an open chunk, lookback and window
    assert not straight


def test_a_call_that_turns_wideband_is_sealed_live_at_16_khz_from_its_start(office, straight):
    call = office.call()
    call.answer()
    following = office.follow(call.writer.path)
    call.talk(0, 20 * US)
    following.step(100)
    call.talk(20 * US, 40 * US, kind=9)
    following.step(10)
    following.step(100)
    assert office.seal(call.end(40 * US), following=following).manifest.rate == 16_000
    assert not straight
    assert len(office.audio()[0]) == 40 * 16_000


def test_a_short_wideband_call_is_sealed_live_at_16_khz(office, straight):
    """When the call ends, its first packets still wait for later packets to confirm their time."""
    call = office.call()
    call.answer()
    following = office.follow(call.writer.path)
    call.talk(0, int(0.3 * US), kind=9)
    assert office.seal(call.end(int(0.3 * US)), following=following).manifest.rate == 16_000
    assert not straight
    samples, _ = office.audio()
    assert samples[: 16_000 // 5].any()


def test_a_call_with_a_second_life_is_sealed_from_both_spools(office, straight):
    first = office.call()
    first.answer()
    following = office.follow(first.writer.path)
    first.talk(0, 20 * US)
    following.step(100)
    first.writer.abandon()
    second = office.call(life=2, wall=1_772_355_625.25)
    second.event("segment", 0, **{"class": "centre", "to": ""})
    second.talk(0, US)
    paths = [first.writer.path, second.end(US)]
    manifest = office.seal(*paths, following=following).manifest
    assert [life.life for life in manifest.lives] == [1, 2]
    assert manifest.talk_us == 26 * US
    assert straight == [1]
    assert not office.verdict(identities=[office.officer.identity]).problems


def test_live_sealing_of_a_sealed_recording_gives_the_same_result_and_leaves_no_file(office):
    path = office.simple()
    first = office.seal(path)
    following = office.follow(path)
    assert office.seal(path, following=following) == first
    following.discard()
    following.discard()
    assert all(not p.name.startswith(".") for p in office.folder.iterdir())


def test_live_sealing_of_an_unreadable_spool_leaves_no_file(office):
    path = office.simple()
    office.boot_key = bytes(32)
    with pytest.raises(SpoolError):
        office.follow(path)
    assert list(office.folder.iterdir()) == []


@pytest.mark.parametrize("call_name", ["fsync", "rename", "sync_folder"])
@pytest.mark.parametrize("nth", range(1, 8))
def test_a_crash_at_any_step_at_the_end_of_live_sealing_is_repaired_by_sealing_again(
    office, dying, call_name, nth
):
    call = office.call()
    call.answer()
    following = office.follow(call.writer.path)
    call.talk(0, 12 * US)
    following.step(100)
    path = call.end(12 * US)
    with dying(call_name, nth) as died:
        office.seal(path, following=following)
    assert path.exists() or not died
    office.seal(path)
    assert not office.verdict(identities=[office.officer.identity]).problems
    assert all(not p.name.startswith(".") for p in office.folder.iterdir())


DIES = """
import os, signal, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from recording.archive.store import Archive
from recording.archive.manifest import SealingNode
from recording.spool.recovery import SpoolKeys
root, spool, key, steps = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
archive = Archive(root / "archive", SealingNode("galwad-1", "0.1.0", Ed25519PrivateKey.generate()))
following = archive.begin_live(spool.name[:24], spool, SpoolKeys(bytes.fromhex(key)))
following.step(steps)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("steps", [0, 3, 25])
def test_the_unfinished_file_of_a_killed_live_sealing_is_replaced_by_a_second_one(
    office, straight, steps
):
    call = office.call()
    call.answer()
    call.talk(0, 30 * US)
    command = [sys.executable, "-c", DIES, office.root, call.writer.path, office.boot_key.hex()]
    died = subprocess.run([*command, str(steps)], check=False).returncode
    assert died == -signal.SIGKILL
    (left,) = office.folder.iterdir()
    assert left.name == f".{CALL_ID}.payload.part"
    following = office.follow(call.writer.path)
    following.step(100)
    office.seal(call.end(30 * US), following=following)
    assert not straight
    assert not office.verdict(identities=[office.officer.identity]).problems
    assert len(list(office.folder.iterdir())) == 3


def test_a_full_disk_during_live_sealing_does_not_prevent_sealing_at_the_end(office, monkeypatch):
    call = office.call()
    call.answer()
    following = office.follow(call.writer.path)
    call.talk(0, 30 * US)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            following.step(100)
    following.discard()
    assert list(office.folder.iterdir()) == []
    office.seal(call.end(30 * US))
    assert not office.verdict(identities=[office.officer.identity]).problems


@pytest.mark.parametrize(("kind", "most"), [(8, 900_000), (9, 1_500_000)])
def test_a_followed_call_keeps_little_audio_in_memory_however_long_it_lasts(office, kind, most):
    """Kind 8 is G.711 with 8,000 samples a second, kind 9 is G.722 with 16,000."""
    call = office.call()
    call.answer()
    following = office.follow(call.writer.path)
    held = []
    for second in range(120):
        call.talk(second * US, (second + 1) * US, kind=kind)
        if second % 3 == 0:
            following.step(100)
            held.append(following.held_bytes)
    following.discard()
    assert most / 2 < max(held) < most
    assert max(held[:20]) == max(held)
