"""The row of a call, after each kind of report about the call."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from galwad.calls.log import logged_call
from galwad.calls.log.logged_call import CallPart, LoggedCall, follow, seal
from galwad.messages import CallEnded, CallerFacts, CallStatus, Party, Sealed
from recording.archive.manifest import Gap

CALL = "20261125-101500-aaaaaaaa"
BEGAN = 1_800_000_000.0
SIAN, HUW = Party("201", "sian"), Party("202", "huw")


def ringing(*parties, **more):
    fields = {"caller": CallerFacts("01632960001", "pstn.example"), **more}
    return CallStatus(
        call_id=CALL,
        version=1,
        started=BEGAN,
        since=BEGAN,
        line="Council Tax",
        called="01632960999",
        state="ringing",
        ringing=parties or (SIAN, HUW),
        **fields,
    )


def answered(by=SIAN, **more):
    fields = {"state": "answered", "since": BEGAN + 5, "advisor": by, "ringing": (), **more}
    return msgspec.structs.replace(ringing(), **fields)


def end(row, report) -> Any:
    """Return the row after the report of the call's end."""
    return logged_call.end(row, report)


def row_after(*statuses, row=None) -> Any:
    """Return the row after these states, one second apart."""
    for number, status in enumerate(statuses):
        row = follow(row, status, BEGAN + number)
    return row


def ended(at=65.0, **more):
    return CallEnded(CALL, BEGAN + at, answered=True, **more)


def sealed(**more):
    fields = {
        "number": "+441632960001",
        "line": "Council Tax",
        "advisor": "sian",
        "extension": "201",
        **more,
    }
    return Sealed(
        call_id=CALL,
        folder="2026/11/25",
        started=BEGAN + 5,
        talk_us=60_000_000,
        interrupted=False,
        payload_size=1,
        payload_sha256="0" * 64,
        manifest_sha256="1" * 64,
        **fields,
    )


def parts_of(row):
    return [(part.role, part.user) for part in row.parts]


def test_an_answered_call_has_its_times_its_advisor_and_the_phones_that_only_rang():
    row = end(row_after(ringing(), answered()), ended(talk_us=60_000_000))
    assert (row.started, row.answered, row.ended) == (BEGAN, BEGAN + 5, BEGAN + 65)
    assert (row.outcome, row.talk_us, row.number) == ("answered", 60_000_000, "+441632960001")
    assert (row.advisor, row.extension, row.line) == ("sian", "201", "Council Tax")
    assert parts_of(row) == [("rang", "huw"), ("had", "sian")]


@pytest.mark.parametrize(
    ("unanswered", "outcome"),
    [("cancelled", "abandoned"), ("refused", "refused"), ("no_answer", "missed"), ("", "missed")],
)
def test_an_unanswered_call_has_the_outcome_that_the_switch_reports(unanswered, outcome):
    report = CallEnded(CALL, BEGAN + 20, answered=False, unanswered=unanswered)
    row = end(row_after(ringing()), report)
    assert (row.outcome, row.answered, row.talk_us) == (outcome, 0.0, 0)
    assert parts_of(row) == [("rang", "sian"), ("rang", "huw")]


def test_the_phone_that_answered_a_lost_fork_is_logged_as_having_only_rung():
    row = row_after(ringing(), answered())
    report = CallEnded(CALL, BEGAN + 5.02, False, unanswered="cancelled", lost_fork=True)
    row = end(row, report)
    assert (row.outcome, row.advisor, row.extension, row.talk_us) == ("abandoned", "", "", 0)
    assert {(part.role, part.user) for part in row.parts} == {("rang", "sian"), ("rang", "huw")}


def test_a_repeated_report_changes_nothing():
    row = row_after(ringing(), answered())
    assert row_after(answered(), row=row) == row
    row = end(row, ended(talk_us=60_000_000))
    assert end(row, ended(talk_us=60_000_000)) == row
    row = seal(row, sealed())
    assert seal(row, sealed()) == row


def test_the_row_of_a_call_never_has_the_callers_name():
    row = seal(end(row_after(ringing(), answered()), ended()), sealed())
    assert "Mair" not in repr(row)
    assert set(LoggedCall.__struct_fields__).isdisjoint({"name", "person_id", "address"})


def test_a_withheld_number_is_marked_and_not_stored():
    row = row_after(ringing(caller=CallerFacts("anonymous", "anonymous.invalid")))
    assert (row.number, row.withheld) == ("", True)


def test_an_external_transfer_is_logged_as_ringing_and_then_as_answered_without_the_number():
    pending = answered(ringing=(Party("01970999999"),), transferring="external")
    done = answered(by=Party("01970999999"), transfers=1, destination="external")
    row = row_after(ringing(), answered(), pending)
    assert row.parts[-1] == CallPart("sent", "sian", "201", BEGAN + 2, "external", "ringing")
    row = row_after(done, row=row)
    assert row.parts[-1].result == "answered"
    assert (row.advisor, row.transfers, row.destination) == ("sian", 1, "external")
    assert "01970999999" not in repr(row)


def test_a_transfer_that_fails_has_the_result_returned():
    pending = answered(ringing=(HUW,), transferring="centre")
    row = row_after(ringing(SIAN), answered(), pending, answered())
    assert [(part.role, part.user, part.result) for part in row.parts] == [
        ("had", "sian", ""),
        ("sent", "sian", "returned"),
        ("rang", "huw", ""),
    ]


def test_a_transfer_whose_caller_hangs_up_first_has_the_result_lost():
    pending = answered(ringing=(HUW,), transferring="centre")
    row = end(row_after(ringing(SIAN), answered(), pending), ended())
    assert [part.result for part in row.parts if part.role == "sent"] == ["lost"]


def test_a_colleague_who_answers_a_transferred_call_is_not_logged_as_having_missed_it():
    pending = answered(ringing=(HUW,), transferring="centre")
    row = row_after(ringing(SIAN), answered(), pending)
    row = row_after(answered(by=HUW, transfers=1, destination="centre"), row=row)
    assert parts_of(row) == [("had", "sian"), ("sent", "sian"), ("had", "huw")]
    assert (row.advisor, row.parts[1].result) == ("huw", "answered")


def test_a_transfer_that_the_desk_missed_is_entered_as_complete():
    row = row_after(ringing(SIAN), answered())
    row = row_after(answered(by=HUW, transfers=1, destination="centre"), row=row)
    assert parts_of(row) == [("had", "sian"), ("sent", "sian"), ("had", "huw")]


def test_an_advisor_behind_a_pbx_who_claims_the_call_replaces_the_pbx():
    row = row_after(ringing(Party("pbx"), Party("", "sian")), answered(by=Party("pbx")), answered())
    assert parts_of(row) == [("had", "sian")]


def test_a_call_that_a_phone_made_has_the_number_called_and_that_phone():
    caller = CallerFacts("201", "192.0.2.1")
    row = row_after(ringing(Party("trunk"), outgoing=True, caller=caller))
    assert (row.number, row.outgoing) == ("+441632960999", True)
    assert row.parts[0] == CallPart("made", "", "201", BEGAN)


def test_a_call_that_goes_on_after_its_assumed_end_is_open_again():
    row = end(row_after(ringing(), answered()), CallEnded(CALL, BEGAN + 30, answered=False))
    assert row.outcome == "answered"
    row = row_after(answered(), row=row)
    assert (row.ended, row.outcome) == (0.0, "")


def test_a_recording_completes_the_row_of_a_call_that_the_desk_never_saw():
    report = CallEnded(CALL, BEGAN + 65, True, 60_000_000, BEGAN + 5, for_ledger=True)
    first = end(None, report)
    assert (first.outcome, first.answered) == ("answered", BEGAN + 5)
    row = seal(first, sealed())
    assert (row.line, row.number, row.advisor) == ("Council Tax", "+441632960001", "sian")
    assert parts_of(row) == [("had", "sian")]
    assert end(seal(None, sealed()), report) == row


def test_a_call_that_the_desk_never_saw_and_that_was_not_recorded_has_no_row():
    assert end(None, CallEnded(CALL, BEGAN, answered=False)) is None


def test_the_recording_gives_the_row_its_pauses_and_gaps():
    gaps = (
        Gap(1_000_000, 4_000_000, "payment", "page", "user:sian"),
        Gap(9_000_000, 10_000_000, "transfer", "refer", "phone:201"),
    )
    row = seal(end(row_after(ringing(), answered()), ended()), sealed(gaps=gaps))
    assert (row.pauses, row.paused_us, row.gaps) == (1, 3_000_000, 2)
