"""A damaged spool is still sealed, and its missing parts are marked as gaps.

Covers `recording/archive/sealing.py`.
"""

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.office import Office
from recording.archive.accounting import balance
from recording.archive.manifest import Interval
from recording.errors import SpoolHeaderError
from recording.spool.format import FRAME_HEADER, FRAME_MAGIC, FRAME_OVERHEAD, FrameKind

US = 1_000_000
TALK_US = 4 * US
FRAME_US = 1_100_000
"""The maximum length of one frame of the test's calls, in microseconds."""
ENOUGH = settings(deadline=None, max_examples=examples(60))


@cache
def whole():
    """An office, and the spool of a call of four seconds with a pause in it."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    office = Office(Path(folder.name))
    call = office.call()
    call.answer()
    call.talk(0, int(1.5 * US))
    call.event("gap-start", int(1.5 * US), reason="payment", trigger="page", actor="user:sian")
    call.event("gap-end", 2 * US)
    call.event("segment", 2 * US, **{"class": "centre", "to": ""})
    call.talk(2 * US, TALK_US)
    path = call.end(TALK_US)
    return office, path, path.read_bytes()


def sealed(tmp_path_factory, data):
    """Seal a spool with this content, and return its manifest."""
    origin, path, _ = whole()
    office = Office(tmp_path_factory.mktemp("office"), origin.officer, origin.boot_key)
    office.spools.mkdir()
    hurt = office.spools / path.name
    hurt.write_bytes(data)
    manifest = office.seal(hurt).manifest
    assert office.verdict(identities=[office.officer.identity]).problems == ()
    return manifest


def judge(manifest):
    """Check that segments and gaps cover each instant once; return the recorded microseconds."""
    spans = [
        [Interval(part.from_us, part.to_us) for part in parts]
        for parts in (manifest.segments, manifest.gaps)
    ]
    found = balance(manifest.talk_us, *spans)
    assert not found.unaccounted, manifest
    assert manifest.unexplained == []
    return found.recorded_us


@given(data=st.data())
@ENOUGH
def test_a_flipped_bit_in_a_spool_loses_at_most_two_frames_in_a_marked_gap(tmp_path_factory, data):
    spool = bytearray(whole()[2])
    bit = data.draw(st.integers(0, 8 * len(spool) - 1))
    spool[bit // 8] ^= 1 << bit % 8
    manifest = sealed(tmp_path_factory, bytes(spool))
    assert manifest.damaged or manifest.lives[0].interrupted
    assert judge(manifest) >= 3.5 * US - 2 * FRAME_US
    assert manifest.talk_us <= TALK_US


def frames(data):
    """Yield offset and kind of each frame."""
    position = data.index(FRAME_MAGIC)
    while position < len(data):
        _, kind, _, _, _, length = FRAME_HEADER.unpack_from(data, position)
        yield position, FrameKind(kind)
        position += FRAME_OVERHEAD + length


@pytest.mark.parametrize("byte", range(FRAME_OVERHEAD))
def test_a_flipped_bit_in_any_byte_of_a_frame_header_loses_only_that_frame(tmp_path_factory, byte):
    spool = bytearray(whole()[2])
    first = next(at for at, kind in frames(spool) if kind is FrameKind.MEDIA)
    spool[first + byte] ^= 0x80
    manifest = sealed(tmp_path_factory, bytes(spool))
    recorded = judge(manifest)
    assert manifest.damaged
    assert not manifest.interrupted
    assert manifest.talk_us == TALK_US
    assert recorded >= 3.5 * US - FRAME_US


@given(data=st.data())
@ENOUGH
def test_a_spool_cut_at_any_byte_is_sealed_to_its_last_intact_frame(tmp_path_factory, data):
    spool = whole()[2]
    cut = data.draw(st.integers(0, len(spool) - 1))
    try:
        manifest = sealed(tmp_path_factory, spool[:cut])
    except SpoolHeaderError:
        assert cut < spool.index(FRAME_MAGIC)
        return
    judge(manifest)
    assert manifest.lives[0].interrupted
    assert manifest.talk_us <= TALK_US


def unmarked(office, manifest):
    """Return the microseconds of silence in segments; the parties speak all the time."""
    samples, rate = office.audio()
    silent = 0
    for part in manifest.segments:
        heard = samples[part.from_us * rate // US : part.to_us * rate // US]
        silent += len(heard) - int(np.count_nonzero(heard.any(axis=1)))
    return silent * US // rate


def test_damage_to_a_frame_near_erased_frames_loses_at_most_one_frame(office):
    """The replacement of a frame that was erased in part follows the erased frames."""
    call = office.call()
    call.answer()
    call.talk(0, 4 * US)
    call.writer.erase_back_to(int(2.5 * US))
    call.event("gap-start", int(2.5 * US), reason="payment", trigger="page", actor="user:sian")
    call.event("gap-end", 5 * US)
    call.event("segment", 5 * US, **{"class": "centre", "to": ""})
    call.talk(5 * US, 9 * US)
    path = call.end(9 * US)
    spool = path.read_bytes()
    for at, kind in frames(spool):
        hurt = bytearray(spool)
        hurt[at + FRAME_OVERHEAD] ^= 1
        path.write_bytes(hurt)
        manifest = office.seal(path).manifest
        assert judge(manifest) >= 6.5 * US - FRAME_US, kind
        assert manifest.talk_us == 9 * US
        assert unmarked(office, manifest) < 0.1 * US, kind
        (office.folder / f"{manifest.call_id}.manifest").unlink()


def test_a_truncated_first_life_loses_nothing_of_the_second(office):
    first = office.call(mono=100.0)
    first.answer()
    first.talk(0, 3 * US)
    first.writer.flush_frame()
    first.writer.abandon()
    path = first.writer.path
    path.write_bytes(path.read_bytes()[:-1])
    second = office.call(life=2, mono=105.0)
    second.event("segment", 0, **{"class": "centre", "to": ""})
    second.talk(0, 4 * US)
    manifest = office.seal(path, second.end(4 * US)).manifest
    assert manifest.lives[0].truncated
    assert [(gap.reason, gap.to_us) for gap in manifest.gaps] == [("fault", 5 * US)]
    assert judge(manifest) >= 6 * US
    assert office.verdict(identities=[office.officer.identity]).problems == ()
