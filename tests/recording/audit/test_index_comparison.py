"""Rows of the index and of the ledger, compared with the entries of the audit chain."""

from __future__ import annotations

import pytest

from recording.archive.commitments import OTHER_MANIFEST, ROW_DELETED
from recording.archive.summary import RecordingSummary
from recording.audit.index_comparison import (
    CALL_ENDED,
    EVERY_CALL,
    FACTS_ERASED,
    INDEXED,
    REINDEXED,
    CallIds,
    IndexComparison,
    IndexFinding,
    ended_facts,
)
from recording.audit.log import AuditLog, NewEntry, verify
from recording.errors import AuditError
from recording.index.catalogue import Catalogue
from recording.index.ledger import Answered, AnsweredCall, Ended, OthersEnded, write

FIRST, SECOND = "20260301-090000-abcdefgh", "20260302-091000-bcdefghi"
NOW = 1_800_000_000.0


@pytest.fixture
def audit(engine, tmp_path):
    return AuditLog(engine, "node-1", tmp_path / "audit.key", lambda: NOW)


@pytest.fixture
def comparison(engine):
    return IndexComparison(engine, "node-1")


async def sql(engine, statement):
    async with engine.begin() as connection:
        await connection.exec_driver_sql(statement)


async def index(engine, audit, call_id, digest="a" * 64):
    row = RecordingSummary(
        call_id=call_id,
        folder="2026/03/01",
        started=1.0,
        talk_us=1,
        interrupted=False,
        number=None,
        line="",
        advisor="",
        extension="",
        payload_size=1,
        payload_sha256="0" * 64,
        manifest_sha256=digest,
    )
    await audit.append(INDEXED, {"call_id": call_id, "manifest_sha256": digest})
    await Catalogue(engine).add(row)


async def enter(audit, *entries):
    async def work(connection):
        return [
            NewEntry(CALL_ENDED, ended_facts(call.call_id, call.answered, call.ended, call.talk_us))
            for call in await write(connection, entries)
            if call.ended is not None
        ]

    await audit.append_after(work)


def ended(call_id, answered, end, talk_us=5):
    return Ended(AnsweredCall(call_id, answered, end, talk_us), new=True)


async def found(comparison, ids=EVERY_CALL):
    later = NOW + 3600
    findings = [*await comparison.recordings(ids, later, 600), *await comparison.ledger(ids)]
    return [(each.call_id, each.problem.partition(":")[0]) for each in findings]


async def test_only_the_newest_entry_about_a_recording_counts(engine, audit, comparison):
    await index(engine, audit, FIRST)
    await index(engine, audit, FIRST, "b" * 64)
    await index(engine, audit, SECOND)
    assert await found(comparison) == []
    await sql(engine, f"UPDATE recordings SET manifest_sha256 = '{'a' * 64}'")
    assert await found(comparison) == [(FIRST, OTHER_MANIFEST)]


async def test_a_deleted_row_is_reported_once_its_audit_entry_is_older_than_the_grace_time(
    engine, audit, comparison
):
    await index(engine, audit, FIRST)
    await sql(engine, "DELETE FROM recordings")
    assert await comparison.recordings(EVERY_CALL, NOW + 599, 600) == []
    findings = await comparison.recordings(EVERY_CALL, NOW + 601, 600)
    assert findings == [IndexFinding(FIRST, ROW_DELETED)]


async def test_only_calls_in_the_range_of_ids_are_compared(engine, audit, comparison):
    await index(engine, audit, FIRST)
    await index(engine, audit, SECOND)
    await enter(audit, ended(FIRST, 1.0, 2.0), ended(SECOND, 3.0, 4.0))
    await sql(engine, "DELETE FROM recordings")
    await sql(engine, "DELETE FROM answered_calls")
    assert {call_id for call_id, _ in await found(comparison)} == {FIRST, SECOND}
    day = CallIds("20260302", "20260303")
    assert [call_id for call_id, _ in await found(comparison, day)] == [SECOND, SECOND]


async def test_a_call_whose_end_was_corrected_has_two_entries_and_no_problem(
    engine, audit, comparison
):
    await enter(audit, Answered(FIRST, 1.25), Answered(SECOND, 2.5))
    assert await audit.head() is None
    await enter(audit, OthersEnded(frozenset({SECOND}), 9.0))
    await enter(audit, ended(FIRST, 1.0, 8.000001))
    await enter(audit, ended(FIRST, 1.0, 8.000001))  # the switch repeats its reports
    entries = [entry for entry in await audit.entries() if entry.kind == CALL_ENDED]
    assert [entry.facts for entry in entries] == [
        {"call_id": FIRST, "answered_us": 1_250_000, "ended_us": 9_000_000},
        {"call_id": FIRST, "answered_us": 1_250_000, "ended_us": 8_000_001, "talk_us": 5},
    ]
    assert await found(comparison) == []
    assert (await verify(engine, "node-1")).is_clean


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("answered = 1.000001", "answer"),
        ("answered = 'then'", "answer"),
        ("ended = 3.0", "end"),
        ("ended = NULL, talk_us = NULL", "end and length"),
        ("talk_us = 6", "length"),
    ],
)
async def test_a_changed_time_of_a_call_is_named(engine, audit, comparison, change, names):
    await enter(audit, ended(FIRST, 1.0, 2.0))
    await sql(engine, f"UPDATE answered_calls SET {change}")
    assert await found(comparison) == [(FIRST, f"ledger and audit do not agree on its {names}")]


async def test_the_times_of_a_call_are_the_same_in_the_ledger_and_in_the_audit_entry(
    audit, comparison
):
    """Two ways to round a float can differ where it lies between two microseconds."""
    step = (
        2.0**-22
    )  # the distance between two floats at this time, about a quarter of a microsecond
    times = [NOW + number * step for number in range(500)]
    calls = [f"20260301-{number:06}-abcdefgh" for number in range(500)]
    entries = (ended(*each) for each in zip(calls, times, reversed(times), strict=True))
    await enter(audit, *entries)
    assert await found(comparison) == []


async def test_a_call_added_to_the_ledger_is_reported_unless_it_is_older_than_the_audit_entries(
    engine, audit, comparison
):
    await sql(engine, f"INSERT INTO answered_calls VALUES ('{FIRST}', 1.0, 2.0, 5)")
    assert await found(comparison) == []
    await audit.append("user.added", at=NOW - 10)
    await enter(audit, ended(SECOND, NOW - 5, NOW))
    assert await found(comparison) == []
    added = "20270101-000000-zzzzzzzz"
    await sql(engine, f"INSERT INTO answered_calls VALUES ('{added}', {NOW + 1}, {NOW + 2}, 5)")
    assert await found(comparison) == [
        (added, "it is in the ledger, but the audit has no entry of its end")
    ]


async def test_an_entry_written_with_a_wrong_clock_does_not_make_an_older_call_look_added(
    engine, audit, comparison
):
    await sql(engine, f"INSERT INTO answered_calls VALUES ('{FIRST}', {NOW - 60}, {NOW - 50}, 5)")
    await audit.append("user.added")
    audit.clock = lambda: 5.0
    await enter(audit, ended(SECOND, 1.0, 2.0))
    assert await found(comparison) == []


async def test_recordings_that_were_reindexed_or_erased_may_lack_their_facts(audit, comparison):
    await audit.append(REINDEXED, {"call_id": FIRST})
    await audit.append(FACTS_ERASED, {"call_id": SECOND})
    await audit.append("recording.shown", {"call_id": "20260301-090000-zzzzzzzz"})
    many = [f"20260303-{index:06}-abcdefgh" for index in range(3000)]
    wanted = [*many, FIRST, SECOND, "20260301-090000-zzzzzzzz"]
    assert await comparison.without_facts(wanted) == {FIRST, SECOND}
    assert await comparison.without_facts([]) == set()


async def test_an_entry_that_is_not_json_is_skipped(engine, audit, comparison):
    await index(engine, audit, FIRST)
    await enter(audit, ended(FIRST, 1.0, 2.0))
    await sql(engine, f"UPDATE audit_entries SET body = 'x' WHERE kind = '{INDEXED}'")
    assert await found(comparison) == []
    assert not (await verify(engine, "node-1")).is_clean


async def test_a_ledger_entry_and_its_audit_entry_are_written_together_or_not_at_all(
    engine, audit, comparison
):
    async def failing(connection):
        await write(connection, [ended(FIRST, 1.0, 2.0)])
        raise OSError("no space")

    with pytest.raises(AuditError):
        await audit.append_after(failing)
    await sql(engine, "ALTER TABLE audit_entries RENAME TO away")
    with pytest.raises(AuditError):
        await enter(audit, ended(FIRST, 1.0, 2.0))
    with pytest.raises(AuditError):
        await comparison.ledger(EVERY_CALL)
    await sql(engine, "ALTER TABLE away RENAME TO audit_entries")
    assert await found(comparison) == []
    async with engine.connect() as connection:
        rows = await connection.exec_driver_sql("SELECT * FROM answered_calls")
        assert rows.all() == []
