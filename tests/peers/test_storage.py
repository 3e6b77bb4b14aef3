"""A disk that becomes full or goes away, and a clock that jumps, during real calls."""

from __future__ import annotations

import struct
import time
from itertools import pairwise

import pytest

from galwad.simulate.sound import RATE, speech
from helpers.peers.crashes import Spools
from helpers.peers.disks import Disk
from helpers.peers.evidence import Recording
from helpers.peers.sound import FRAME, FRAME_S, Chorus, find
from helpers.peers.waiting import wait_until
from recording.keys.keyring import load_boot_key
from recording.spool import LostRecord, PacketRecord, read_spool

pytestmark = pytest.mark.peer

PACKET_US = 20_000
LOOKBACK_AND_MORE_S = 5 + 2
"""A frame fills, its lookback passes, the next flush is done: `recording/spool/sync.py`."""


@pytest.fixture
def disk(tmp_path, ended):
    """A disk of eight megabytes for the spools."""
    return ended(Disk.made(tmp_path / "disk.img", tmp_path / "state" / "spool"))


@pytest.fixture
def service(disk, start):
    return start("switch", "desk", "finaliser", users=True)


def shown(service, call, state):
    """Wait until the page shows this state of the call's recording."""

    def is_so():
        with service.sign_in() as page:
            pops = page.get("/api/v1/calls").json()
        return state in {pop["recording"] for pop in pops if pop["call_id"] == call.call_id}

    wait_until(is_so, what=state)


def talk(call, seconds, seed):
    """Let the caller speak, and wait until the advisor has heard all of it."""
    said, heard = speech(seconds, seed), len(call.advisor.heard)
    call.caller.say(said, call.from_caller)
    call.advisor.wait_heard(heard + len(said) // FRAME)
    return said


def fails(service, call):
    """Speak until the disk has refused a write and the recording has a fault."""
    chorus = Chorus()
    chorus.say("advisor", call.advisor, speech(4, 20), call.from_advisor)
    shown(service, call, "fault")
    chorus.wait()


def explained(recording):
    """Assert that all is recorded except one stretch, in which the storage had a fault.

    A disk that takes a few bytes before it is full again makes two gaps, with at most a few packets
    between them. The first gap begins with the last complete packet, whose sound is in the gap.
    """
    assert recording.adds_up()
    gaps = recording.gaps()
    assert {(gap["reason"], gap["trigger"]) for gap in gaps} == {("fault", "storage")}
    apart_us = [then["from_us"] - one["to_us"] for one, then in pairwise(gaps)]
    assert all(0 <= us <= 100_000 for us in apart_us), gaps
    for gap in gaps:
        assert recording.silent_in({**gap, "from_us": gap["from_us"] + PACKET_US})
    assert recording.manifest["unexplained"] == []
    assert not recording.manifest["damaged"]


def test_a_full_disk_leaves_a_fault_gap_and_recording_resumes_when_it_has_room(
    service, disk, place_call
):
    call = place_call()
    before = talk(call, 2, 21)
    disk.fill()
    fails(service, call)
    told = {"kind": "recording.fault", "call_id": call.call_id, "process": "switch"}
    alarm, *_ = service.log.events("alarm", **told)
    assert "No space left on device" in alarm["detail"]
    during = talk(call, 2, 22)
    disk.free()
    shown(service, call, "recording")
    after = talk(call, 2, 23)
    call.hang_up()
    recording = Recording(service, call.call_id)
    explained(recording)
    older_than_a_second = before[:-RATE]
    assert find(recording.caller, older_than_a_second)[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    assert find(recording.caller, during)[1] < 0.5


def test_a_hung_disk_leaves_a_fault_gap_and_does_not_delay_the_call(service, disk, place_call):
    call = place_call()
    before = talk(call, 2, 51)
    with disk.frozen():
        fails(service, call)
        alarm, *_ = service.log.events("alarm", kind="recording.fault", call_id=call.call_id)
        assert "the disk does not answer" in alarm["detail"]
        during = talk(call, 2, 52)
    shown(service, call, "recording")
    after = talk(call, 2, 53)
    call.hang_up()
    recording = Recording(service, call.call_id)
    explained(recording)
    assert [life["life"] for life in recording.manifest["lives"]] == [1]
    assert find(recording.caller, before[:-RATE])[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    assert find(recording.caller, during)[1] < 0.5


def test_a_pause_on_a_full_disk_shuts_the_gate_and_is_reported_as_not_durable(
    service, disk, place_call
):
    call = place_call()
    talk(call, 1, 24)
    disk.fill()
    fails(service, call)
    path = f"/api/v1/calls/{call.call_id}/payment"
    with service.sign_in() as page:
        answer = page.put(path).json()
        assert (answer["state"], answer["durable"]) == ("paused", False)
        disk.free()
        secret = talk(call, 2, 25)
        assert page.request("DELETE", path).json()["state"] == "recording"
    after = talk(call, 1, 26)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert recording.adds_up()
    assert {gap["reason"] for gap in recording.gaps()} == {"fault", "payment"}
    assert find(recording.caller, secret)[1] < 0.3
    assert find(recording.caller, after)[1] > 0.95


def test_a_disk_that_disappears_in_a_pause_raises_an_alarm_before_the_pause_ends(
    service, disk, place_call
):
    call = place_call()
    path = f"/api/v1/calls/{call.call_id}/payment"
    with service.sign_in() as page:
        assert page.put(path).status_code == 200
        assert not service.log.events("alarm", kind="recording.fault")
        disk.vanish()
        service.log.wait("alarm", kind="recording.fault", call_id=call.call_id)
        (pop,) = page.get("/api/v1/calls").json()
        assert pop["recording"] == "paused"
        disk.mount()
        page.request("DELETE", path)
    shown(service, call, "recording")
    call.hang_up()


def test_a_recording_resumes_when_a_disk_that_disappeared_is_back(service, disk, place_call):
    call = place_call()
    before = talk(call, 2, 27)
    disk.vanish()
    shown(service, call, "fault")
    during = talk(call, 2, 28)
    disk.mount()
    shown(service, call, "recording")
    after = talk(call, 2, 29)
    call.hang_up()
    recording = Recording(service, call.call_id)
    explained(recording)
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    assert find(recording.caller, during)[1] < 0.5


def moved(disk, call, life=2):
    """Wait until the call's next spool is written in place of the missing disk."""
    path = disk.folder / f"{call.call_id}.{life}.spool"
    wait_until(path.exists, what=path.name)


@pytest.mark.long
def test_a_recording_continues_below_the_mount_point_when_its_disk_stays_away(
    service, disk, place_call
):
    call = place_call()
    before = talk(call, 2, 38)
    disk.vanish()
    shown(service, call, "fault")
    during = talk(call, 2, 39)
    moved(disk, call)
    shown(service, call, "recording")
    after = talk(call, 2, 40)
    call.hang_up()
    recording = Recording(service, call.call_id)
    explained(recording)
    assert service.log.events("recording.moved", call_id=call.call_id, spool=2)
    assert [life["life"] for life in recording.manifest["lives"]] == [1, 2]
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    assert find(recording.caller, during)[1] < 0.5


@pytest.mark.long
def test_a_recording_moves_back_to_its_returned_disk_and_is_sealed_whole(service, disk, place_call):
    """The returned disk hides the spool below its mount point, but the switch has it open."""
    call = place_call()
    said = [talk(call, 1, 44)]
    disk.vanish()
    moved(disk, call)
    shown(service, call, "recording")
    said.append(talk(call, 1, 45))
    disk.mount()
    moved(disk, call, life=3)
    shown(service, call, "recording")
    said.append(talk(call, 1, 46))
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert recording.adds_up()
    assert [life["life"] for life in recording.manifest["lives"]] == [1, 2, 3]
    assert {gap["trigger"] for gap in recording.gaps()} == {"storage"}
    assert all(find(recording.caller, words)[1] > 0.95 for words in said)


def test_a_pause_survives_the_loss_of_its_disk_until_its_holder_releases_it(
    service, disk, place_call
):
    call = place_call()
    before = talk(call, 1, 41)
    path = f"/api/v1/calls/{call.call_id}/payment"
    with service.sign_in() as page:
        assert page.put(path).json()["durable"]
        disk.vanish()
        moved(disk, call)
        secret = talk(call, 2, 42)
        answer = page.request("DELETE", path).json()
    assert (answer["state"], answer["durable"]) == ("recording", True)
    after = talk(call, 1, 43)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert recording.adds_up()
    (gap,) = recording.gaps()
    assert gap["reason"] == "payment"
    assert recording.silent_in(gap)
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    assert find(recording.caller, secret)[1] < 0.3


@pytest.mark.parametrize("trouble", ["failing", pytest.param("frozen", marks=pytest.mark.long)])
def test_a_recording_moves_to_the_spare_disk_when_its_disk_fails(
    service, disk, place_call, trouble
):
    call = place_call()
    before = talk(call, 2, 47)
    with getattr(disk, trouble)():
        fails(service, call)
        path = service.folder / "state" / "spare" / f"{call.call_id}.2.spool"
        wait_until(path.exists, what=path.name)
        shown(service, call, "recording")
        after = talk(call, 2, 48)
    call.hang_up()
    recording = Recording(service, call.call_id)
    explained(recording)
    assert [life["life"] for life in recording.manifest["lives"]] == [1, 2]
    assert find(recording.caller, before[:-RATE])[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95


def whole_from_the_spare_disk(service, call, said):
    """Assert that the recording has all of this sound, and no spool stays on the spare disk."""
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert recording.adds_up()
    assert recording.gaps() == []
    assert find(recording.caller, said)[1] > 0.95
    spare = service.folder / "state" / "spare"
    wait_until(lambda: not any(spare.glob("*.spool")), what="spools removed")


def test_a_call_that_begins_while_the_disk_fails_is_recorded_on_the_spare_disk(
    service, disk, place_call
):
    disk.fail()
    call = place_call()
    said = talk(call, 2, 49)
    assert (service.folder / "state" / "spare" / f"{call.call_id}.1.spool").exists()
    alarm = service.log.wait("alarm", kind="spool.disk_failed", process="switch")
    assert alarm["detail"] == f"{disk.folder}: Read-only file system"
    whole_from_the_spare_disk(service, call, said)


@pytest.mark.long
def test_a_call_that_begins_on_an_unreadable_disk_is_recorded_on_the_spare_disk(
    service, disk, place_call
):
    disk.die()
    call = place_call()
    said = talk(call, 2, 50)
    *_, why = service.log.wait("alarm", kind="spool.disk_failed")["detail"].split(": ")
    # It may also read zeros, or skip what it cannot read.
    skipped = "no space left, although the disk reports free space"
    assert why in {"Input/output error", "Bad message", skipped}
    whole_from_the_spare_disk(service, call, said)


@pytest.mark.long
def test_a_call_that_begins_while_the_disk_hangs_is_recorded_on_the_spare_disk(
    service, disk, place_call
):
    with disk.frozen():
        call = place_call()
        said = talk(call, 2, 54)
        alarm = service.log.wait("alarm", kind="spool.disk_failed", process="switch")
    assert alarm["detail"] == f"{disk.folder}: the disk does not answer"
    whole_from_the_spare_disk(service, call, said)


def test_a_call_that_begins_while_the_disk_is_away_is_recorded_without_a_gap(
    service, disk, place_call
):
    before = place_call()
    talk(before, 1, 36)
    disk.vanish()
    shown(service, before, "fault")
    before.hang_up()
    call = place_call()
    said = talk(call, 2, 37)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert recording.adds_up()
    assert recording.gaps() == []
    assert find(recording.caller, said)[1] > 0.95


def test_a_power_cut_loses_only_the_newest_seconds_of_a_recording(service, disk, place_call, ended):
    """The device's content in mid-call is mounted again; what was only in memory is lost."""
    call, image = place_call(), service.folder / "cut.img"
    frames, at = 600, 550
    heard: list[float] = []

    def cut(frame):
        if frame == at:
            heard.extend(when for when, *_ in list(call.advisor.heard))
            heard.append(time.monotonic())
            disk.copy(image)

    said = speech(frames * FRAME_S, 30)
    call.caller.say(said, call.from_caller, before_frame=cut)
    call.hang_up()
    boot_key = load_boot_key(service.runtime / "boot.key")
    after = ended(Disk(image, service.folder / "after"))
    with read_spool(after.folder / f"{call.call_id}.1.spool", boot_key=boot_key) as spool:
        records = list(spool)
    kept = [
        struct.unpack_from("!H", record.data, 2)[0]
        for record in records
        if isinstance(record, PacketRecord)
    ]
    assert kept == list(range(kept[0], kept[0] + len(kept)))
    late = max(then - one for one, then in pairwise(heard))  # the longest delay of the machine
    lasting = heard[-1] - LOOKBACK_AND_MORE_S - late
    assert len(kept) >= sum(when < lasting for when in heard)
    assert len(kept) < at
    lost = [record.from_us or 0 for record in records if isinstance(record, LostRecord)]
    assert lost
    assert spool.header.started_mono_us + min(lost) >= lasting * 1e6
    assert spool.interrupted


CLOCK = """\
import os, time
_real, _file = time.time, os.environ["GALWAD_TEST_CLOCK"]
def jumped():
    with open(_file) as file:
        return _real() + float(file.read() or 0)
time.time = jumped
"""


@pytest.fixture
def wall(tmp_path, monkeypatch):
    """Sets the wall clock some seconds ahead, in every process that starts after this fixture."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(CLOCK)
    now = tmp_path / "clock" / "ahead"
    now.write_text("0")
    monkeypatch.setenv("GALWAD_TEST_CLOCK", str(now))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "clock"), prepend=":")
    return lambda seconds: now.write_text(str(seconds))


@pytest.mark.long
def test_jumps_of_the_wall_clock_displace_no_sound_and_leave_no_second_unexplained(
    wall, start, place_call_on
):
    """Six processes begin with another clock, and so cannot be forked: 6 s of CPU time."""
    service = start("switch", "desk", "finaliser", users=True)
    call = place_call_on(service)
    path = f"/api/v1/calls/{call.call_id}/payment"
    said = [talk(call, 1.5, 31)]
    wall(3600)
    said.append(talk(call, 1.5, 32))
    with service.sign_in() as page:
        page.put(path)
        secret = talk(call, 1, 33)
        wall(-7200)
        page.request("DELETE", path)
    said.append(talk(call, 1.5, 34))
    spools, some = Spools(service), 75 + 75 + 40  # packets: half of the last words
    wait_until(lambda: spools.kept(call.call_id) >= some, what="the spool")
    service.kill("switch")
    wall(60)
    service.start("switch")
    service.log.wait("call.resumed", call_id=call.call_id)
    shown(service, call, "recording")
    said.append(talk(call, 1.5, 35))
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert recording.adds_up()
    assert [gap["reason"] for gap in recording.gaps()] == ["payment", "fault"]
    places = [find(recording.caller, words) for words in said]
    lost_with_the_crash = places.pop(2)  # its last second
    assert min(alike for _, alike in places) > 0.95
    assert lost_with_the_crash[1] > 0.5
    assert [at for at, _ in places] == sorted(at for at, _ in places)
    assert find(recording.caller, secret)[1] < 0.3
    assert recording.manifest["talk_us"] < 60_000_000
    with service.sign_in("ceri") as client:
        found = client.get("/api/v1/coverage", params={"when": "last 3 days"}).json()
    assert (found["calls"], found["unexplained_us"], found["amiss"]) == (1, 0, [])
