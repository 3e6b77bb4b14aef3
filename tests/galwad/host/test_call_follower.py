"""The writing of what parts of the desk learn about calls: one transaction, no lost report."""

from __future__ import annotations

import asyncio

import pytest

from galwad.host import call_follower as module
from helpers.desk import until
from helpers.followed_calls import call_follower
from recording.audit.log import NewEntry
from recording.errors import AuditError

CREATE = "CREATE TABLE {} (value TEXT NOT NULL)"


class Part:
    """A part that stores texts in a table of its own, with an audit entry for each."""

    def __init__(self, follower, name):
        self.name = name
        self.batches: list = []
        self.written: list = []
        self.reports = follower.queue(name, self.write, self.written.extend)

    async def write(self, connection, batch):
        self.batches.append(connection)
        for value in batch:
            await connection.exec_driver_sql(f"INSERT INTO {self.name} VALUES (?)", (value,))
        return [NewEntry("test.stored", {"value": value}) for value in batch]


@pytest.fixture
def follower(engine, tmp_path):
    return call_follower(engine, tmp_path)


@pytest.fixture
async def parts(engine, follower):
    parts = [Part(follower, "first"), Part(follower, "second")]
    async with engine.begin() as connection:
        for part in parts:
            await connection.exec_driver_sql(CREATE.format(part.name))
    return parts


@pytest.fixture
def stored(engine):
    """Return a function that returns the stored values of a part."""

    async def stored(table, column="value"):
        async with engine.connect() as connection:
            return list(
                (await connection.exec_driver_sql(f"SELECT {column} FROM {table}")).scalars()
            )

    return stored


async def test_the_reports_of_all_parts_share_one_transaction(follower, parts, stored):
    first, second = parts
    first.reports.add("a")
    first.reports.add("b")
    second.reports.add("c")
    await follower.flush()
    assert (await stored("first"), await stored("second")) == (["a", "b"], ["c"])
    assert first.batches == second.batches
    assert (first.written, second.written) == (["a", "b"], ["c"])
    kinds = await stored("audit_entries", "kind")
    assert kinds.count("test.stored") == 3


async def test_a_part_that_cannot_be_written_does_not_hold_up_the_others(follower, parts, stored):
    first, second = parts
    first.reports.add(None)  # which the table refuses
    second.reports.add("c")
    await second.reports.flush()
    assert (await stored("second"), second.written) == (["c"], ["c"])
    assert (await stored("first"), len(first.reports), first.written) == ([], 1, [])
    with pytest.raises(AuditError):
        await first.reports.flush()


async def test_more_reports_than_one_transaction_takes_are_all_written_in_their_sequence(
    follower, parts, stored, monkeypatch
):
    monkeypatch.setattr(module, "MOST", 2)
    for value in "abcde":
        parts[0].reports.add(value)
    await follower.flush()
    assert await stored("first") == list("abcde")
    assert len(parts[0].batches) == 3


async def test_reports_are_written_again_until_the_database_takes_them(
    engine, follower, parts, stored, monkeypatch
):
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE first RENAME TO away")
    running = asyncio.create_task(follower.run())
    parts[0].reports.add("a")
    await until(lambda: len(parts[0].batches) > 1)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE away RENAME TO first")
    await until(lambda: not parts[0].reports)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await stored("first") == ["a"]


async def test_waiting_reports_are_written_when_the_follower_stops(follower, parts, stored):
    parts[0].reports.add("a")
    await follower.stop()
    assert await stored("first") == ["a"]


async def test_an_error_after_the_commit_of_one_part_does_not_affect_another(
    follower, parts, stored
):
    first, second = parts
    first.reports.on_written = None
    first.reports.add("a")
    second.reports.add("b")
    await follower.flush()
    assert (await stored("first"), len(first.reports), second.written) == (["a"], 0, ["b"])
