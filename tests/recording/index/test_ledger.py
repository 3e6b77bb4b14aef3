"""The ledger of answered calls, as the switch reports them."""

import pytest
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from recording.errors import CatalogueError
from recording.index.ledger import (
    Answered,
    AnsweredCall,
    Ended,
    Ledger,
    OthersEnded,
    Withdrawn,
    write,
)

FIRST, SECOND = "20260301-090000-abcdefgh", "20260301-091000-bcdefghi"


@pytest.fixture
def ledger(engine):
    return Ledger(engine)


async def enter(ledger, entries):
    async with ledger._writer.begin() as connection:
        return await write(connection, entries)


async def all_of(ledger):
    return await ledger.between(0.0, 1e12)


async def test_a_call_in_the_ledger_keeps_its_first_answer_time_and_gets_its_end_time(ledger):
    await enter(ledger, [Answered(FIRST, 10.0)])
    await enter(ledger, [Answered(FIRST, 12.0)])
    assert await all_of(ledger) == [AnsweredCall(FIRST, 10.0)]
    await enter(ledger, [Ended(AnsweredCall(FIRST, 11.0, 20.0, 9_500_000), new=True)])
    assert await all_of(ledger) == [AnsweredCall(FIRST, 10.0, 20.0, 9_500_000)]


async def test_a_call_whose_answer_was_missed_is_entered_at_its_end(ledger):
    ended = AnsweredCall(FIRST, 10.0, 20.0, 10_000_000)
    await enter(ledger, [Ended(ended, new=False)])
    assert await all_of(ledger) == []
    await enter(ledger, [Ended(ended, new=True)])
    assert await all_of(ledger) == [ended]


async def test_a_withdrawn_call_is_removed_unless_it_has_an_end(ledger):
    ended = AnsweredCall(SECOND, 10.0, 20.0, 10_000_000)
    await enter(ledger, [Answered(FIRST, 10.0), Ended(ended, new=True)])
    withdrawn = [Withdrawn(FIRST), Withdrawn(SECOND), Withdrawn("20260301-093000-unknown1")]
    assert await enter(ledger, withdrawn) == []
    assert await all_of(ledger) == [ended]
    await enter(ledger, [Answered(FIRST, 10.0), Withdrawn(FIRST)])
    assert await all_of(ledger) == [ended]


async def test_answered_calls_are_found_among_50_000_unknown_calls(ledger):
    """An outage may leave more spools than a statement takes names."""
    await enter(ledger, [Answered(FIRST, 10.0), Answered(SECOND, 11.0)])
    strangers = [f"20260301-{index:06}-strangerr" for index in range(50_000)]
    assert await ledger.knows([FIRST, *strangers, SECOND]) == {FIRST, SECOND}


async def test_calls_that_a_new_switch_does_not_report_are_ended(ledger):
    await enter(ledger, [Answered(FIRST, 10.0)])
    await enter(ledger, [Answered(SECOND, 11.0)])
    await enter(ledger, [OthersEnded(frozenset({SECOND}), 30.0)])
    assert [call.ended for call in await all_of(ledger)] == [30.0, None]


async def test_entries_of_one_transaction_are_applied_in_their_order(ledger):
    await enter(ledger, [Answered(FIRST, 10.0)])
    third = "20260301-092000-cdefghij"
    ended = await enter(
        ledger,
        [
            Answered(SECOND, 11.0),
            Answered(SECOND, 12.0),
            OthersEnded(frozenset({SECOND}), 30.0),
            Ended(AnsweredCall(SECOND, 11.0, 40.0, 29_000_000), new=False),
            Ended(AnsweredCall(third, 12.0), new=False),
            Ended(AnsweredCall(FIRST, 10.0, 31.0, 21_000_000), new=True),
            Answered(third, 50.0),
            OthersEnded(frozenset(), 60.0),
            Ended(AnsweredCall(third, 50.0, 60.0), new=True),
        ],
    )
    rows = [
        AnsweredCall(FIRST, 10.0, 31.0, 21_000_000),
        AnsweredCall(SECOND, 11.0, 40.0, 29_000_000),
        AnsweredCall(third, 50.0, 60.0),
    ]
    assert await all_of(ledger) == rows
    assert sorted(ended, key=lambda call: call.call_id) == rows


async def test_a_hundred_calls_that_end_together_need_few_statements(ledger, engine):
    calls = [AnsweredCall(f"20260301-{index:06}-abcdefgh", 10.0, 20.0) for index in range(100)]
    await enter(ledger, [Answered(call.call_id, call.answered) for call in calls[:50]])
    statements: list[str] = []
    event.listen(
        engine.sync_engine, "before_cursor_execute", lambda *facts: statements.append(facts[2])
    )
    assert await enter(ledger, [Ended(call, new=True) for call in calls]) == calls
    assert len(statements) <= 4  # one begins the transaction
    assert await all_of(ledger) == calls


async def test_calls_are_found_by_the_time_of_their_answer(ledger):
    await enter(ledger, [Answered(FIRST, 10.0)])
    await enter(ledger, [Answered(SECOND, 20.0)])
    assert [c.call_id for c in await ledger.between(10.0, 20.0)] == [FIRST]
    assert await ledger.knows([SECOND, "x"]) == {SECOND}


async def test_a_finding_is_new_once_and_is_new_again_if_it_returns_after_an_absence(ledger):
    assert await ledger.new_findings({"a", "b"}, 1.0) == {"a", "b"}
    await ledger.mark_known("c", 2.0)
    await ledger.mark_known("c", 2.0)
    assert await ledger.new_findings({"a", "c"}, 2.0) == set()
    assert await ledger.new_findings({"a", "b"}, 3.0) == {"b"}


async def test_a_broken_database_raises_catalogue_error(ledger, engine):
    async with engine.begin() as connection:
        for table in ("answered_calls", "coverage_findings"):
            await connection.exec_driver_sql(f"DROP TABLE {table}")
    with pytest.raises(SQLAlchemyError):
        await enter(ledger, [Answered(FIRST, 1.0)])
    with pytest.raises(CatalogueError):
        await ledger.between(0, 1)
    with pytest.raises(CatalogueError):
        await ledger.knows([FIRST])
    with pytest.raises(CatalogueError):
        await ledger.new_findings((), 1.0)
    with pytest.raises(CatalogueError):
        await ledger.mark_known("a", 1.0)
