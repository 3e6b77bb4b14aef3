"""The audit entries that belong to the gaps of a recording are found by call, time and actor."""

from __future__ import annotations

import pytest

from recording.archive.manifest import ClockCheck, Gap
from recording.audit.chain import ChainEntry, canonical
from recording.audit.gap_entries import Proof, WallClock, entries_of_gaps

CALL = "20261125-101500-abcdefgh"
US = 1_000_000
START = 1_800_000_000 * US
TALK = 300 * US
DIGEST = "d" * 64


def entry(seq, kind, at_s, actor="user:sian", **facts):
    """An entry of the chain, `at_s` seconds after the call's answer."""
    body = canonical({"facts": {"call_id": CALL, **facts}})
    values = {} if actor is None else {"actor": (b"salt", actor)}
    return ChainEntry(seq, START + round(at_s * US), kind, body, "", values)


def gap(start_s, end_s, reason="payment", trigger="page", actor="user:sian"):
    return Gap(start_s * US, end_s * US, reason, trigger, actor)


INDEXED = entry(90, "recording.indexed", 310, None, manifest_sha256=DIGEST)


def found(gaps, *entries, checks=()):
    return entries_of_gaps(gaps, TALK, WallClock(START, checks), [*entries, INDEXED], DIGEST)


def test_a_pause_on_the_page_has_the_entries_of_its_start_and_its_resume():
    holds = [entry(seq, "payment.pause", at) for seq, at in ((10, 80.2), (20, 200.1))]
    releases = [entry(seq, "payment.resume", at) for seq, at in ((11, 124.8), (21, 249.9))]
    first, second = found([gap(80, 125), gap(200, 250)], *holds, *releases)
    assert (first.proof, first.stopped_by, first.resumed_by) == (Proof.ENTRY, 10, 11)
    assert (second.proof, second.stopped_by, second.resumed_by) == (Proof.ENTRY, 20, 21)
    assert (first.then, first.began_us, first.ended_us) == (
        "recorded",
        START + 80 * US,
        START + 125 * US,
    )


def test_entries_with_the_names_from_before_the_first_release_are_found():
    (only,) = found(
        [gap(80, 125)], entry(10, "payment.hold", 80.2), entry(11, "payment.release", 124.8)
    )
    assert (only.proof, only.stopped_by, only.resumed_by) == (Proof.ENTRY, 10, 11)


@pytest.mark.parametrize(
    "other",
    [
        entry(10, "payment.pause", 80, "user:huw"),
        entry(10, "payment.pause", 95),
        entry(10, "payment.pause", 40),
        entry(10, "payment.resume", 80),
    ],
    ids=["of another person", "too late", "too early", "of a resume"],
)
def test_a_pause_on_the_page_without_its_own_entry_is_reported_as_missing(other):
    (only,) = found([gap(80, 125)], other)
    assert (only.proof, only.stopped_by) == (Proof.MISSING, None)


def test_a_resume_of_this_call_counts_before_a_nearer_one_of_all_calls_of_an_advisor():
    """The second may be of another advisor, whose calls this call is not one of."""
    own, other = entry(11, "payment.resume", 124), entry(12, "payment.resume", 125, call_id="")
    (only,) = found([gap(80, 125)], entry(10, "payment.pause", 80), own, other)
    assert only.resumed_by == 11
    (only,) = found([gap(80, 125)], entry(10, "payment.pause", 80), other)
    assert only.resumed_by == 12


def test_an_entry_whose_actor_was_erased_still_belongs_to_the_pause():
    (only,) = found([gap(80, 125)], entry(10, "payment.pause", 80, None))
    assert (only.proof, only.stopped_by) == (Proof.ENTRY, 10)


@pytest.mark.parametrize(
    ("reason", "trigger"),
    [
        ("payment", "phone"),
        ("transfer", "refer"),
        ("fault", "storage"),
        ("payment", "refer"),
        ("payment", "page-transfer"),
    ],
)
def test_a_gap_with_another_cause_is_proven_by_the_entry_with_the_digest_of_the_manifest(
    reason, trigger
):
    (only,) = found([gap(80, 125, reason, trigger, "phone:201")])
    assert (only.proof, only.stopped_by, only.resumed_by) == (Proof.MANIFEST, 90, None)


def test_without_an_entry_with_the_digest_of_the_manifest_the_proof_is_missing():
    other = entry(90, "recording.indexed", 310, None, manifest_sha256="e" * 64)
    gaps = [gap(80, 125, "transfer", "refer")]
    (only,) = entries_of_gaps(gaps, TALK, WallClock(START), [other], DIGEST)
    assert (only.proof, only.stopped_by) == (Proof.MISSING, None)


def test_a_pause_that_began_during_another_gap_has_the_entry_of_its_own_start():
    gaps = [gap(80, 125, "payment", "phone", "phone:201"), gap(125, 160)]
    first, second = found(gaps, entry(10, "payment.pause", 90))
    assert (first.then, first.proof) == ("gap", Proof.MANIFEST)
    assert (second.then, second.stopped_by) == ("recorded", 10)


def test_an_erased_stretch_has_the_entry_of_the_pause_that_erased_it():
    erased, pause = found([gap(60, 80, "erased"), gap(80, 125)], entry(10, "payment.pause", 80))
    assert (erased.proof, erased.stopped_by, pause.stopped_by) == (Proof.ENTRY, 10, 10)


def test_a_captured_card_has_the_entry_of_its_incident():
    card = gap(80, 90, "captured-card", "tones", "system")
    (only,) = found([card], entry(10, "recording.captured-card", 311, None, from_us=80 * US))
    assert (only.proof, only.stopped_by) == (Proof.ENTRY, 10)
    (only,) = found([card], entry(10, "recording.captured-card", 311, None, from_us=81 * US))
    assert only.proof is Proof.MISSING


def test_a_gap_until_the_end_of_the_call_has_no_resume():
    (only,) = found(
        [gap(280, 300)], entry(10, "payment.pause", 280), entry(11, "payment.resume", 299)
    )
    assert (only.then, only.resumed_by) == ("end", None)


def test_entries_are_found_after_the_wall_clock_was_set_during_the_call():
    checks = [ClockCheck(0, 0), ClockCheck(60 * US, 3600 * US)]
    (only,) = found([gap(80, 125)], entry(10, "payment.pause", 3680), checks=checks)
    assert (only.stopped_by, only.began_us) == (10, START + 3680 * US)
