"""The archive: a call's spools become three objects that stock tools open, after any crash.

Covers `recording/archive/sealing.py`, `recording/archive/call_facts.py` and
`recording/files/atomic.py`.
"""

import errno
import hashlib
import os
import subprocess

import numpy as np
import pytest

from helpers.recording.codecs import decoder_of
from helpers.recording.packets import rtp
from recording.archive.summary import LaterCaller
from recording.audio.codecs import STATIC
from recording.errors import ArchiveError, SpoolKeyError, SpoolWriteError

US = 1_000_000
CALL_ID = "20260301-090000-abcdefgh"
WALL = 1_772_355_600.25
NUMBER = "+442079460123"


def test_a_call_becomes_three_objects_that_verify(office):
    sealed = office.seal(office.simple())
    manifest = sealed.manifest
    assert sorted(path.suffix for path in office.folder.iterdir()) == [
        ".header",
        ".manifest",
        ".payload",
    ]
    assert sealed.folder == "2026/03/01"
    assert sealed.personal.number == NUMBER
    assert (sealed.personal.advisor, sealed.personal.extension) == ("sian", "201")
    assert manifest.started == "2026-03-01T09:00:00.250000Z"
    assert manifest.talk_us == 4 * US
    assert [(s.from_us, s.to_us, s.destination) for s in manifest.segments] == [
        (0, 4 * US, "centre")
    ]
    assert not manifest.gaps
    assert not manifest.unexplained
    assert not manifest.interrupted
    assert manifest.tracks[0].codecs == {"PCMA/8000": 200}
    assert manifest.tracks[0].received == 200
    assert manifest.tracks[0].lost == 0
    verdict = office.verdict(identities=[office.officer.identity])
    assert verdict.whole, verdict
    assert verdict.notes == ("signed by galwad-1", "opened to its end")
    manifest_bytes = (office.folder / f"{CALL_ID}.manifest").read_bytes()
    assert hashlib.sha256(manifest_bytes).hexdigest() == sealed.manifest_sha256


def test_the_manifest_does_not_contain_the_callers_number(office):
    office.seal(office.simple())
    text = (office.folder / f"{CALL_ID}.manifest").read_text()
    assert NUMBER not in text
    assert "07946012" not in text


@pytest.mark.peer
def test_age_flac_and_sox_open_a_recording(office, tmp_path):
    office.seal(office.simple())
    office.officer.save(tmp_path / "officer.txt")
    joined = b"".join(
        (office.folder / f"{CALL_ID}.{s}").read_bytes() for s in ("header", "payload")
    )
    flac = tmp_path / "a.flac"
    with flac.open("wb") as out:
        command = ["age", "-d", "-i", tmp_path / "officer.txt"]
        subprocess.run(command, input=joined, stdout=out, check=True)
    subprocess.run(["flac", "-t", "-s", flac], check=True)
    told = subprocess.run(["sox", "--i", flac], capture_output=True, text=True, check=True).stdout
    assert "Channels       : 2" in told
    assert "= 32000 samples" in told


def test_the_caller_is_the_left_channel_and_the_advisor_the_right(office):
    office.seal(office.simple())
    samples, rate = office.audio()
    decoder = decoder_of(STATIC[8])
    assert rate == 8000
    for track in (0, 1):
        voice = b"".join(office.tone(track, index) for index in range(200))
        assert np.array_equal(samples[:, track], decoder.decode(voice))


def test_withheld_key_presses_and_a_hold_are_not_counted_as_lost_packets(office):
    """The packets of audio and key presses share one sequence; then there is a hold."""
    call = office.call()
    call.answer()
    for index in range(110):
        data = rtp(0, index)
        call.writer.packet(0, index * 20_000, data[:12] if 50 <= index < 60 else data)
    call.event("hold", 2_210_000, track=1)
    call.event("resume", 4_000_000, track=1)
    for index in range(200, 250):
        call.writer.packet(0, index * 20_000, rtp(0, index))
    track = office.seal(call.end(5_000_000)).manifest.tracks[0]
    assert (track.received, track.lost, track.withheld) == (150, 0, 10)
    assert track.codecs == {"PCMA/8000": 150}


def test_a_gap_is_silence_of_its_exact_length_and_is_in_the_manifest(office):
    call = office.call()
    call.answer(40_000)
    call.talk(40_000, 2_040_000)
    call.event("gap-start", 2_045_000, reason="payment", trigger="page", actor="user:sian")
    call.event("gap-end", 5_050_000)
    call.event("segment", 5_050_000, **{"class": "centre", "to": ""})
    call.talk(5_060_000, 7_040_000)
    sealed = office.seal(call.end(7_040_000))
    (gap,) = sealed.manifest.gaps
    assert (gap.reason, gap.trigger, gap.actor) == ("payment", "page", "user:sian")
    assert (gap.from_us, gap.to_us) == (2_005_000, 5_010_000)
    assert sealed.manifest.talk_us == 7 * US
    assert sealed.manifest.started_us == int(WALL * US) + 40_000
    assert not sealed.manifest.unexplained
    assert sealed.manifest.tracks[0].lost == 0
    samples, _ = office.audio()
    assert len(samples) == 56_000
    assert not samples[16_040:40_080].any()
    assert samples[15_000:15_900].any(axis=0).all()
    assert samples[40_400:].any(axis=0).all()


def test_a_wideband_call_has_sixteen_thousand_samples_a_second(office):
    call = office.call()
    call.answer()
    call.talk(0, 2 * US, kind=9)
    sealed = office.seal(call.end(2 * US))
    samples, rate = office.audio()
    assert rate == sealed.manifest.rate == 16_000
    assert len(samples) == 32_000
    assert office.verdict(identities=[office.officer.identity]).whole


def test_an_interrupted_call_is_sealed_to_its_last_second_and_marked_interrupted(office):
    call = office.call()
    call.answer()
    call.talk(0, 3 * US)
    call.writer.flush_frame()
    call.writer.abandon()
    manifest = office.seal(call.writer.path).manifest
    assert manifest.interrupted
    assert 2.9 * US < manifest.talk_us <= 3 * US
    assert not manifest.unexplained
    assert manifest.lives[0].interrupted
    assert "interrupted" in office.verdict().notes


def test_two_lives_of_a_call_are_joined_with_a_fault_gap_between_them(office):
    first = office.call()
    first.answer()
    first.talk(0, 2 * US)
    first.writer.flush_frame()
    first.writer.abandon()
    second = office.call(life=2, wall=WALL + 5)
    second.event("segment", 0, **{"class": "centre", "to": ""})
    second.talk(0, US)
    manifest = office.seal(first.writer.path, second.end(US)).manifest
    assert manifest.talk_us == 6 * US
    assert [life.life for life in manifest.lives] == [1, 2]
    (gap,) = manifest.gaps
    assert (gap.reason, gap.trigger) == ("fault", "crash")
    assert gap.to_us == 5 * US
    assert not manifest.unexplained
    samples, _ = office.audio()
    assert len(samples) == 48_000
    assert not samples[16_160:39_840].any()
    assert samples[40_400:47_800].any(axis=0).all()


def test_a_second_life_without_its_first_is_sealed_as_the_whole_call_with_a_gap(office):
    second = office.call(life=2, wall=WALL + 150, mono=250.0)
    second.event("answered", 0, advisor="sian", extension="201", since_us=150 * US)
    second.event("segment", 0, **{"class": "centre", "to": ""})
    second.talk(0, US)
    manifest = office.seal(second.end(US)).manifest
    assert manifest.talk_us == 151 * US
    assert manifest.started_us == round(WALL * US)
    assert [(gap.from_us, gap.to_us, gap.reason) for gap in manifest.gaps] == [
        (0, 150 * US, "fault")
    ]
    assert not manifest.unexplained
    samples, _ = office.audio()
    assert len(samples) == 151 * 8000
    assert not samples[: 150 * 8000 - 160].any()
    assert samples[150 * 8000 + 400 : -400].any(axis=0).all()


@pytest.mark.parametrize("first", ["none", "empty", "hardly begun"])
def test_an_unrecorded_beginning_of_a_call_is_a_fault_gap(office, first):
    """A disk that refuses all writes of one process may work for the next process."""
    paths = []
    if first != "none":
        opened = office.call(mono=100.0)
        if first == "hardly begun":
            opened.event("call", 0, number=NUMBER, withheld=False, line="main")
        opened.writer.abandon()
        paths.append(opened.writer.path)
    call = office.call(life=1 + len(paths), wall=WALL + 30, mono=130.0)
    call.event("call", 0, number=NUMBER, withheld=False, line="main")
    call.event("answered", 0, advisor="sian", extension="201", since_us=30 * US)
    call.event("segment", 0, **{"class": "centre", "to": ""})
    call.talk(0, 2 * US)
    manifest = office.seal(*paths, call.end(2 * US)).manifest
    assert (manifest.started_us, manifest.talk_us) == (round(WALL * US), 32 * US)
    assert manifest.unexplained == []
    recorded = [(part.from_us, part.to_us) for part in manifest.segments]
    assert recorded == [(30 * US, 32 * US)]
    assert {gap.reason for gap in manifest.gaps} == {"fault"}
    verdict = office.verdict(identities=[office.officer.identity])
    assert verdict.whole, verdict


def test_the_time_between_lives_is_a_fault_even_if_the_next_lifes_first_event_is_lost(office):
    first = office.call(mono=100.0)
    first.answer()
    first.talk(0, 2 * US)
    first.writer.flush_frame()
    first.writer.abandon()
    second = office.call(life=2, mono=110.0)
    begin = second.writer.path.stat().st_size
    second.event("call", 0, number=NUMBER, withheld=False, line="main")
    second.event("answered", 0, advisor="sian", extension="201", since_us=10 * US)
    second.event("segment", 0, **{"class": "centre", "to": ""})
    second.talk(0, US)
    path = second.end(US)
    data = bytearray(path.read_bytes())
    data[begin + 50] ^= 1
    path.write_bytes(data)
    manifest = office.seal(first.writer.path, path).manifest
    assert [(gap.reason, gap.to_us) for gap in manifest.gaps] == [("fault", 10 * US)]
    assert manifest.unexplained == []
    assert manifest.talk_us == 11 * US


def test_a_lost_event_after_the_repeated_ones_takes_no_audio_from_the_earlier_spool(office):
    """The call continued on another disk, where the first new event was damaged."""
    first = office.call(mono=100.0)
    first.answer()
    first.talk(0, 4 * US)
    first.writer.flush_frame()
    first.writer.abandon()
    second = office.call(life=2, mono=100.0)
    second.event("call", 0, number=NUMBER, withheld=False, line="main")
    second.event("answered", 0, advisor="sian", extension="201")
    begin = second.writer.path.stat().st_size
    second.event("fault", 14 * US, why="gone")
    second.event("gap-start", 4 * US, reason="fault", trigger="storage", actor="system")
    second.event("gap-end", 15 * US)
    second.event("segment", 15 * US, **{"class": "centre", "to": ""})
    second.talk(15 * US, 17 * US)
    path = second.end(17 * US)
    data = bytearray(path.read_bytes())
    data[begin + 50] ^= 1
    path.write_bytes(data)
    manifest = office.seal(first.writer.path, path).manifest
    assert manifest.unexplained == []
    recorded = sorted((part.from_us, part.to_us) for part in manifest.segments)
    assert recorded == [(0, 4 * US), (15 * US, 17 * US)]


def test_a_crash_between_two_gaps_leaves_no_time_unexplained(office):
    """A late pause erases audio in a separate gap, which ends where the pause begins."""
    first = office.call(mono=100.0)
    first.answer()
    first.talk(0, 4 * US)
    first.writer.erase_back_to(US)
    first.event("gap-start", US, reason="erased", trigger="api", actor="token:pay")
    first.event("gap-end", 2 * US)
    first.writer.abandon()
    second = office.call(life=2, mono=110.0)
    second.event("answered", 0, advisor="sian", extension="201", since_us=10 * US)
    second.event("gap-start", 0, reason="payment", trigger="api", actor="token:pay")
    manifest = office.seal(first.writer.path, second.end(US)).manifest
    gaps = [(gap.from_us, gap.to_us, gap.reason) for gap in manifest.gaps]
    assert gaps == [
        (US, 2 * US, "erased"),
        (2 * US, 10 * US, "fault"),
        (10 * US, 11 * US, "payment"),
    ]
    assert manifest.unexplained == []


@pytest.mark.parametrize("jump_s", [-3600, 3600, -2])
def test_lives_are_joined_by_the_monotonic_clock_when_the_wall_clock_jumps(office, jump_s):
    first = office.call(mono=100.0)
    first.answer()
    first.talk(0, 2 * US)
    first.writer.flush_frame()
    first.writer.abandon()
    second = office.call(life=2, wall=WALL + 5 + jump_s, mono=105.0)
    second.event("segment", 0, **{"class": "centre", "to": ""})
    second.event("clock", 0, wall=WALL + 5 + jump_s)
    second.talk(0, US)
    manifest = office.seal(first.writer.path, second.end(US)).manifest
    assert manifest.talk_us == 6 * US
    assert [(gap.reason, gap.to_us) for gap in manifest.gaps] == [("fault", 5 * US)]
    assert manifest.unexplained == []
    assert [check.offset_us for check in manifest.clock] == [jump_s * US]


def test_a_damaged_spool_yields_a_recording_that_is_marked_damaged(office):
    path = office.simple()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    path.write_bytes(data)
    manifest = office.seal(path).manifest
    assert manifest.damaged
    assert manifest.talk_us == 4 * US
    assert any(gap.reason == "fault" for gap in manifest.gaps)
    assert not manifest.unexplained
    verdict = office.verdict(identities=[office.officer.identity])
    assert verdict.problems == ()
    assert verdict.faults == ("it was sealed from a damaged spool",)
    assert not verdict.whole


def test_audio_refused_by_a_full_disk_is_one_gap_from_its_first_packet(office, monkeypatch):
    call = office.call()
    call.answer()
    call.talk(0, 2 * US)
    call.writer.flush_frame()
    call.talk(2 * US, int(2.9 * US))
    with monkeypatch.context() as patch:
        patch.setattr("recording.spool.file.os.write", full)
        with pytest.raises(SpoolWriteError) as refused:
            call.writer.flush_frame()
    lost_from = refused.value.lost_from_us
    assert lost_from == 2 * US + 20_000
    call.event("gap-start", lost_from, reason="fault", trigger="storage", actor="system")
    call.event("gap-end", 4 * US)
    call.event("segment", 4 * US, **{"class": "centre", "to": ""})
    call.talk(4 * US, 5 * US)
    manifest = office.seal(call.end(5 * US)).manifest
    (gap,) = manifest.gaps
    assert (gap.from_us, gap.to_us, gap.trigger) == (lost_from, 4 * US, "storage")
    assert manifest.faults == []
    assert manifest.unexplained == []
    samples, _ = office.audio()
    assert not samples[16_160:32_000].any()
    assert samples[15_900:16_160].any(axis=0).all()


def full(_fd, _data):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_time_in_no_segment_and_no_gap_is_marked_unexplained(office):
    call = office.call()
    call.answer()
    call.talk(0, US)
    call.event("gap-start", US, reason="payment", trigger="api", actor="token:pay")
    call.event("gap-end", 2 * US)
    manifest = office.seal(call.end(3 * US)).manifest
    assert [(each.from_us, each.to_us) for each in manifest.unexplained] == [(2 * US, 3 * US)]


def test_a_call_without_packets_is_sealed_as_silence(office):
    call = office.call()
    call.answer()
    assert office.seal(call.end(3 * US)).manifest.talk_us == 3 * US
    assert not office.audio()[0].any()


def test_sealing_a_spool_of_another_boot_fails_and_leaves_no_file(office):
    path = office.simple()
    office.boot_key = os.urandom(32)
    with pytest.raises(SpoolKeyError):
        office.seal(path)
    assert path.exists()
    assert list(office.folder.iterdir()) == []


def test_later_callers_have_the_same_times_when_a_sealed_call_is_sealed_again(office):
    call = office.call()
    call.answer(500_000)
    call.talk(500_000, 2 * US)
    call.event("caller", 2 * US, number="+441632960001", withheld=False, known=False)
    call.event("caller", 3 * US, number=None, withheld=True, known=False)
    first = call.end(4 * US)
    call = office.call(life=2, mono=5.0, wall=WALL + 5)
    call.event("answered", 0, advisor="sian", extension="201", since_us=4_500_000)
    call.event("caller", 0, number=None, withheld=True, known=True)
    paths = (call.end(US), first)
    sealed = office.seal(*paths)
    assert sealed.personal.later_callers == (
        LaterCaller(1_500_000, "+441632960001"),
        LaterCaller(2_500_000, None, True),
    )
    assert office.seal(*paths).personal == sealed.personal


def test_sealing_again_changes_nothing(office):
    path = office.simple()
    first = office.seal(path)
    before = {p.name: p.read_bytes() for p in office.folder.iterdir()}
    assert office.seal(path) == first
    assert {p.name: p.read_bytes() for p in office.folder.iterdir()} == before


def test_a_sealed_call_is_recognised_even_if_its_spool_is_of_another_boot(office):
    """The power failed after the manifest was written and before the spool was removed."""
    path = office.simple()
    first = office.seal(path)
    office.boot_key = os.urandom(32)
    again = office.seal(path)
    assert again.personal is None
    assert (again.manifest, again.manifest_sha256) == (first.manifest, first.manifest_sha256)
    later = office.call(life=2)
    later.answer()
    office.boot_key = os.urandom(32)
    with pytest.raises(SpoolKeyError):
        office.seal(path, later.end(US))


def test_a_late_spool_is_refused_if_the_sealed_spools_are_gone(office):
    path = office.simple()
    office.seal(path)
    path.unlink()
    late = office.call(life=2)
    late.answer()
    with pytest.raises(ArchiveError, match="after it was archived"):
        office.seal(late.end(US))


def test_a_late_spool_is_joined_if_the_sealed_spools_are_still_there(office):
    path = office.simple()
    office.seal(path)
    late = office.call(life=2, wall=WALL + 4)
    late.event("segment", 0, **{"class": "centre", "to": ""})
    late.talk(0, US)
    assert office.seal(path, late.end(US)).manifest.talk_us == 5 * US


@pytest.mark.parametrize("call_name", ["fsync", "rename", "link", "ftruncate", "sync_folder"])
@pytest.mark.parametrize("nth", range(1, 9))
def test_a_crash_at_any_step_of_sealing_is_repaired_by_sealing_again(office, dying, call_name, nth):
    path = office.simple()
    with dying(call_name, nth) as died:
        office.seal(path)
    assert path.exists() or not died
    office.seal(path)
    assert office.verdict(identities=[office.officer.identity]).whole
    assert not [p for p in office.folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("talk_us", [0, 1, 124, 125])
def test_a_call_of_at_most_one_sample_verifies(office, talk_us):
    call = office.call()
    call.answer()
    office.seal(call.end(talk_us))
    verdict = office.verdict(identities=[office.officer.identity])
    assert (verdict.problems, verdict.manifest.talk_us) == ((), talk_us)
