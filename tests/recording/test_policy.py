"""The policy as a table: four facts decide the gate, and gaps explain every second."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.recording.states import state_of
from recording.policy import (
    DestinationClass,
    EraseBackTo,
    GapEnded,
    GapReason,
    GapStarted,
    NewSegment,
    Open,
    Output,
    Policy,
    RecordingState,
    Shut,
    Trigger,
)

LEAVING = [c for c in DestinationClass if c is not DestinationClass.CENTRE]
SIAN = "user:sian"


@dataclass
class Ledger:
    """A ledger that adds up a policy's segments and gaps as the accounting does."""

    start: int | None = None
    open_since: int | None = None
    gap_since: int | None = None
    segments: list[tuple[int, int]] = field(default_factory=list)
    gaps: list[tuple[int, int, GapReason]] = field(default_factory=list)
    reason: GapReason | None = None

    def take(self, outputs: tuple[Output, ...]) -> None:
        for output in outputs:
            match output:
                case NewSegment(at):
                    self._end_segment(at)
                    self.open_since = at
                case EraseBackTo(at):
                    self._end_segment(at)
                case GapStarted(reason, trigger, _, at):
                    if trigger is Trigger.OVERFLOW:  # the gate stays open in such a gap
                        self._end_segment(at)
                    assert self.gap_since is None, "gaps overlap"
                    assert self.open_since is None, "a gap inside a segment"
                    self.gap_since, self.reason = at, reason
                case GapEnded(at):
                    assert self.gap_since is not None
                    assert self.reason is not None
                    self.gaps.append((self.gap_since, at, self.reason))
                    self.gap_since = None
                case _:
                    continue
            if self.start is None:
                self.start = output.at

    def _end_segment(self, at: int) -> None:
        if self.open_since is not None:
            self.segments.append((self.open_since, at))
            self.open_since = None


def answered() -> Policy:
    policy = Policy()
    policy.answered(0)
    return policy


def test_recording_starts_with_the_answer():
    policy = Policy()
    assert state_of(policy) is RecordingState.NOT_STARTED
    assert not policy.gate_open
    assert policy.answered(7) == (NewSegment(7), Open(7))
    assert state_of(policy) is RecordingState.RECORDING
    assert policy.answered(9) == ()


def test_a_pause_shuts_the_gate_erases_and_starts_a_gap_in_this_order():
    policy = answered()
    assert policy.pause("page", Trigger.PAGE, SIAN, 10) == (
        Shut(10),
        EraseBackTo(10),
        GapStarted(GapReason.PAYMENT, Trigger.PAGE, SIAN, 10),
    )
    assert state_of(policy) is RecordingState.PAUSED
    assert policy.pause_holders == ("page",)


def test_a_repeated_pause_changes_nothing():
    policy = answered()
    policy.pause("page", Trigger.PAGE, SIAN, 10)
    assert policy.pause("page", Trigger.API, "token:pay", 11) == ()
    assert policy.resume("page", 12) == (GapEnded(12), NewSegment(12), Open(12))


def test_a_resume_by_an_unknown_holder_changes_nothing():
    policy = answered()
    assert policy.resume("nobody", 5) == ()
    policy.pause("page", Trigger.PAGE, SIAN, 10)
    assert policy.resume("nobody", 11) == ()
    assert not policy.gate_open


def test_recording_resumes_when_the_last_pause_holder_resumes():
    policy = answered()
    policy.pause("page", Trigger.PAGE, SIAN, 10)
    policy.pause("api", Trigger.API, "token:pay", 11)
    assert policy.resume("page", 20) == (
        GapEnded(20),
        GapStarted(GapReason.PAYMENT, Trigger.API, "token:pay", 20),
    )
    assert not policy.gate_open
    assert policy.resume("api", 30) == (GapEnded(30), NewSegment(30), Open(30))


def test_a_pause_before_the_answer_keeps_the_gate_shut_from_the_first_packet():
    policy = Policy()
    assert policy.pause("page", Trigger.PAGE, SIAN, 0) == ()
    assert policy.answered(5) == (GapStarted(GapReason.PAYMENT, Trigger.PAGE, SIAN, 5),)
    assert not policy.gate_open


def test_a_pause_that_erases_earlier_audio_starts_a_separate_erased_gap():
    policy = answered()
    assert policy.pause("page", Trigger.PAGE, SIAN, 100, erase_to=40) == (
        Shut(100),
        EraseBackTo(40),
        GapStarted(GapReason.ERASED, Trigger.PAGE, SIAN, 40),
        GapEnded(100),
        GapStarted(GapReason.PAYMENT, Trigger.PAGE, SIAN, 100),
    )


def test_erasing_stops_at_the_start_of_the_current_segment():
    policy = answered()
    policy.pause("page", Trigger.PAGE, SIAN, 50)
    policy.resume("page", 60)
    assert EraseBackTo(60) in policy.pause("page", Trigger.PAGE, SIAN, 70, erase_to=10)


@pytest.mark.parametrize("destination", LEAVING)
def test_a_transfer_to_any_class_but_the_centre_stops_the_recording(destination: DestinationClass):
    policy = answered()
    outputs = policy.referred(destination, "phone:201", 10)
    reason = GapReason.PAYMENT if destination is DestinationClass.PAYMENT else GapReason.TRANSFER
    assert outputs == (
        Shut(10),
        EraseBackTo(10),
        GapStarted(reason, Trigger.REFER, "phone:201", 10),
    )
    assert not policy.gate_open


def test_an_unknown_destination_is_treated_as_a_department():
    known, unknown = answered(), answered()
    assert known.referred(DestinationClass.DEPARTMENT, "a", 1) == unknown.referred(
        DestinationClass.UNKNOWN, "a", 1
    )
    assert state_of(unknown) is RecordingState.CEASED


def test_a_transfer_within_the_centre_only_starts_a_new_segment():
    policy = answered()
    assert policy.referred(DestinationClass.CENTRE, "phone:201", 10) == (NewSegment(10),)
    assert state_of(policy) is RecordingState.RECORDING


@pytest.mark.parametrize("back", [Policy.transfer_failed, Policy.returned])
def test_a_call_that_comes_back_is_recorded_in_a_new_segment(back):
    policy = answered()
    policy.referred(DestinationClass.DEPARTMENT, "phone:201", 10)
    assert back(policy, 20) == (GapEnded(20), NewSegment(20), Open(20))


def test_a_paused_call_is_still_paused_after_a_transfer_and_return():
    policy = answered()
    policy.pause("page", Trigger.PAGE, SIAN, 10)
    assert policy.referred(DestinationClass.DEPARTMENT, "phone:201", 20) == (
        GapEnded(20),
        GapStarted(GapReason.TRANSFER, Trigger.REFER, "phone:201", 20),
    )
    assert policy.returned(30) == (
        GapEnded(30),
        GapStarted(GapReason.PAYMENT, Trigger.PAGE, SIAN, 30),
    )
    assert state_of(policy) is RecordingState.PAUSED
    assert not policy.gate_open


def test_a_changed_identity_shuts_the_gate_until_it_is_classed():
    policy = answered()
    policy.identity_changed("system", 10)
    assert not policy.gate_open
    assert policy.identity_classed(DestinationClass.CENTRE, 20) == (
        GapEnded(20),
        NewSegment(20),
        Open(20),
    )


@pytest.mark.parametrize("destination", LEAVING)
def test_an_identity_outside_the_centre_keeps_the_gate_shut_until_the_call_returns(destination):
    policy = answered()
    policy.identity_changed("system", 10)
    policy.identity_classed(destination, 20)
    assert not policy.gate_open
    policy.returned(30)
    assert policy.gate_open


def test_an_identity_of_the_centre_does_not_reopen_the_gate_after_a_transfer():
    policy = answered()
    policy.referred(DestinationClass.DEPARTMENT, "phone:201", 10)
    policy.identity_changed("system", 11)
    policy.identity_classed(DestinationClass.CENTRE, 12)
    assert state_of(policy) is RecordingState.CEASED


def test_a_storage_fault_is_a_fault_gap_that_ends_when_storage_recovers():
    policy = answered()
    assert policy.storage_failed(10)[-1] == GapStarted(
        GapReason.FAULT, Trigger.STORAGE, "system", 10
    )
    assert state_of(policy) is RecordingState.FAULT
    assert policy.storage_recovered(20) == (GapEnded(20), NewSegment(20), Open(20))


def test_a_pause_during_a_fault_is_reported_as_paused():
    policy = answered()
    policy.storage_failed(10)
    policy.pause("page", Trigger.PAGE, SIAN, 20)
    assert state_of(policy) is RecordingState.PAUSED
    policy.storage_recovered(25)
    assert not policy.gate_open
    assert policy.resume("page", 30)[-1] == Open(30)


def test_the_end_of_a_call_ends_the_gap_and_later_inputs_change_nothing():
    policy = answered()
    policy.pause("page", Trigger.PAGE, SIAN, 10)
    assert policy.ended(20) == (GapEnded(20),)
    assert state_of(policy) is RecordingState.ENDED
    assert policy.resume("page", 30) == policy.returned(30) == policy.answered(30) == ()
    assert not policy.gate_open


def test_the_end_of_a_recorded_call_shuts_the_gate_and_erases_later_packets():
    assert answered().ended(20) == (Shut(20), EraseBackTo(20))


def test_an_input_dated_before_the_last_output_gets_the_time_of_that_output():
    policy = answered()
    policy.pause("page", Trigger.PAGE, SIAN, 50)
    assert policy.resume("page", 40) == (GapEnded(50), NewSegment(50), Open(50))


HOLDERS = st.sampled_from(["page", "api", "phone"])
CLASSES = st.sampled_from(list(DestinationClass))
INPUTS = st.one_of(
    st.tuples(st.just("answered")),
    st.tuples(st.just("pause"), HOLDERS, st.integers(0, 60) | st.none()),
    st.tuples(st.just("resume"), HOLDERS),
    st.tuples(st.just("referred"), CLASSES),
    st.tuples(st.just("transfer_failed")),
    st.tuples(st.just("returned")),
    st.tuples(st.just("identity_changed")),
    st.tuples(st.just("identity_classed"), CLASSES),
    st.tuples(st.just("storage_failed"), st.integers(0, 20)),
    st.tuples(st.just("storage_recovered")),
    st.tuples(st.just("media_lost"), st.integers(0, 20)),
)


CENTRE = DestinationClass.CENTRE
GIVE: dict[str, Callable] = {
    "pause": lambda p, at, holder, back: p.pause(
        holder, Trigger.PAGE, f"user:{holder}", at, erase_to=None if back is None else at - back
    ),
    "resume": lambda p, at, holder: p.resume(holder, at),
    "referred": lambda p, at, destination: p.referred(destination, "phone:201", at),
    "identity_changed": lambda p, at: p.identity_changed("system", at),
    "identity_classed": lambda p, at, destination: p.identity_classed(destination, at),
    "storage_failed": lambda p, at, back: p.storage_failed(at - back),
    "media_lost": lambda p, at, back: p.media_lost(at - back, at),
}
# the causes that shut the gate, kept as a simple set
SHUTTING: dict[str, Callable] = {
    "answered": lambda against: against - {"unanswered"},
    "pause": lambda against, holder, _: against | {holder},
    "resume": lambda against, holder: against - {holder},
    "referred": lambda against, to: against | ({"referral"} if to is not CENTRE else set()),
    "transfer_failed": lambda against: against - {"referral"},
    "returned": lambda against: against - {"referral", "identity"},
    "identity_changed": lambda against: against | {"identity"},
    "identity_classed": lambda against, to: against - ({"identity"} if to is CENTRE else set()),
    "storage_failed": lambda against, _: against | {"storage"},
    "storage_recovered": lambda against: against - {"storage"},
    "media_lost": lambda against, _: against,
}


def give(policy: Policy, what: tuple, at: int) -> tuple[Output, ...]:
    name, *details = what
    if name in GIVE:
        return GIVE[name](policy, at, *details)
    return getattr(policy, name)(at)


@given(st.lists(st.tuples(INPUTS, st.integers(0, 50)), max_size=40))
def test_the_gate_is_open_exactly_when_no_cause_shuts_it(steps):
    policy, against, at = Policy(), {"unanswered"}, 100
    gate = False
    for what, wait in steps:
        at += wait
        for output in give(policy, what, at):
            gate = isinstance(output, Open) or (gate and not isinstance(output, Shut))
        against = SHUTTING[what[0]](against, *what[1:])
        assert policy.gate_open is gate is (not against)
        assert (state_of(policy) is RecordingState.RECORDING) is gate
        assert set(policy.pause_holders) == against & {"page", "api", "phone"}


@given(st.lists(st.tuples(INPUTS, st.integers(0, 50)), max_size=40), st.integers(0, 50))
def test_segments_and_gaps_add_up_to_the_talk_time(steps, last):
    policy, ledger, at = Policy(), Ledger(), 100
    answered_at = None
    for what, wait in steps:
        at += wait
        if what == ("answered",) and answered_at is None:
            answered_at = at
        ledger.take(give(policy, what, at))
    at += last
    ledger.take(policy.ended(at))
    if answered_at is None:
        assert not ledger.segments
        assert not ledger.gaps
        return
    assert ledger.open_since is None
    assert ledger.gap_since is None
    spans = sorted([*ledger.segments, *((a, b) for a, b, _ in ledger.gaps)])
    assert spans[0][0] == answered_at
    assert spans[-1][1] == at
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end == start
    assert sum(b - a for a, b in spans) == at - answered_at


@given(st.lists(st.tuples(INPUTS, st.integers(0, 50)), max_size=40))
def test_a_restored_call_has_the_same_gate_and_holders_as_before(steps):
    before, at = Policy(), 100
    before.answered(at)
    for what, wait in steps:
        at += wait
        give(before, what, at)
    before.storage_recovered(at)
    if state_of(before) is RecordingState.ENDED:
        return
    after = Policy()
    outputs = after.restored(before.shut_causes, 0)
    assert after.gate_open is before.gate_open
    assert after.state is before.state
    assert after.pause_holders == before.pause_holders
    assert any(isinstance(output, Open) for output in outputs) is after.gate_open
    for what in [("resume", "page"), ("resume", "api"), ("resume", "phone"), ("returned",)]:
        give(before, what, at)
        give(after, what, at)
        assert after.gate_open is before.gate_open


def test_a_restored_paused_call_starts_its_gap_again():
    before = answered()
    before.pause("page", Trigger.PAGE, SIAN, 5)
    assert Policy().restored(before.shut_causes, 3) == (
        GapStarted(GapReason.PAYMENT, Trigger.PAGE, SIAN, 3),
    )


def test_only_a_pause_transfer_new_identity_storage_fault_or_end_shuts_the_gate():
    shutting = {
        "pause": lambda p: p.pause("page", Trigger.PAGE, SIAN, 1),
        "referred": lambda p: p.referred(DestinationClass.EXTERNAL, "a", 1),
        "identity_changed": lambda p: p.identity_changed("a", 1),
        "storage_failed": lambda p: p.storage_failed(1),
        "ended": lambda p: p.ended(1),
    }
    harmless = {
        "answered": lambda p: p.answered(1),
        "restored": lambda p: p.restored(Policy().shut_causes, 1),
        "resume": lambda p: p.resume("page", 1),
        "transfer_failed": lambda p: p.transfer_failed(1),
        "returned": lambda p: p.returned(1),
        "identity_classed": lambda p: p.identity_classed(DestinationClass.EXTERNAL, 1),
        "storage_recovered": lambda p: p.storage_recovered(1),
        "media_lost": lambda p: p.media_lost(0, 1),
    }
    methods = {name for name in vars(Policy) if not name.startswith("_")}
    inputs = {n for n in methods if callable(getattr(Policy, n))}
    assert inputs == set(shutting) | set(harmless), "an input that this test does not know"
    for shut in shutting.values():
        policy = answered()
        shut(policy)
        assert not policy.gate_open
    for leave in harmless.values():
        policy = answered()
        leave(policy)
        assert policy.gate_open
