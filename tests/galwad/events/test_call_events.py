"""The events of a call: each once, in the order of the call, also after a restart of the desk."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.events.call_events import CallProgress, end, follow, seal
from galwad.messages import CallerFacts, CallStatus, Party, Sealed
from recording.archive.summary import LaterCaller

CALL = "20261125-101500-aaaaaaaa"
RINGING = CallStatus(
    call_id=CALL,
    version=1,
    started=1000.0,
    since=1000.0,
    line="Council Tax",
    called="01632960999",
    caller=CallerFacts("01632960001", "pstn.example"),
    state="ringing",
    ringing=(Party("201", "sian"), Party("202")),
)
ANSWERED = msgspec.structs.replace(
    RINGING,
    state="answered",
    since=1005.0,
    ringing=(),
    advisor=Party("201", "sian"),
    recording="recording",
    recording_since=1005.0,
)
PAUSED = msgspec.structs.replace(ANSWERED, recording="paused", recording_since=1010.0)
RESUMED = msgspec.structs.replace(ANSWERED, recording_since=1020.0)
TRANSFERRED = msgspec.structs.replace(
    RESUMED,
    advisor=Party("500"),
    transfers=1,
    destination="department",
    recording="ceased",
)
SEALED = Sealed(
    call_id=CALL,
    folder="2026/11/25",
    started=1005.0,
    talk_us=55_000_000,
    interrupted=False,
    number="01632960001",
    line="Council Tax",
    advisor="sian",
    extension="201",
    payload_size=1,
    payload_sha256="a" * 64,
    manifest_sha256="b" * 64,
)


def stored(progress):
    """Return the progress as a desk reads it from the database after a restart."""
    return progress and msgspec.json.decode(msgspec.json.encode(progress), type=CallProgress)


def events_of(*states, ended=None, sealed=None, restart_after=frozenset()):
    """Return the events of a call with these states, and its progress after them."""
    progress, events = None, []
    for number, state in enumerate(states):
        progress, new = follow(progress, state, 2000.0)
        events += new
        if number in restart_after:
            progress, again = follow(stored(progress), state, 2000.0)
            assert again == []
    if ended is not None:
        assert progress is not None
        progress, new = end(progress, ended)
        events += new
    if sealed is not None:
        progress, new = seal(progress, sealed, 3000.0)
        events += new
    return events, progress


def kinds(events):
    return [event.kind for event in events]


WHOLE = (RINGING, ANSWERED, PAUSED, RESUMED, PAUSED, RESUMED, TRANSFERRED)
KINDS = ["ringing", "answered", *["paused", "resumed"] * 2, "transferred", "ended", "sealed"]


def test_a_call_has_each_event_in_order_with_its_own_id_and_time():
    events, progress = events_of(*WHOLE, ended=1065.0, sealed=SEALED)
    assert (kinds(events), progress) == (KINDS, None)
    assert len({event.event_id for event in events}) == len(events)
    assert [event.at for event in events] == [
        *(1000.0, 1005.0, 1010.0, 1020.0, 1010.0, 1020.0),
        *(2000.0, 1065.0, 3000.0),
    ]
    ringing, answered, *_, transferred, ended, sealed = events
    assert ringing.ringing == (Party("201", "sian"), Party("202"))
    assert (ringing.call.advisor, ringing.call.extension) == ("", "")
    assert (answered.call.advisor, answered.call.extension) == ("sian", "201")
    assert (answered.call.caller, answered.call.called) == ("+441632960001", "+441632960999")
    assert (transferred.destination, transferred.call.extension) == ("department", "500")
    assert ended.answered
    assert (sealed.talk_us, sealed.interrupted) == (55_000_000, False)


@given(st.sets(st.integers(0, len(WHOLE) - 1)))
def test_restarts_of_the_desk_change_neither_the_events_nor_their_ids(restart_after):
    once, _ = events_of(*WHOLE, ended=1065.0, sealed=SEALED)
    again, _ = events_of(*WHOLE, ended=1065.0, sealed=SEALED, restart_after=restart_after)
    assert again == once


def test_events_that_were_missed_are_created_from_the_next_state_of_the_call():
    assert kinds(events_of(PAUSED)[0]) == ["ringing", "answered", "paused"]
    assert kinds(events_of(RINGING, TRANSFERRED)[0]) == ["ringing", "answered", "transferred"]


def test_a_repeated_state_or_end_leads_to_no_further_event():
    events, progress = events_of(RINGING, RINGING, ANSWERED, ANSWERED, PAUSED, PAUSED, ended=1065.0)
    assert kinds(events) == ["ringing", "answered", "paused", "ended"]
    assert follow(progress, PAUSED, 2000.0) == (progress, [])
    assert end(progress, 1066.0) == (progress, [])


@pytest.mark.parametrize("recording", ["ceased", "fault", "ended"])
def test_a_pause_that_ends_without_a_recording_has_no_resumed_event(recording):
    after = msgspec.structs.replace(RESUMED, recording=recording)
    assert kinds(events_of(PAUSED, after)[0]) == ["ringing", "answered", "paused"]


def test_the_state_ended_leads_to_no_event_before_the_report_of_the_end():
    after = msgspec.structs.replace(ANSWERED, state="ended", recording="ended")
    assert kinds(events_of(ANSWERED, after)[0]) == ["ringing", "answered"]


def test_a_call_that_is_not_answered_or_not_recorded_waits_for_no_recording():
    assert events_of(RINGING, ended=1003.0)[1] is None
    consultation = msgspec.structs.replace(ANSWERED, recorded=False, recording="not_started")
    assert events_of(consultation, ended=1065.0)[1] is None
    assert events_of(ANSWERED, ended=1065.0)[1] is not None


def test_a_recording_that_is_sealed_before_the_call_ends_follows_after_the_end():
    _, progress = events_of(ANSWERED)
    progress, events = seal(progress, SEALED, 1040.0)
    assert events == []
    progress, events = end(stored(progress), 1065.0)
    assert (kinds(events), progress) == (["ended", "sealed"], None)
    assert [event.at for event in events] == [1065.0, 1040.0]


@pytest.mark.parametrize(
    ("caller", "shown"),
    [
        (CallerFacts("01632960001", "anonymous.invalid"), "anonymous"),
        (CallerFacts("anonymous", "pstn.example", ("01632960001",), trusted=True), "anonymous"),
        (CallerFacts("01632960001", "pstn.example", privacy=("id",)), "anonymous"),
        (CallerFacts("201", "pbx.example"), "201"),
        (CallerFacts("nobody", "pstn.example"), None),
    ],
)
def test_every_event_has_the_callers_number_unless_it_is_withheld_or_unusable(caller, shown):
    states = [msgspec.structs.replace(state, caller=caller) for state in WHOLE]
    events, _ = events_of(*states, ended=1065.0, sealed=SEALED)
    assert kinds(events) == KINDS
    assert {event.call.caller for event in events} == {shown}


def test_a_new_caller_is_in_the_later_events():
    later = msgspec.structs.replace(ANSWERED, caller=CallerFacts("01632960002", "x"), callers=2)
    events, _ = events_of(ANSWERED, later, ended=1065.0)
    assert [event.call.caller for event in events] == ["+441632960001"] * 2 + ["+441632960002"]


def test_the_event_of_a_recording_of_an_unknown_call_has_the_facts_of_the_recording():
    ((event,), progress) = events_of(sealed=SEALED)
    assert (event.kind, progress) == ("sealed", None)
    assert (event.call.caller, event.call.advisor, event.call.line) == (
        "+441632960001",
        "sian",
        "Council Tax",
    )
    known, _ = events_of(ANSWERED, ended=1065.0, sealed=SEALED)
    assert event.event_id == known[-1].event_id
    withheld = msgspec.structs.replace(SEALED, later_callers=(LaterCaller(5, None, withheld=True),))
    assert events_of(sealed=withheld)[0][0].call.caller == "anonymous"
