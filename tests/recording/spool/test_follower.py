"""A spool that is followed: each result is final, and the reader gives the same after the end."""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.spools import SpoolRoom
from recording.errors import SpoolKeyError
from recording.spool import EndRecord, EventRecord, PacketRecord
from recording.spool.follower import SpoolFollower
from recording.spool.scanner import Scanner, find_header

MANY = settings(max_examples=examples(80), deadline=None, suppress_health_check=list(HealthCheck))


def nothing(_from_us, _plaintext):
    return None


def taken(follower):
    """Return every record that is final by now."""
    records = []
    while (some := follower.take(nothing)) is not None:
        records += some
    return records


def frames_of(path: Path):
    """Return the offset and length of each frame."""
    with path.open("rb") as file:
        start = find_header(file.fileno(), path.name)[2]
        scanner = Scanner(file.fileno(), start, path.stat().st_size)
        return [(scanner.offset, frame.size) for frame in scanner]


def unhurried(dice, writer, at_us):
    """Let one random event of a call happen, and return the time after it."""
    what = dice.choice(["packet"] * 8 + ["event", "tick", "tick", "erase", "flush", "later"])
    if what == "packet":
        writer.packet(dice.randint(0, 1), at_us, dice.randbytes(dice.choice([20, 172])))
    elif what == "event":
        writer.event("clock", {"wall": at_us}, at_us)
    elif what == "tick":
        writer.tick(at_us)
    elif what == "erase":
        writer.erase_back_to(max(0, at_us - dice.randint(0, 9_000_000)))
    elif what == "flush":
        writer.flush_frame()
    return at_us + (3_000_000 if what == "later" else dice.randint(0, 400_000))


@given(seed=st.integers(0, 2**32), often=st.sampled_from([0.05, 0.3, 1.0]))
@MANY
def test_a_follower_returns_the_same_records_as_a_reader_and_never_an_erasable_packet(seed, often):
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        room = SpoolRoom(Path(name))
        writer = room.writer(lookback_s=dice.choice([0.0, 1.0, 5.0]))
        follower = SpoolFollower.open(writer.path, room.boot_key)
        given_so_far, at_us = [], 0
        for _ in range(dice.randint(1, 250)):
            at_us = unhurried(dice, writer, at_us)
            if dice.random() < often:
                fresh = taken(follower)
                for record in fresh:
                    assert not isinstance(record, PacketRecord) or (
                        record.at_us < writer.erasable_from_us
                    )
                given_so_far += fresh
        writer.close(at_us)
        given_so_far += taken(follower)
        assert follower.complete
        with room.read(writer.path) as reader:
            assert given_so_far == list(reader)
        follower.close()


def test_a_frame_is_returned_once_its_key_is_published(spools):
    writer = spools.writer(lookback_s=5.0)
    follower = SpoolFollower.open(writer.path, spools.boot_key)
    writer.packet(0, 0, b"hello")
    writer.event("clock", {"wall": 1}, 10)
    assert taken(follower) == []
    writer.tick(1_000_000)
    assert taken(follower) == []
    writer.tick(5_000_000)
    assert taken(follower) == [PacketRecord(0, 0, b"hello"), EventRecord(10, "clock", {"wall": 1})]
    before = follower.complete
    writer.close(6_000_000)
    assert taken(follower) == [EndRecord(6_000_000)]
    assert (before, follower.complete) == (False, True)
    follower.close()


def test_a_late_trigger_erases_packets_that_were_not_returned_yet(spools, talk):
    writer = spools.writer(lookback_s=5.0)
    follower = SpoolFollower.open(writer.path, spools.boot_key)
    talk(writer, 20)
    before = taken(follower)
    writer.erase_back_to(writer.erasable_from_us)
    talk(writer, 10, start=20)
    writer.close(30_000_000)
    told = [r.at_us for r in [*before, *taken(follower)] if isinstance(r, PacketRecord)]
    assert max(at_us for at_us in told if at_us < 20_000_000) < 15_000_000
    assert follower.complete
    follower.close()


@pytest.mark.parametrize("where", ["early", "late", "header", "behind"])
def test_a_changed_file_is_never_complete(spools, talk, where):
    writer = spools.writer(lookback_s=1.0)
    talk(writer, 10)
    follower = SpoolFollower.open(writer.path, spools.boot_key)
    talk(writer, 10, start=10)
    writer.close(20_000_000)
    data = bytearray(writer.path.read_bytes())
    frames = frames_of(writer.path)
    if where == "behind":
        data += b"more"
    elif where == "header":
        data[frames[0][0] - 10] ^= 1
    else:
        offset, size = frames[4 if where == "early" else -4]
        data[offset + size - 1] ^= 1
    writer.path.write_bytes(data)
    if where == "header":
        follower.close()
        follower = SpoolFollower.open(writer.path, spools.boot_key)
    taken(follower)
    assert not follower.complete
    follower.close()


@pytest.mark.parametrize("nth", [0, 3, 8, -3, -1])
def test_a_file_with_a_missing_frame_is_never_complete(spools, talk, nth):
    writer = spools.writer(lookback_s=1.0)
    talk(writer, 10)
    writer.close(10_000_000)
    data = writer.path.read_bytes()
    offset, size = frames_of(writer.path)[nth]
    writer.path.write_bytes(data[:offset] + data[offset + size :])
    follower = SpoolFollower.open(writer.path, spools.boot_key)
    taken(follower)
    assert not follower.complete
    follower.close()


def test_the_spool_of_a_writer_that_died_is_never_complete(spools, talk):
    writer = spools.writer()
    talk(writer, 10)
    writer.abandon()
    follower = SpoolFollower.open(writer.path, spools.boot_key)
    assert taken(follower)
    assert not follower.complete
    follower.close()


def test_a_follower_keeps_few_keys_in_memory_during_a_long_call(spools, talk):
    writer = spools.writer(lookback_s=5.0)
    follower = SpoolFollower.open(writer.path, spools.boot_key)
    most = 0
    for minute in range(20):
        talk(writer, 60, start=minute * 60, every_us=500_000)
        taken(follower)
        most = max(most, len(follower._keys))  # no other way to see what it holds
    assert most < 20
    writer.abandon()
    follower.close()


def test_the_key_of_another_boot_does_not_open_a_spool(spools):
    writer = spools.writer()
    with pytest.raises(SpoolKeyError):
        SpoolFollower.open(writer.path, bytes(32))
    writer.abandon()
