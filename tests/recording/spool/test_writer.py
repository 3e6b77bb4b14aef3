"""A spool while it is written: its content, its keys, and what can be erased or read.

Covers `recording/spool/file.py`, `recording/spool/keys.py` and `recording/spool/format.py`.
"""

import contextlib
import os
import re

import pytest

from recording.errors import SpoolClosedError, SpoolGoneError, SpoolKeyError, SpoolWriteError
from recording.files.disk import Disk
from recording.spool import (
    EndRecord,
    EventRecord,
    LossReason,
    LostRecord,
    PacketRecord,
    is_live,
    read_header,
    read_spool,
    remove_spool,
)
from recording.spool.format import FRAME_MAGIC, FRAME_OVERHEAD
from recording.spool.writer import WRITTEN_TWICE


class CountingDisk(Disk):
    """A disk that counts its jobs."""

    jobs = 0

    def run(self, job, undo=None):
        self.jobs += 1
        return super().run(job, undo)

    def run_later(self, job):
        self.jobs += 1
        super().run_later(job)


def packets(records):
    return [r for r in records if isinstance(r, PacketRecord)]


def losses(records):
    return [r for r in records if isinstance(r, LostRecord)]


def test_records_are_read_in_the_order_in_which_they_were_written(spools):
    writer = spools.writer()
    writer.packet(0, 10, b"one")
    writer.packet(1, 20, b"two")
    writer.event("gap-start", {"reason": "payment", "n": [1, None, b"x"]}, 25)
    writer.packet(0, 30, b"three")
    writer.close(40)
    reader = spools.read(writer.path)
    assert list(reader) == [
        PacketRecord(10, 0, b"one"),
        PacketRecord(20, 1, b"two"),
        EventRecord(25, "gap-start", {"reason": "payment", "n": [1, None, b"x"]}),
        PacketRecord(30, 0, b"three"),
        EndRecord(40),
    ]
    assert not reader.interrupted
    assert not reader.damaged
    assert not reader.truncated


def test_the_spool_header_has_call_id_life_start_and_wrapped_key(spools):
    writer = spools.writer(life=3, wrap=lambda key: b"age:" + key[::-1])
    header = read_header(writer.path)
    assert (header.call_id, header.life) == ("20260301-090000-abcdefgh", 3)
    assert header.started_wall_us == 1_700_000_000_000_000
    writer.close(0)
    spool_key = header.recipients_wrapped.removeprefix(b"age:")[::-1]
    assert list(read_spool(writer.path, spool_key=spool_key)) == [EndRecord(0)]


def test_no_audio_or_event_is_readable_in_the_file_without_its_key(spools, talk):
    writer = spools.writer()
    talk(writer, 8)
    writer.event("call", {"number": "01632960123"}, 8_000_000)
    writer.close(8_000_000)
    data = writer.path.read_bytes()
    for secret in (b"caller", b"advisor", b"01632960123", b"number"):
        assert secret not in data


def test_a_wrong_or_missing_key_does_not_open_a_spool(spools):
    writer = spools.writer()
    writer.close(0)
    with pytest.raises(SpoolKeyError):
        read_spool(writer.path, boot_key=os.urandom(32))
    with pytest.raises(SpoolKeyError):
        read_spool(writer.path, spool_key=os.urandom(32))
    with pytest.raises(SpoolKeyError):
        read_spool(writer.path)


def test_a_spool_is_live_until_its_writer_closes(spools):
    writer = spools.writer()
    assert is_live(writer.path)
    writer.close(0)
    assert not is_live(writer.path)


def test_two_writers_never_share_a_file(spools):
    writer = spools.writer()
    with pytest.raises(SpoolWriteError):
        spools.writer()
    writer.close(0)
    assert not spools.read(writer.path).damaged


def test_keys_are_published_only_after_the_lookback(spools, talk):
    writer = spools.writer()
    talk(writer, 8)
    reader = spools.read(writer.path)
    records = list(reader)
    assert max(p.at_us for p in packets(records)) < 3_000_000
    assert {loss.why for loss in losses(records)} == {LossReason.UNRELEASED}
    assert reader.interrupted
    assert len(packets(spools.read(writer.path, crashed=True))) == 160
    writer.close(8_000_000)
    assert len(packets(spools.read(writer.path))) == 160


def test_closing_leaves_no_key_in_the_runtime_folder(spools, talk):
    writer = spools.writer()
    talk(writer, 3)
    assert list(spools.keys.iterdir())
    writer.close(3_000_000)
    assert not list(spools.keys.iterdir())


def test_erasing_removes_packets_and_destroys_their_frame_keys(spools, talk):
    writer = spools.writer()
    talk(writer, 8)
    slots = next(spools.keys.iterdir())
    before = slots.read_bytes()
    writer.erase_back_to(6_450_000)
    after = slots.read_bytes()
    for crashed in (False, True):
        read = packets(spools.read(writer.path, crashed=crashed))
        assert max(p.at_us for p in read) < 6_450_000
    writer.close(8_000_000)
    records = list(spools.read(writer.path))
    assert len(packets(records)) == 130
    assert losses(records)[0].from_us == 6_400_002
    assert {loss.why for loss in losses(records)} == {LossReason.ERASED}
    assert losses(records)[-1].to_us == 7_900_001
    gone = {before[i : i + 32] for i in range(44, len(before), 40)} - {
        after[i : i + 32] for i in range(44, len(after), 40)
    }
    assert gone
    assert not any(key in writer.path.read_bytes() for key in gone)


def test_packets_of_a_frame_before_the_trigger_are_kept_in_order(spools, talk):
    writer = spools.writer()
    talk(writer, 4)
    writer.event("note", {}, 4_000_000)
    writer.erase_back_to(1_550_000)
    talk(writer, 3, start=5)
    writer.close(8_000_000)
    read = packets(spools.read(writer.path))
    assert [p.at_us for p in read] == sorted(p.at_us for p in read)
    assert [p.at_us for p in read if p.track == 0] == [
        *range(0, 1_600_000, 100_000),
        *range(5_000_000, 8_000_000, 100_000),
    ]


def test_the_kept_part_of_a_frame_can_be_erased_later(spools, talk):
    writer = spools.writer()
    talk(writer, 4)
    writer.erase_back_to(3_500_000)
    writer.erase_back_to(3_200_000)
    writer.close(4_000_000)
    assert max(p.at_us for p in packets(spools.read(writer.path))) == 3_100_001


def test_published_seconds_cannot_be_erased_and_the_writer_reports_the_earliest_erasable(
    spools, talk
):
    writer = spools.writer()
    talk(writer, 10)
    assert writer.erasable_from_us == 4_900_002
    writer.erase_back_to(0)
    writer.close(10_000_000)
    assert max(p.at_us for p in packets(spools.read(writer.path))) < writer.erasable_from_us


def test_the_open_frame_drops_packets_from_the_trigger_onwards(spools):
    writer = spools.writer()
    for at_us in (10, 20, 30):
        writer.packet(0, at_us, b"x")
    writer.erase_back_to(20)
    writer.close(40)
    assert packets(spools.read(writer.path)) == [PacketRecord(10, 0, b"x")]
    assert not losses(spools.read(writer.path))


def test_packets_that_exceed_one_frame_without_a_tick_are_all_stored(spools):
    writer = spools.writer()
    for n in range(2_000):
        writer.packet(0, n, bytes(1_200))
    writer.close(2_000)
    assert len(packets(spools.read(writer.path))) == 2_000


def test_an_abandoned_spool_reads_as_interrupted(spools, talk):
    writer = spools.writer()
    talk(writer, 2)
    writer.abandon()
    assert not is_live(writer.path)
    reader = spools.read(writer.path, crashed=True)
    assert len(packets(reader)) == 40
    assert reader.interrupted
    with pytest.raises(SpoolClosedError):
        writer.event("late", {}, 0)


def test_removing_a_spool_overwrites_its_unpublished_keys(spools, talk):
    writer = spools.writer()
    talk(writer, 2)
    writer.abandon()
    kept_open = next(spools.keys.iterdir()).open("rb")
    remove_spool(writer.path, spools.keys)
    remove_spool(writer.path, spools.keys)
    with kept_open:
        assert not kept_open.read().strip(b"\0")
    assert not list(spools.folder.iterdir())
    assert not list(spools.keys.iterdir())


def test_a_sync_job_still_works_after_its_spool_is_closed(spools):
    writer = spools.writer()
    writer.event("note", {}, 0)
    job = writer.sync_job()
    writer.close(1)
    job()
    with pytest.raises(SpoolClosedError):
        writer.sync_job()


def test_frame_keys_are_destroyed_even_on_a_full_disk(spools, small_disk, talk):
    writer = spools.writer(folder=small_disk.folder)
    talk(writer, 4, every_us=20_000)
    small_disk.fill()
    with contextlib.suppress(SpoolWriteError):  # a last page may have had room for it
        writer.erase_back_to(1_500_000)
    writer.abandon()
    small_disk.free()
    reader = spools.read(writer.path, crashed=True)
    assert all(p.at_us < 1_500_000 for p in packets(reader))


def test_a_moved_or_replaced_spool_file_is_noticed(spools):
    writer = spools.writer()
    writer.check_path()
    away = writer.path.with_suffix(".away")
    writer.path.rename(away)
    with pytest.raises(SpoolWriteError, match="is gone"):
        writer.check_path()
    writer.path.write_bytes(b"another")
    with pytest.raises(SpoolWriteError, match="another file has its name"):
        writer.check_path()
    away.replace(writer.path)
    writer.check_path()


def test_a_half_made_file_of_a_process_that_died_is_replaced(spools):
    finished = spools.writer()
    finished.discard()
    left = finished.path.with_name(f".{finished.path.name}.new")
    left.write_bytes(b"half a header")
    writer = spools.writer()
    writer.packet(0, 10, b"one")
    writer.close(20)
    assert not left.exists()
    assert len(packets(spools.read(writer.path))) == 1


def test_a_tick_on_a_missing_file_keeps_its_packets_for_the_next_write(spools):
    writer = spools.writer()
    writer.event("segment", {}, 0)
    writer.packet(0, 10, b"one")
    away = writer.path.with_suffix(".away")
    writer.path.rename(away)
    before = away.read_bytes()
    with pytest.raises(SpoolGoneError):
        writer.tick(1_000_000, [("pulse", {}, 20)])
    assert (writer.pending, away.read_bytes()) == ([1, 0], before)
    away.rename(writer.path)
    writer.packet(1, 30, b"two")
    writer.tick(2_000_000, [("pulse", {}, 40)])
    writer.close(3_000_000)
    reader = spools.read(writer.path)
    kinds = [type(record) for record in reader]
    assert kinds == [EventRecord, PacketRecord, PacketRecord, EventRecord, EndRecord]
    assert not reader.damaged
    assert writer.counts.failed == [0, 0]


def test_a_tick_with_packets_events_and_keys_is_one_job_for_the_disk(spools):
    disk = CountingDisk()
    writer = spools.writer(disk=disk)
    writer.packet(0, 10, b"one")
    writer.tick(1_000_000)
    writer.tick(2_000_000)
    writer.packet(0, 7_000_000, b"two")
    size, disk.jobs = writer.path.stat().st_size, 0
    writer.tick(8_000_000, [("clock", {"wall": 1.0}, 8_000_000), ("pulse", {}, 8_000_000)])
    assert disk.jobs == 1
    assert writer.path.stat().st_size > size
    assert writer.erasable_from_us == 11
    disk.jobs = 0
    writer.tick(8_100_000)  # writes the key a second time
    writer.tick(8_200_000)  # writes nothing, but checks the path
    assert disk.jobs == 2
    writer.close(9_000_000)


def test_a_close_writes_the_last_packets_events_keys_and_the_end_in_one_write(spools):
    disk = CountingDisk()
    writer = spools.writer(disk=disk)
    writer.packet(0, 10, b"one")
    writer.tick(1_000_000)
    writer.packet(1, 1_000_010, b"two")
    disk.jobs = 0
    writer.close(2_000_000, [("ended", {"cause": "bye"}, 2_000_000)])
    assert disk.jobs == 2  # the write, and the closing of the file
    reader = spools.read(writer.path)
    kinds = [type(record) for record in reader]
    assert kinds == [PacketRecord, PacketRecord, EventRecord, EndRecord]
    assert not reader.damaged
    assert list(spools.keys.iterdir()) == []


def test_a_failed_close_leaves_the_keys_of_the_frames_that_were_written(spools, small_disk, talk):
    writer = spools.writer(folder=small_disk.folder)
    talk(writer, 2)
    small_disk.fill()
    for at_us in range(2_000_000, 2_100_000, 1_000):
        writer.packet(0, at_us, bytes(1_000))
    with pytest.raises(SpoolWriteError):
        writer.close(3_000_000)
    small_disk.free()
    reader = spools.read(writer.path, crashed=True)
    assert len(packets(reader)) == 40
    assert reader.interrupted


def test_essential_events_are_written_twice_and_read_once(spools):
    writer = spools.writer()
    kinds = sorted(WRITTEN_TWICE)
    for kind in kinds:
        writer.event(kind, {"why": kind}, 1_000_000)
    writer.close(2_000_000)

    def read():
        return [r.kind for r in spools.read(writer.path) if isinstance(r, EventRecord)]

    assert read() == kinds
    whole = writer.path.read_bytes()
    places = [found.start() for found in re.finditer(re.escape(FRAME_MAGIC), whole)]
    assert len(places) == 2 * len(kinds) + 1
    for place in places:
        hurt = bytearray(whole)
        hurt[place + FRAME_OVERHEAD] ^= 1
        writer.path.write_bytes(hurt)
        assert read() == kinds
