"""The recorder of one call: the packets that pass its gate, and the contents of its spool.

Covers `recording/spool/gate.py` and `recording/policy.py`.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.spools import SpoolRoom
from helpers.recording.states import state_of
from recording.errors import SpoolSyncError, SpoolWriteError
from recording.policy import DestinationClass, RecordingState, RecordingStatus, Trigger
from recording.recorder import Recorder
from recording.spool import Clock, EventRecord, PacketRecord, SpoolWriter

SIAN = "user:sian"


@dataclass
class Call:
    """A recorder with packets of both parties; tests set its clock."""

    open_spool: Callable[[], SpoolWriter]
    erase_back_s: float = 0.0
    now: float = 0.0
    told: list[RecordingStatus] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recorder = Recorder(
            self.open_spool,
            Clock(wall=1_700_000_000.0, mono=0.0),
            clock=lambda: self.now,
            wall=lambda: 1_700_000_000.0 + self.now,
            erase_back_s=self.erase_back_s,
            on_change=self.told.append,
        )

    @property
    def path(self) -> Path:
        """The spool that is being written."""
        assert self.recorder.writer is not None
        return self.recorder.writer.path

    def talk(self, until: float) -> None:
        """Send a packet each 100 ms on both tracks, with a tick a second."""
        while self.now < until:
            for track in (0, 1):
                self.recorder.tap(track, bytes(172), self.now, False)
            self.now = round(self.now + 0.1, 3)
            if round(self.now * 10) % 10 == 0:
                self.recorder.tick()


@pytest.fixture
def call(spools) -> Call:
    return Call(spools.writer)


def events(records, *kinds: str) -> list[tuple[int, str]]:
    return [
        (r.at_us, r.kind)
        for r in records
        if isinstance(r, EventRecord) and (not kinds or r.kind in kinds)
    ]


def seconds_kept(records, track: int = 0) -> list[float]:
    return [
        round(r.at_us / 1e6, 1) for r in records if isinstance(r, PacketRecord) and r.track == track
    ]


def steps(start: float, end: float) -> list[float]:
    return [n / 10 for n in range(round(start * 10), round(end * 10))]


def test_no_packet_is_stored_before_the_answer(spools, call):
    call.talk(2)
    assert state_of(call.recorder) is RecordingState.NOT_STARTED
    call.recorder.answered("sian", "201")
    call.talk(4)
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records) == seconds_kept(records, 1) == steps(2, 4)
    assert (call.recorder.gate.stored, call.recorder.gate.dropped) == (40, 40)


async def test_no_packet_is_stored_from_a_pause_to_its_resume(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(2.5)
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    assert not call.recorder.gate.is_open
    assert await call.recorder.make_durable(timeout_s=30)
    call.talk(5)
    assert await call.recorder.resume("page", SIAN)
    assert call.recorder.gate.is_open
    call.talk(6)
    call.recorder.ended("bye")
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records) == steps(0, 2.5) + steps(5, 6)
    assert events(records, "segment", "gap-start", "gap-end", "release", "ended") == [
        (0, "segment"),
        (2_500_000, "gap-start"),
        (5_000_000, "release"),
        (5_000_000, "gap-end"),
        (5_000_000, "segment"),
        (6_000_000, "ended"),
    ]
    gap = next(r for r in records if isinstance(r, EventRecord) and r.kind == "gap-start")
    assert gap.fields == {"reason": "payment", "trigger": "page", "actor": SIAN}


def test_packets_that_arrived_after_the_trigger_are_erased_even_if_already_stored(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(3.5)
    call.recorder.pause("phone", Trigger.PHONE, SIAN, arrived_mono=2.25)
    call.recorder.close()
    assert seconds_kept(spools.read(call.path)) == steps(0, 2.3)


async def test_a_packet_that_arrived_before_the_gate_opened_is_not_stored(spools, call):
    numbers = (0, 100, 101, 102)
    before, early, late, fresh = (struct.pack(">BBHII", 0x80, 8, n, 160 * n, 7) for n in numbers)
    call.recorder.answered("sian", "201")
    call.recorder.tap(0, before, 0.0, False)
    call.now = 0.02
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    call.now = 2.0
    await call.recorder.resume("page", SIAN)
    call.recorder.tap(0, early, 1.999, False)
    call.recorder.tap(0, b"RTP's headerdigit", 2.01, True)
    call.recorder.tap(0, late, 2.019, False)
    call.recorder.tap(0, fresh, 2.039, False)
    call.now = 2.2
    call.recorder.close()
    records = list(spools.read(call.path))
    assert [r.data for r in records if isinstance(r, PacketRecord)] == [
        before,
        b"RTP's header",
        fresh,
    ]


def test_a_pause_erases_the_configured_seconds_before_it(spools):
    call = Call(spools.writer, erase_back_s=3.0)
    call.recorder.answered("sian", "201")
    call.talk(6.5)
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records) == steps(0, 3.5)
    assert events(records, "gap-start", "gap-end")[:3] == [
        (3_500_000, "gap-start"),
        (6_500_000, "gap-end"),
        (6_500_000, "gap-start"),
    ]


def test_a_transfer_to_a_department_stops_recording_and_its_failure_resumes_recording(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(2)
    call.recorder.referred(DestinationClass.DEPARTMENT, "phone:201", "housing")
    assert state_of(call.recorder) is RecordingState.CEASED
    call.talk(4)
    call.recorder.transfer_failed()
    call.talk(5)
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records) == steps(0, 2) + steps(4, 5)
    segments = [r.fields for r in records if isinstance(r, EventRecord) and r.kind == "segment"]
    assert segments == [{"class": "centre", "to": ""}] * 2


def test_a_transfer_within_the_centre_names_its_target_in_the_segment(spools, call):
    call.recorder.answered("sian", "201")
    call.recorder.referred(DestinationClass.CENTRE, "phone:201", "welsh-line")
    call.recorder.close()
    records = spools.read(call.path)
    segments = [r.fields for r in records if isinstance(r, EventRecord) and r.kind == "segment"]
    assert segments[-1] == {"class": "centre", "to": "welsh-line"}


async def test_a_pause_repeated_during_its_resume_stays_in_force(call):
    call.recorder.answered("sian", "201")
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    release = asyncio.ensure_future(call.recorder.resume("page", SIAN))
    await asyncio.sleep(0)
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    await release
    assert call.recorder.status().pause_holders == ("page",)
    assert not call.recorder.gate.is_open
    call.recorder.close()


async def test_each_change_of_state_is_reported_once(call):
    call.recorder.answered("sian", "201")
    call.now = 1.0
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    await call.recorder.resume("page", SIAN)
    call.recorder.close()
    states = [(s.state, s.since_us, s.pause_holders) for s in call.told]
    assert states == [
        (RecordingState.RECORDING, 0, ()),
        (RecordingState.PAUSED, 1_000_000, ("page",)),
        (RecordingState.RECORDING, 1_000_000, ()),
        (RecordingState.ENDED, 1_000_000, ()),
    ]


async def test_each_pause_holder_is_written_to_the_spool_even_if_the_gate_was_shut(spools, call):
    call.recorder.pause("api", Trigger.API, "token:pay")
    call.recorder.answered("sian", "201")
    call.recorder.referred(DestinationClass.DEPARTMENT, "phone:201", "housing")
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    call.recorder.close()
    records = spools.read(call.path)
    told = [r.fields for r in records if isinstance(r, EventRecord) and r.kind == "holder"]
    assert told == [
        {"holder": "api", "trigger": "api", "actor": "token:pay"},
        {"holder": "page", "trigger": "page", "actor": SIAN},
    ]


def test_a_spool_that_cannot_be_opened_is_a_fault_until_it_can_be_opened(spools):
    refusing = [True]

    def open_spool() -> SpoolWriter:
        if refusing:
            raise SpoolWriteError("no room")
        return spools.writer()

    call = Call(open_spool)
    call.recorder.answered("sian", "201")
    assert state_of(call.recorder) is RecordingState.FAULT
    call.talk(2)
    refusing.clear()
    call.talk(5)
    assert state_of(call.recorder) is RecordingState.RECORDING
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records) == steps(3, 5)
    assert events(records, "gap-start", "gap-end", "segment") == [
        (0, "gap-start"),
        (3_000_000, "gap-end"),
        (3_000_000, "segment"),
    ]


async def test_a_failed_sync_is_a_fault_until_a_sync_succeeds(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(1.5)
    call.recorder.sync_failed(SpoolSyncError("syncfs: Input/output error"))
    assert state_of(call.recorder) is RecordingState.FAULT
    call.recorder.sync_succeeded()
    call.talk(3)
    assert state_of(call.recorder) is RecordingState.RECORDING
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records) == steps(0, 1.5) + steps(2, 3)


async def test_a_pause_that_cannot_be_made_durable_still_shuts_the_gate(call, monkeypatch):
    call.recorder.answered("sian", "201")
    call.talk(1)

    def broken() -> Callable[[], None]:
        def job() -> None:
            raise SpoolSyncError("fdatasync: Input/output error")

        return job

    monkeypatch.setattr(call.recorder.writer, "sync_job", broken)
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    assert not await call.recorder.make_durable(timeout_s=30)
    assert not call.recorder.gate.is_open
    assert not call.recorder.status().storage_works
    assert not await call.recorder.resume("page", SIAN)
    assert call.recorder.status().pause_holders == ()
    assert state_of(call.recorder) is RecordingState.FAULT
    monkeypatch.undo()
    call.talk(2)
    await call.recorder.storage._probe
    call.talk(3)
    assert state_of(call.recorder) is RecordingState.RECORDING
    call.recorder.close()


async def test_make_durable_on_a_slow_disk_returns_false_after_its_timeout(call, monkeypatch):
    loop = asyncio.get_running_loop()
    gate = asyncio.Event()

    def slow() -> Callable[[], object]:
        return asyncio.run_coroutine_threadsafe(gate.wait(), loop).result

    call.recorder.answered("sian", "201")
    monkeypatch.setattr(call.recorder.writer, "sync_job", slow)
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    assert not await call.recorder.make_durable(timeout_s=0.01)
    assert state_of(call.recorder) is RecordingState.PAUSED
    gate.set()
    call.recorder.close()


async def test_a_started_recorder_ticks_by_itself(call, monkeypatch):
    ticked = asyncio.Event()
    monkeypatch.setattr(call.recorder, "tick", ticked.set)
    call.recorder.start()
    await asyncio.wait_for(ticked.wait(), 10)
    call.recorder.close()


def test_the_spool_of_a_killed_process_shows_silence_as_pulses(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(3)
    for second in (4, 5, 6):
        call.now = float(second)
        call.recorder.tick()
    call.talk(8)
    call.recorder.writer.abandon()
    records = list(spools.read(call.path))
    assert [at for at, _ in events(records, "pulse")] == [4_000_000, 5_000_000, 6_000_000]
    assert not events(records, "gap-start")


def test_closing_a_recorder_ends_the_call_and_its_spool(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(1)
    call.recorder.close()
    call.recorder.close()
    call.recorder.tap(0, b"late", 1.1, False)
    call.recorder.tick()
    reader = spools.read(call.path)
    assert events(reader)[-1][1] == "ended"
    assert not reader.interrupted


async def test_a_full_disk_is_a_fault_gap_and_recording_continues_once_there_is_space(
    spools, small_disk
):
    call = Call(lambda: spools.writer(folder=small_disk.folder))
    call.recorder.answered("sian", "201")
    call.talk(5)
    small_disk.fill()
    call.talk(8)
    assert state_of(call.recorder) is RecordingState.FAULT
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    small_disk.free()
    call.talk(10)
    assert state_of(call.recorder) is RecordingState.PAUSED
    await call.recorder.resume("page", SIAN)
    call.talk(15)
    call.recorder.close()
    reader = spools.read(call.path)
    records = list(reader)
    assert not reader.interrupted
    kept = seconds_kept(records)
    told = events(records, "gap-start", "gap-end")
    fault_us = told[0][0]
    assert kept == steps(0, fault_us / 1e6) + steps(10, 15)
    assert 5_000_000 <= fault_us <= 7_000_000
    assert [kind for _, kind in told] == ["gap-start", "gap-end", "gap-start", "gap-end"]
    reasons = [
        r.fields["reason"] for r in records if isinstance(r, EventRecord) and r.kind == "gap-start"
    ]
    assert reasons == ["fault", "payment"]
    assert told[1][0] == told[2][0] == 8_000_000


def test_the_callers_number_appears_in_no_file_or_file_name(spools, call):
    call.recorder.event("call", {"number": "01632960123", "line": "main"})
    call.recorder.answered("sian", "201")
    call.recorder.close()
    for path in Path(spools.root).rglob("*"):
        assert "01632960123" not in path.name
        assert not path.is_file() or b"01632960123" not in path.read_bytes()


STEPS = st.one_of(
    st.tuples(st.just("talk"), st.integers(1, 25)),
    st.tuples(st.just("hold"), st.sampled_from(["page", "api"])),
    st.tuples(st.just("release"), st.sampled_from(["page", "api"])),
    st.tuples(st.just("refer"), st.sampled_from(list(DestinationClass))),
    st.tuples(st.just("back"), st.none()),
    st.tuples(st.just("fault"), st.none()),
)


async def take(call: Call, what: str, detail) -> None:
    match what:
        case "talk":
            call.talk(call.now + detail / 10)
        case "hold":
            call.recorder.pause(detail, Trigger.PAGE, SIAN)
        case "release":
            await call.recorder.resume(detail, SIAN)
        case "refer":
            call.recorder.referred(detail, "phone:201", "somewhere")
        case "back":
            call.recorder.transfer_failed()
        case "fault":
            call.recorder._disk_failed(SpoolWriteError("tried"))
    if call.recorder.storage._probe is not None:
        await call.recorder.storage._probe


async def live(call: Call, steps) -> None:
    """Run a whole call of these steps."""
    call.talk(0.5)
    call.recorder.answered("sian", "201")
    for what, detail in steps:
        await take(call, what, detail)
    call.talk(call.now + 0.5)
    call.recorder.close()


def stretches(records) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the segments and gaps that the events of a spool describe."""
    found: dict[str, list[tuple[int, int]]] = {"segment": [], "gap-start": []}
    open_since: tuple[str, int] | None = None
    for at_us, kind in events(records, "segment", "gap-start", "gap-end", "ended"):
        if open_since is not None:
            found[open_since[0]].append((open_since[1], at_us))
        open_since = (kind, at_us) if kind in found else None
    return found["segment"], found["gap-start"]


@given(st.lists(STEPS, max_size=15), st.sampled_from([0.0, 2.0]))
@settings(deadline=None, max_examples=examples(40))
def test_segments_and_gaps_cover_the_call_and_every_packet_is_in_a_segment(
    tmp_path_factory, steps, erase_back_s
):
    room = SpoolRoom(tmp_path_factory.mktemp("room"))
    call = Call(room.writer, erase_back_s=erase_back_s)
    asyncio.run(live(call, steps))
    records = list(room.read(call.path))
    segments, gaps = stretches(records)
    whole = sorted(s for s in [*segments, *gaps] if s[0] != s[1])
    assert whole[0][0] == 500_000
    assert whole[-1][1] == round(call.now * 1e6)
    assert all(end == start for (_, end), (start, _) in pairwise(whole))
    for packet in (r for r in records if isinstance(r, PacketRecord)):
        assert any(start <= packet.at_us < end for start, end in segments)


class Queue:
    """Packets that have arrived at a call's sockets and are not read yet."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.waiting: list[tuple[int, float]] = []
        call.recorder.catch_up = self.read

    def arrive(self, start: float, end: float) -> None:
        """Let a packet of each party arrive each 100 ms."""
        self.waiting += [(track, at) for at in steps(start, end) for track in (0, 1)]

    def read(self) -> None:
        """Give the recorder what has arrived."""
        waiting, self.waiting = self.waiting, []
        for track, at in waiting:
            self.call.recorder.tap(track, bytes(172), at, False)


SHUTTING: dict[str, Callable[[Recorder, float], None]] = {
    "pause": lambda recorder, at: recorder.pause(
        "phone:201", Trigger.PHONE, "phone:201", arrived_mono=at
    ),
    "transfer": lambda recorder, at: recorder.referred(
        DestinationClass.DEPARTMENT, "phone:201", arrived_mono=at
    ),
    "new party": lambda recorder, at: recorder.identity_changed("phone:201", arrived_mono=at),
    "end": lambda recorder, at: recorder.ended("bye", arrived_mono=at),
}


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("kind", SHUTTING)
def test_a_late_trigger_keeps_only_the_packets_that_arrived_before_the_trigger(
    spools, call, kind, read_before
):
    call.recorder.answered("sian", "201")
    call.talk(2)
    queue = Queue(call)
    queue.arrive(2, 4)
    call.now = 4.0  # the process stood still for two seconds
    if read_before:
        queue.read()
        call.recorder.tick()
    SHUTTING[kind](call.recorder, 3.0)
    queue.arrive(4, 4.5)
    queue.read()
    call.now = 4.5
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records) == seconds_kept(records, 1) == steps(0, 3)
    assert events(records, "gap-start", "ended")[0][0] == 3_000_000


def test_events_in_one_write_precede_the_packets_that_a_pause_reads(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(1)
    queue = Queue(call)
    queue.arrive(1, 2)
    call.now = 2.0
    size = call.path.stat().st_size
    with call.recorder.one_write():
        call.recorder.event("advisor", {"user": "ceri"}, arrived_mono=1.0)
        assert call.path.stat().st_size == size
        call.recorder.pause("page", Trigger.PAGE, SIAN)
        shut_at = call.recorder.gate.stored
    call.recorder.close()
    records = list(spools.read(call.path))
    order = [r.kind if isinstance(r, EventRecord) else "packet" for r in records]
    named = order.index("advisor")
    assert order[:named].count("packet") == 20
    assert order[named:].index("packet") < order[named:].index("gap-start")
    assert shut_at == 40


def test_events_in_one_write_wait_in_memory_if_the_disk_refuses_the_write(spools, small_disk):
    call = Call(lambda: spools.writer(folder=small_disk.folder))
    call.recorder.answered("sian", "201")
    small_disk.fill()
    with call.recorder.one_write():
        for number in range(5):
            call.recorder.event("advisor", {"user": f"ceri {number}" * 1_000})
        assert state_of(call.recorder) is RecordingState.RECORDING
    assert state_of(call.recorder) is RecordingState.FAULT
    assert not call.recorder.gate.is_open
    small_disk.free()
    call.talk(2)
    assert state_of(call.recorder) is RecordingState.RECORDING
    call.recorder.close()
    records = list(spools.read(call.path))
    assert [kind for _, kind in events(records, "advisor", "gap-start", "gap-end")] == [
        *["advisor"] * 5,
        *("gap-start", "gap-end"),
    ]


async def test_packets_from_before_a_resume_are_not_stored_however_late_they_are_read(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(1)
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    queue = Queue(call)
    queue.arrive(1, 3)
    call.now = 3.0
    assert await call.recorder.resume("page", SIAN)
    queue.arrive(2.5, 3.5)
    call.now = 3.5
    queue.read()
    call.recorder.close()
    assert seconds_kept(list(spools.read(call.path))) == steps(0, 1) + steps(3, 3.5)


def test_the_recording_begins_at_the_answer_even_if_the_answer_is_read_late(spools, call):
    queue = Queue(call)
    queue.arrive(1, 3)
    call.now = 3.0
    call.recorder.answered("sian", "201", arrived_mono=1.5)
    queue.read()
    call.recorder.close()
    assert seconds_kept(list(spools.read(call.path))) == steps(1.5, 3)


def test_a_pause_read_late_after_a_standstill_erases_all_packets_since_the_pause_arrived(
    spools, call
):
    """If only the packets' age counted, the keys of their frames would already be published."""
    call.recorder.answered("sian", "201")
    call.talk(2)
    queue = Queue(call)
    queue.arrive(2, 22)
    call.now = 22.0
    queue.read()
    for _ in range(3):
        call.recorder.tick()
        call.now += 1
    call.recorder.pause("phone:201", Trigger.PHONE, "phone:201", arrived_mono=3.0)
    call.recorder.close()
    assert seconds_kept(list(spools.read(call.path))) == steps(0, 3)


def test_lost_media_of_both_parties_is_a_gap_with_the_reason_fault(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(2)
    call.now = 5.0
    call.recorder.media_lost(0, 150, 1.9, 5.0)
    call.recorder.media_lost(1, 150, 1.9, 5.0)
    call.talk(6)
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records) == steps(0, 2) + steps(5, 6)
    assert events(records, "gap-start", "gap-end", "lost") == [
        (5_000_000, "lost"),
        (1_900_000, "gap-start"),
        (5_000_000, "gap-end"),
        (5_000_000, "lost"),
    ]


def test_lost_media_of_one_party_is_noted_but_the_other_party_stays_recorded(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(5)
    call.recorder.media_lost(0, 10, 1.0, 4.95)
    call.talk(6)
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records, 1) == steps(0, 6)
    assert events(records, "gap-start", "lost") == [(4_950_000, "lost")]


def test_lost_media_in_a_pause_starts_no_second_gap(spools, call):
    call.recorder.answered("sian", "201")
    call.talk(1)
    call.recorder.pause("page", Trigger.PAGE, SIAN)
    call.now = 5.0
    call.recorder.media_lost(0, 10, 1.0, 5.0)
    call.recorder.close()
    assert len(events(list(spools.read(call.path)), "gap-start")) == 1


def test_a_pause_by_code_erases_the_configured_seconds_before_its_first_digit(spools):
    call = Call(spools.writer, erase_back_s=0.5)
    call.recorder.answered("sian", "201")
    call.talk(4)
    phone = "phone:201"
    call.recorder.pause(phone, Trigger.DTMF, phone, arrived_mono=3.8, begun_mono=3.0)
    call.recorder.close()
    records = list(spools.read(call.path))
    assert seconds_kept(records) == steps(0, 2.5)
    assert events(records, "gap-start") == [(2_500_000, "gap-start"), (3_800_000, "gap-start")]
