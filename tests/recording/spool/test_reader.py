"""Reading damaged, cut, forged and hostile spools.

Covers `recording/spool/scanner.py` and `recording/spool/format.py`.
"""

import contextlib
import struct
import tracemalloc
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.errors import SpoolError, SpoolHeaderError
from recording.spool import (
    Clock,
    EndRecord,
    EventRecord,
    LossReason,
    LostRecord,
    PacketRecord,
    SpoolReader,
    SpoolWriter,
    read_spool,
)
from recording.spool.format import (
    CRC,
    FRAME_HEADER,
    FRAME_MAGIC,
    FRAME_OVERHEAD,
    MAX_CIPHERTEXT,
    FrameKind,
    pack_header,
)

BOOT_KEY = bytes(range(32))
PER_SECOND = 10
SECONDS = 12
LOSES_NOTHING_MORE = settings(max_examples=examples(150))


@cache
def whole() -> bytes:
    """A clean spool of twelve seconds with an event in each third one and an erased second."""
    with TemporaryDirectory() as folder:
        return _written(Path(folder))


def _written(folder: Path) -> bytes:
    started = Clock(1_700_000_000.0, 0.0)
    keys = folder / "keys"
    writer = SpoolWriter.create(
        folder, keys, "20260301-090000-abcdefgh", 1, BOOT_KEY, None, started
    )
    for second in range(SECONDS):
        for at_us in range(second * 1_000_000, (second + 1) * 1_000_000, 1_000_000 // PER_SECOND):
            writer.packet(second % 2, at_us, b"packet %d" % at_us)
        writer.tick((second + 1) * 1_000_000)
        if second % 3 == 0:
            writer.event("note", {"second": second}, (second + 1) * 1_000_000)
        if second == 8:
            writer.erase_back_to(8_450_000)
    writer.close(SECONDS * 1_000_000)
    return writer.path.read_bytes()


@cache
def frames() -> tuple[tuple[int, FrameKind, int], ...]:
    """Offset, kind and length of each frame of `whole`."""
    data, found = whole(), []
    position = data.index(FRAME_MAGIC)
    while position < len(data):
        _, kind, _, _, _, length = FRAME_HEADER.unpack_from(data, position)
        found.append((position, FrameKind(kind), FRAME_OVERHEAD + length))
        position += FRAME_OVERHEAD + length
    return tuple(found)


def read(path: Path, data: bytes) -> tuple[SpoolReader, list]:
    path.write_bytes(data)
    reader = read_spool(path, boot_key=BOOT_KEY)
    return reader, list(reader)


def packets(records) -> list[PacketRecord]:
    return [r for r in records if isinstance(r, PacketRecord)]


def damage(records) -> list[LostRecord]:
    return [
        r
        for r in records
        if isinstance(r, LostRecord) and r.why in {LossReason.DAMAGED, LossReason.TRUNCATED}
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "damaged.spool"


@given(bit=st.integers(0, 8 * len(whole()) - 1))
@LOSES_NOTHING_MORE
def test_a_flipped_bit_loses_at_most_one_second_and_is_reported(file, bit):
    data = bytearray(whole())
    data[bit // 8] ^= 1 << bit % 8
    _, unharmed = read(file, whole())
    reader, records = read(file, bytes(data))
    kept = packets(records)
    assert len(packets(unharmed)) - len(kept) <= PER_SECOND
    assert set(kept) <= set(packets(unharmed))
    assert reader.damaged or reader.truncated
    if len(kept) < len(packets(unharmed)):
        assert damage(records)


def test_a_flipped_bit_in_any_field_of_a_frame_header_loses_only_that_frame(file):
    offset = next(o for o, kind, _ in frames()[6:] if kind is FrameKind.MEDIA)
    for byte in range(FRAME_OVERHEAD):
        data = bytearray(whole())
        data[offset + byte] ^= 0x80
        reader, records = read(file, bytes(data))
        lost = damage(records)
        assert reader.damaged
        assert len(lost) == 1
        assert lost[0].first_index == lost[0].last_index
        missing = {p.at_us for p in packets(read(file, whole())[1])} - {
            p.at_us for p in packets(records)
        }
        assert len(missing) == PER_SECOND
        from_us, to_us = lost[0].from_us, lost[0].to_us
        assert from_us is not None
        assert to_us is not None
        assert from_us <= min(missing)
        assert to_us >= max(missing)
        assert isinstance(records[-1], EndRecord)


def test_a_damaged_release_frame_loses_no_packets(file):
    for offset, kind, _ in frames():
        if kind is FrameKind.RELEASE:
            data = bytearray(whole())
            data[offset + FRAME_OVERHEAD + 3] ^= 1
            _, records = read(file, bytes(data))
            assert len(packets(records)) == len(packets(read(file, whole())[1]))


@given(cut=st.integers(0, len(whole()) - 1))
@LOSES_NOTHING_MORE
def test_a_spool_with_a_cut_tail_reads_as_interrupted(file, cut):
    try:
        reader, records = read(file, whole()[:cut])
    except SpoolHeaderError:
        assert cut < frames()[0][0]
        return
    assert reader.interrupted
    assert not any(isinstance(r, EndRecord) for r in records)
    inside = not any(cut in {o, o + n} for o, _, n in frames())
    if cut >= frames()[0][0] and inside:
        assert reader.truncated
        assert records[-1].why is LossReason.TRUNCATED
        assert records[-1].to_us is None


@given(where=st.integers(0, len(whole())), junk=st.binary(min_size=1, max_size=300))
@LOSES_NOTHING_MORE
def test_inserted_junk_loses_at_most_one_second(file, where, junk):
    reader, records = read(file, whole()[:where] + junk + whole()[where:])
    assert len(packets(read(file, whole())[1])) - len(packets(records)) <= PER_SECOND
    assert reader.damaged or reader.truncated  # junk in the last frame's length looks like a cut


@given(data=st.data())
@LOSES_NOTHING_MORE
def test_arbitrary_edits_of_a_spool_raise_only_spool_errors_and_add_no_packets(file, data):
    spool = bytearray(whole())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(spool)))
        end = data.draw(st.integers(start, min(len(spool), start + 5_000)))
        spool[start:end] = data.draw(st.binary(max_size=200))
    with contextlib.suppress(SpoolError):
        _, records = read(file, bytes(spool))
        assert set(packets(records)) <= set(packets(read(file, whole())[1]))


@given(junk=st.binary(max_size=2_000))
def test_a_file_that_is_not_a_spool_is_refused(tmp_path_factory, junk):
    file = tmp_path_factory.mktemp("junk") / "junk.spool"
    file.write_bytes(junk)
    with pytest.raises(SpoolHeaderError):
        read_spool(file, boot_key=BOOT_KEY)


def test_swapped_and_repeated_frames_are_refused(file):
    media = [f for f in frames() if f[1] is FrameKind.MEDIA]
    (a, _, n), (b, _, m) = media[1], media[2]
    data = whole()
    swapped = data[:a] + data[b : b + m] + data[a + n : b] + data[a : a + n] + data[b + m :]
    reader, records = read(file, swapped)
    assert reader.damaged
    assert [p.at_us for p in packets(records)] == sorted(p.at_us for p in packets(records))
    twice = data[: a + n] + data[a : a + n] + data[a + n :]
    reader, records = read(file, twice)
    assert reader.damaged
    assert len(packets(records)) == len(set(packets(records)))


def test_a_frame_from_another_spool_is_refused(file, spools, talk):
    writer = spools.writer()
    writer.event("note", {"whose": "another"}, 5)
    writer.close(9)
    foreign = writer.path.read_bytes()
    foreign = foreign[foreign.index(FRAME_MAGIC) :]
    reader, records = read(file, whole()[: frames()[0][0]] + foreign)
    assert reader.damaged
    assert reader.interrupted
    assert not [r for r in records if isinstance(r, EventRecord | EndRecord)]


def test_a_renumbered_frame_with_a_valid_crc_is_refused(file):
    offset, _, length = next(f for f in frames()[4:] if f[1] is FrameKind.EVENT)
    data = bytearray(whole())
    raw = list(FRAME_HEADER.unpack_from(data, offset))
    raw[2] += 500
    FRAME_HEADER.pack_into(data, offset, *raw)
    body = data[offset + FRAME_OVERHEAD : offset + length]
    head = bytes(data[offset : offset + FRAME_HEADER.size])
    CRC.pack_into(data, offset + FRAME_HEADER.size, zlib.crc32(body, zlib.crc32(head)))
    reader, records = read(file, bytes(data))
    assert reader.damaged
    assert len(damage(records)) == 1
    assert isinstance(records[-1], EndRecord)


def test_a_frame_forged_without_the_key_hides_no_later_frame(file):
    raw = FRAME_HEADER.pack(FRAME_MAGIC, FrameKind.MEDIA, 0xFFFFFFF0, 0, 2**63, 16)
    forged = raw + CRC.pack(zlib.crc32(bytes(16), zlib.crc32(raw))) + bytes(16)
    offset = frames()[5][0]
    _, records = read(file, whole()[:offset] + forged + whole()[offset:])
    assert packets(records) == packets(read(file, whole())[1])
    assert isinstance(records[-1], EndRecord)


def test_a_last_frame_forged_without_the_key_adds_at_most_130_seconds_of_loss(file):
    """The process died, so no authentic frame follows the forged one."""
    raw = FRAME_HEADER.pack(FRAME_MAGIC, FrameKind.MEDIA, 0xFFFFFFF0, 2**62, 2**63, 16)
    forged = raw + CRC.pack(zlib.crc32(bytes(16), zlib.crc32(raw))) + bytes(16)
    _, records = read(file, whole()[: frames()[-1][0]] + forged)
    last_us = max(record.at_us for record in records if isinstance(record, PacketRecord))
    until_us = max(record.to_us or 0 for record in records if isinstance(record, LostRecord))
    assert last_us < until_us < last_us + 130_000_000


@pytest.mark.parametrize("started_us", [-1, -(2**63), 253_402_300_800_000_000])
def test_a_header_with_a_start_outside_the_calendar_is_refused(file, started_us):
    block, _ = pack_header(replace(read(file, whole())[0].header, started_wall_us=started_us))
    with pytest.raises(SpoolHeaderError):
        read(file, block * 2 + whole()[frames()[0][0] :])


def test_a_spool_with_a_replaced_header_is_one_loss_of_unknown_times(file):
    """The frames contradict the header, so its start time is not trusted either."""
    block, _ = pack_header(replace(read(file, whole())[0].header, started_mono_us=2**62))
    reader, records = read(file, block * 2 + whole()[frames()[0][0] :])
    assert [(lost.from_us, lost.to_us) for lost in records] == [(None, None)]
    assert reader.interrupted
    assert reader.damaged


def test_hostile_frame_lengths_allocate_little_memory(file):
    head = whole()[: frames()[0][0]]
    bomb = b"".join(
        FRAME_HEADER.pack(FRAME_MAGIC, FrameKind.MEDIA, n + 1, 0, 0, length) + bytes(4)
        for n, length in enumerate([0xFFFFFFFF, MAX_CIPHERTEXT + 1, 0, 15, MAX_CIPHERTEXT] * 50)
    )
    file.write_bytes(head + bomb)
    tracemalloc.start()
    try:
        reader = read_spool(file, boot_key=BOOT_KEY)
        assert len(list(reader)) == 1
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert reader.interrupted


def test_damage_to_one_copy_of_the_header_loses_no_packets(file):
    second = whole().index(b"GALSPOOL", 1)
    for position in (0, 9, 40, second, second + 40):
        data = bytearray(whole())
        data[position] ^= 0x10
        reader, records = read(file, bytes(data))
        assert packets(records) == packets(read(file, whole())[1])
        assert reader.damaged
        assert not reader.interrupted


def test_the_error_for_a_spool_of_a_later_version_names_the_version(file):
    body = b"\x80"
    head = struct.pack(">8sHI", b"GALSPOOL", 2, len(body))
    file.write_bytes((head + CRC.pack(zlib.crc32(body, zlib.crc32(head))) + body) * 2)
    with pytest.raises(SpoolHeaderError, match="version 2"):
        read_spool(file, boot_key=BOOT_KEY)


@given(cut=st.integers(frames()[0][0], len(whole()) - 16))
@LOSES_NOTHING_MORE
def test_a_tail_of_zeros_after_a_power_loss_reads_as_truncated_and_undamaged(file, cut):
    reader, records = read(file, whole()[:cut] + bytes(len(whole()) - cut))
    _, shorter = read(file, whole()[:cut])
    assert reader.interrupted
    assert reader.truncated
    assert not reader.damaged
    assert damage(records)[-1].why is LossReason.TRUNCATED
    assert packets(records) == packets(shorter)


def test_zeros_before_intact_frames_are_damage(file):
    offset, _, length = frames()[8]
    data = whole()[:offset] + bytes(length) + whole()[offset + length :]
    assert read(file, data)[0].damaged
    reader, records = read(file, data[: frames()[12][0]])
    assert reader.damaged
    assert not reader.truncated
    assert {record.why for record in damage(records)} == {LossReason.DAMAGED}


def test_bytes_after_the_end_frame_are_damage(file):
    reader, records = read(file, whole() + b"x")
    assert reader.damaged
    assert isinstance(records[-1], EndRecord)


def test_a_reader_that_is_left_early_closes_its_file(file):
    file.write_bytes(whole())
    with read_spool(file, boot_key=BOOT_KEY) as reader:
        assert isinstance(next(reader), PacketRecord)
