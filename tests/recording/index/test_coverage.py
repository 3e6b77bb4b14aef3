"""Coverage: ledger, index and manifest of a call, compared with each other."""

import hashlib

import msgspec
import pytest

from recording.archive.commitments import commit
from recording.archive.manifest import Interval, Segment, sign_manifest
from recording.archive.summary import PersonalFacts, RecordingSummary, party_networks
from recording.index.coverage import compare, uncovered_call
from recording.index.ledger import AnsweredCall

US = 1_000_000
CALL_ID = "20260301-090000-abcdefgh"


def indexed(office, manifest):
    """Return the row and the newly signed manifest file of a call."""
    facts = PersonalFacts(None, "main", "sian", "201", bytes(range(32)).hex())
    index = commit(manifest.call_id, facts)
    manifest = msgspec.structs.replace(manifest, index=index)
    data = sign_manifest(manifest, office.node.key)
    row = RecordingSummary(
        **msgspec.structs.asdict(facts),
        call_id=manifest.call_id,
        folder="2026/03/01",
        started=manifest.started_us / US,
        talk_us=manifest.talk_us,
        interrupted=manifest.interrupted,
        payload_size=manifest.payload.size,
        payload_sha256=manifest.payload.sha256,
        manifest_sha256=hashlib.sha256(data).hexdigest(),
        unexplained_us=manifest.unexplained_us,
        gaps=tuple(manifest.gaps),
        network=party_networks(manifest.tracks),
    )
    return row, data


def compared(office, manifest, call):
    """Compare a call whose recording is indexed and has this manifest."""
    row, data = indexed(office, manifest)
    return compare(row, data, call)


def told(talk_us):
    return AnsweredCall(CALL_ID, 0.0, talk_us / US, talk_us)


@pytest.fixture
def paused(office):
    """A call of seven seconds with a payment pause of three."""
    call = office.call()
    call.answer()
    call.talk(0, 2 * US)
    call.event("gap-start", 2 * US, reason="payment", trigger="page", actor="user:sian")
    call.event("gap-end", 5 * US)
    call.event("segment", 5 * US, **{"class": "centre", "to": ""})
    call.talk(5 * US, 7 * US)
    return office.seal(call.end(7 * US)).manifest


def test_a_call_on_which_ledger_index_and_manifest_agree_has_no_problem(office, paused):
    found = compared(office, paused, told(7 * US + 4_000))
    assert found.is_clean
    assert (found.recorded_us, found.gap_us, found.unexplained_us) == (4 * US, 3 * US, 0)
    assert [gap.reason for gap in found.gaps] == ["payment"]


def test_a_second_in_no_segment_and_no_gap_is_unexplained(office, paused):
    short = msgspec.structs.replace(paused, segments=[Segment(0, 2 * US, "centre")])
    found = compared(office, short, told(7 * US))
    assert found.unexplained == (Interval(5 * US, 7 * US),)
    assert not found.is_clean


def test_a_second_in_both_a_segment_and_a_gap_is_unexplained(office, paused):
    twice = msgspec.structs.replace(paused, segments=[Segment(0, 7 * US, "centre")])
    assert compared(office, twice, None).unexplained == (Interval(2 * US, 5 * US),)


def test_unexplained_time_is_computed_again_and_not_taken_from_the_manifest(office, paused):
    claimed = msgspec.structs.replace(paused, unexplained=[Interval(0, US)])
    assert compared(office, claimed, None).unexplained == ()


def test_a_recording_shorter_than_its_call_leaves_the_rest_unexplained(office, paused):
    found = compared(office, paused, told(20 * US))
    assert found.unexplained == (Interval(7 * US, 20 * US),)
    assert found.talk_us == 20 * US


def test_a_recording_longer_than_its_call_is_reported(office, paused):
    (problem,) = compared(office, paused, told(3 * US)).problems
    assert problem.startswith("it is 4.0 s longer than the call was")


def test_a_call_without_an_end_is_compared_only_by_index_and_manifest(office, paused):
    assert compared(office, paused, AnsweredCall(CALL_ID, 0.0, 90.0)).is_clean


def test_without_a_manifest_only_the_gaps_of_a_recording_are_explained(office, paused):
    row, _ = indexed(office, paused)
    found = compare(row, None, told(7 * US))
    assert found.unexplained == (Interval(0, 2 * US), Interval(5 * US, 7 * US))
    assert "manifest is missing" in found.problems[0]
    assert f"restore {CALL_ID}.manifest" in found.problems[0]


def test_a_manifest_other_than_the_indexed_one_explains_no_recorded_time(office, paused):
    row, _ = indexed(office, paused)
    later = msgspec.structs.replace(paused, sealed="2026-03-02T00:00:00Z")
    found = compare(row, indexed(office, later)[1], None)
    assert "not the one that was indexed" in found.problems[0]
    assert found.unexplained_us == 4 * US


def test_a_changed_manifest_is_reported_even_if_its_digest_is_indexed(office, paused):
    row, data = indexed(office, paused)
    changed = data.replace(b'"payment"', b'"refusal"')
    row = msgspec.structs.replace(row, manifest_sha256=hashlib.sha256(changed).hexdigest())
    assert "signature is wrong" in compare(row, changed, None).problems[0]


def test_an_index_that_disagrees_with_the_manifest_is_reported(office, paused):
    row, data = indexed(office, paused)
    assert (
        "on its length"
        in compare(msgspec.structs.replace(row, talk_us=8 * US), data, None).problems[0]
    )
    assert "on its gaps" in compare(msgspec.structs.replace(row, gaps=()), data, None).problems[0]


def test_a_call_without_a_recording_is_unexplained_from_end_to_end():
    found = uncovered_call(told(9 * US), 1000.0, "no spool")
    assert found.unexplained == (Interval(0, 9 * US),)
    assert found.problems == ("no spool",)
    assert uncovered_call(AnsweredCall(CALL_ID, 10.0, 15.0), 1000.0, "").unexplained_us == 5 * US
    assert uncovered_call(AnsweredCall(CALL_ID, 10.0), 1000.0, "").unexplained_us == 990 * US
