"""Packets without a decoder are stored as received, beside the audio, under the same header."""

import os
import struct
import subprocess

import numpy as np
import pytest

from helpers.examples import long_after
from helpers.recording.office import Office
from helpers.recording.packets import CALL_ID, US, WALL, rtp
from recording.age.file import open_header
from recording.age.header import make_header
from recording.files.atomic import write_atomic

EVS = {"96": ["EVS", 16_000, 1, "br=5.9-13.2"], "8": ["PCMA", 8000, 1, ""]}


def strange(track, index, body=b""):
    """Return a packet with 20 ms of a codec that has no decoder here."""
    head = struct.pack("!BBHII", 0x80, 96, index & 0xFFFF, index * 320, track + 1)
    return head + (body or b"evs %d of track %d" % (index, track))


class StrangeCall:
    """A call whose parties agree on EVS; from `back_at` seconds the caller sends A-law."""

    def __init__(self, office, back_at=4, gap=None, length=6):
        self.call = office.call()
        self.kept = []
        self.call.answer()
        for track in (0, 1):
            self.call.event("media", 0, track=track, payloads=EVS)
        for index in range(length * 50):
            at_us = index * 20_000
            if gap and at_us == gap[0] * US:
                self.call.event(
                    "gap-start", at_us, reason="payment", trigger="page", actor="user:sian"
                )
            if gap and at_us == gap[1] * US:
                self.call.event("gap-end", at_us)
            if gap and gap[0] * US <= at_us < gap[1] * US:
                continue
            for track in (0, 1):
                plain = track == 0 and index >= back_at * 50
                data = rtp(0, index) if plain else strange(track, index)
                self.call.writer.packet(track, at_us + track, data)
                if not plain:
                    self.kept.append((track, at_us + track, data))
            if index % 50 == 49:
                self.call.writer.tick(at_us)
        self.path = self.call.end(length * US)


def blocks(data):
    """Return (type, body) of each block of a pcapng file, big-endian."""
    at, found = 0, []
    while at < len(data):
        kind, size = struct.unpack_from(">II", data, at)
        assert size % 4 == 0
        assert struct.unpack_from(">I", data, at + size - 4) == (size,)
        found.append((kind, data[at + 8 : at + size - 4]))
        at += size
    return found


def packets(data):
    """Return (interface, microseconds, RTP) of each packet."""
    found = []
    for kind, body in blocks(data):
        if kind == 6:
            interface, high, low, length, _ = struct.unpack_from(">5I", body)
            found.append((interface, (high << 32) + low, body[20 + 28 : 20 + length]))
    return found


def test_every_undecoded_packet_is_stored_with_its_bytes_and_arrival_time(office):
    strange_call = StrangeCall(office)
    manifest = office.seal(strange_call.path).manifest
    started_us = round(WALL * US)
    expected = [(track, started_us + at, data) for track, at, data in strange_call.kept]
    assert packets(office.raw()) == expected
    assert manifest.raw.packets == len(strange_call.kept) == 500
    assert [track.undecoded for track in manifest.tracks] == [200, 300]
    assert manifest.tracks[0].codecs == {"EVS/16000": 200, "PCMA/8000": 100}
    samples, _ = office.audio()
    assert not samples[: 4 * 8000].any()
    assert samples[4 * 8000 :, 0].any()
    assert not samples[:, 1].any()
    verdict = office.verdict(identities=[office.officer.identity])
    assert verdict.whole, verdict
    assert "500 packets that could not be decoded are kept raw" in verdict.notes


@pytest.mark.peer
def test_age_and_tshark_read_the_raw_object(office, tmp_path):
    office.seal(StrangeCall(office).path)
    office.officer.save(tmp_path / "officer.txt")
    joined = b"".join((office.folder / f"{CALL_ID}.{s}").read_bytes() for s in ("header", "raw"))
    file = tmp_path / "raw.pcapng"
    with file.open("wb") as out:
        command = ["age", "-d", "-i", tmp_path / "officer.txt"]
        subprocess.run(command, input=joined, stdout=out, check=True)
    fields = (
        "frame.interface_name",
        "rtp.p_type",
        "rtp.seq",
        "frame.comment",
        "ip.checksum.status",
    )
    command = ["tshark", "-r", file, "-d", "udp.port==5004,rtp", "-o", "ip.check_checksum:TRUE"]
    command += ["-T", "fields", *(word for field in fields for word in ("-e", field))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:3] for row in rows[:3]] == [
        ["caller", "96", "0"],
        ["advisor", "96", "0"],
        ["caller", "96", "1"],
    ]
    assert len(rows) == 500
    assert "a=rtpmap:96 EVS/16000" in rows[0][3]
    assert "a=fmtp:96 br=5.9-13.2" in rows[0][3]
    assert [row[3] for row in rows[2:]] == [""] * 498
    assert {row[4] for row in rows} == {"1"}


def test_a_call_sealed_live_has_the_same_raw_object(office, tmp_path):
    strange_call = StrangeCall(office)
    office.seal(strange_call.path)
    straight = office.raw()
    (tmp_path / "other").mkdir()
    other = Office(tmp_path / "other", officer=office.officer, boot_key=office.boot_key)
    following = other.follow(strange_call.path)
    while following.step(1):
        pass
    other.seal(strange_call.path, following=following)
    assert other.raw() == straight


def test_undecoded_packets_of_a_gap_are_not_stored(office):
    strange_call = StrangeCall(office, gap=(2, 4))
    office.seal(strange_call.path)
    kept = packets(office.raw())
    started_us = round(WALL * US)
    edge = (
        started_us + 4 * US + 20_000
    )  # a packet that arrives at the gap's end was spoken in the gap
    expected = [(track, started_us + at, data) for track, at, data in strange_call.kept]
    assert kept == [p for p in expected if not started_us + 2 * US <= p[1] < edge]
    assert len(kept) < len(expected)


def test_a_gap_reported_late_removes_undecoded_packets_after_its_start(office):
    call = office.call()
    call.answer()
    call.event("media", 0, track=0, payloads=EVS)
    for index in range(100):
        call.writer.packet(0, index * 20_000, strange(0, index))
    call.event("gap-start", US, reason="payment", trigger="api", actor="machine:pay")
    call.event("gap-end", 3 * US)
    office.seal(call.end(4 * US))
    arrivals = [at - round(WALL * US) for _, at, _ in packets(office.raw())]
    assert arrivals == [index * 20_000 for index in range(50)]


def test_undecoded_packets_sent_in_a_gap_and_delayed_for_seconds_are_not_stored(office):
    """The network stalls for more than ten seconds, longer than any packet is waited for."""
    call = office.call()
    call.answer()
    call.event("media", 0, track=0, payloads=EVS)
    call.event("gap-start", US, reason="payment", trigger="api", actor="machine:pay")
    call.event("gap-end", 4 * US)
    call.event("segment", 4 * US, **{"class": "centre", "to": ""})
    for second in range(4, 18):
        call.event("pulse", second * US)
    for index in range(3 * 50, 25 * 50):
        said_us = index * 20_000
        call.writer.packet(0, max(18 * US + index, said_us), strange(0, index, b"at %d." % said_us))
    manifest = office.seal(call.end(25 * US)).manifest
    raw = office.raw()
    assert not [at for at in range(3 * US, 4 * US, 20_000) if b"at %d." % at in raw]
    assert all(b"at %d." % at in raw for at in range(9 * US, 25 * US, 20_000))
    caller = manifest.tracks[0]
    assert caller.undecoded == manifest.raw.packets
    assert caller.late + caller.undecoded == caller.received == 22 * 50
    assert office.verdict(identities=[office.officer.identity]).problems == ()


def test_a_call_whose_packets_were_all_decoded_has_no_raw_object(office):
    stale = office.folder / f"{CALL_ID}.raw"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"left by a crash")
    assert office.seal(office.simple()).manifest.raw is None
    assert not stale.exists()


def test_a_call_that_turns_wideband_stores_each_undecoded_packet_once(office):
    call = office.call()
    call.answer()
    call.event("media", 0, track=0, payloads=EVS | {"9": ["G722", 8000, 1, ""]})
    for index in range(100):
        wide = index >= 70
        data = rtp(0, index, kind=9) if wide else strange(0, index)
        call.writer.packet(0, index * 20_000, data)
    manifest = office.seal(call.end(2 * US)).manifest
    assert manifest.rate == 16_000
    assert manifest.raw.packets == 70
    assert len(packets(office.raw())) == 70


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda raw: raw.unlink(), "the raw object is missing"),
        (lambda raw: os.truncate(raw, 50), "the raw object is incomplete: 50 of"),
        (lambda raw: raw.write_bytes(bytes(raw.stat().st_size)), "the raw object was changed"),
    ],
)
def test_damage_to_the_raw_object_is_reported(office, damage, problem):
    path = StrangeCall(office).path
    office.seal(path)
    damage(office.folder / f"{CALL_ID}.raw")
    assert problem in "; ".join(office.verdict().problems)


def test_a_raw_object_that_the_manifest_does_not_name_is_reported(office):
    office.seal(office.simple())
    (office.folder / f"{CALL_ID}.raw").write_bytes(b"x")
    assert office.verdict().problems == ("there is a raw object that the manifest does not name",)


def test_sealing_again_replaces_a_lost_raw_object(office):
    path = StrangeCall(office).path
    office.seal(path)
    (office.folder / f"{CALL_ID}.raw").unlink()
    office.seal(path)
    assert office.verdict(identities=[office.officer.identity]).whole


@pytest.mark.parametrize("call_name", ["fsync", "rename", "ftruncate", "sync_folder"])
@pytest.mark.parametrize("nth", long_after(3, range(1, 11)))
def test_a_crash_at_any_step_of_sealing_is_repaired_by_sealing_again(office, dying, call_name, nth):
    path = StrangeCall(office, length=5).path
    with dying(call_name, nth):
        office.seal(path)
    office.seal(path)
    verdict = office.verdict(identities=[office.officer.identity])
    assert verdict.whole, verdict
    assert not [p for p in office.folder.iterdir() if p.name.startswith(".")]


def test_a_rewrapped_header_opens_the_raw_object_which_is_encrypted(office, tmp_path):
    office.seal(StrangeCall(office).path)
    before = office.raw()
    path = office.folder / f"{CALL_ID}.header"
    file_key = open_header(path.read_bytes(), [office.officer.identity])
    other = Office(tmp_path)
    write_atomic(path, make_header(file_key, [other.officer.identity.recipient]))
    office.officer = other.officer
    assert office.raw() == before
    sealed = (office.folder / f"{CALL_ID}.raw").read_bytes()
    assert b"evs 7 of track" not in sealed


def test_payload_and_raw_object_of_one_header_have_different_nonces(office):
    """Each payload has its own nonce, from which the key of its STREAM is derived."""
    office.seal(StrangeCall(office).path)
    nonces = [(office.folder / f"{CALL_ID}.{s}").read_bytes()[:16] for s in ("payload", "raw")]
    assert nonces[0] != nonces[1]


def test_a_datagram_larger_than_an_ip_packet_is_truncated_and_not_dropped(office):
    call = office.call()
    call.answer()
    call.event("media", 0, track=0, payloads=EVS)
    for index in range(50):
        call.writer.packet(0, index * 20_000, strange(0, index, bytes(65_520 if index == 9 else 9)))
    office.seal(call.end(US))
    kept = packets(office.raw())
    assert len(kept) == 50
    assert len(kept[9][2]) == 65_507
    assert np.count_nonzero([len(data) == 21 for _, _, data in kept]) == 49
