"""Reports of sealed recordings: written together, once each, and each by itself if one is bad."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.archive.indexer import Indexer
from galwad.messages import Alarm, Sealed
from recording.archive.manifest import Gap
from recording.audit.log import AuditLog, verify
from recording.index.catalogue import Catalogue
from recording.index.custody import CapturedCards

NAMELESS = {"number": None, "line": "", "advisor": "", "extension": "", "personal": False}


def report(letter="a", **fields):
    facts = {
        "call_id": f"20261125-101500-{letter * 8}",
        "folder": "2026/11/25",
        "started": 1_800_000_000.0,
        "talk_us": 60_000_000,
        "interrupted": False,
        "number": "01632960001",
        "line": "Council Tax",
        "advisor": "sian",
        "extension": "201",
        "gaps": (),
        "payload_size": 1,
        "payload_sha256": "a" * 64,
        "manifest_sha256": "b" * 64,
    }
    return Sealed(**{**facts, **fields})


@dataclass
class Office:
    """An indexer with its database, and all that it has reported."""

    engine: AsyncEngine
    audit: AuditLog
    indexed: list[list[str]] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    fails: Exception | None = None

    def __post_init__(self):
        self.indexer = Indexer(self.audit, on_indexed=self._indexed, on_alarm=self.alarms.append)

    async def _indexed(self, reports):
        if self.fails is not None:
            raise self.fails
        self.indexed.append([each.call_id[-1] for each in reports])

    async def index(self, *reports):
        """Give these reports to the indexer at the same time."""
        return await asyncio.gather(*map(self.indexer.index, reports))

    async def kinds(self):
        """Return the kinds of the audit entries that are about calls, and their calls."""
        entries = await self.audit.entries()
        return [(e.kind, str(e.facts["call_id"])[-1]) for e in entries if "call_id" in e.facts]

    async def rows(self):
        found = await Catalogue(self.engine).in_order("")
        return [row.call_id[-1] for row in found.rows]


@pytest.fixture
def office(engine, tmp_path: Path) -> Office:
    return Office(engine, AuditLog(engine, "node-1", tmp_path / "day.key"))


async def test_reports_that_arrive_together_are_written_in_one_transaction(office, engine):
    commits: list[object] = []
    await office.index(report("z"))
    event.listen(engine.sync_engine, "commit", commits.append)
    assert await office.index(*map(report, "abcdefgh")) == [True] * 8
    # The first report does not wait for the others.
    assert len(commits) <= 2
    assert [*chain(*office.indexed)] == [*"zabcdefgh"]
    assert await office.rows() == [*"abcdefghz"]
    assert await office.kinds() == [("recording.indexed", each) for each in "zabcdefgh"]
    assert (await verify(engine, "node-1")).is_clean


async def test_a_report_that_is_repeated_while_it_waits_is_indexed_once(office):
    assert await office.index(*map(report, "aabab")) == [True] * 5
    assert await office.rows() == [*"ab"]
    assert await office.kinds() == [("recording.indexed", "a"), ("recording.indexed", "b")]


async def test_a_report_that_cannot_be_written_does_not_hold_up_the_others(office):
    bad = report("b", talk_us=2**70)
    assert await office.index(report("a"), bad, report("c"), report("d")) == [
        *(True, False, True, True)
    ]
    assert await office.rows() == [*"acd"]
    assert [call for _, call in await office.kinds()] == [*"acd"]
    assert await office.index(report("b")) == [True]


async def test_each_report_is_refused_while_the_database_fails_and_accepted_afterwards(
    office, engine
):
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE recordings RENAME TO away"))
    assert await office.index(*map(report, "abc")) == [False] * 3
    assert await office.kinds() == []
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO recordings"))
    assert await office.index(*map(report, "abc")) == [True] * 3
    assert await office.rows() == [*"abc"]


async def test_a_task_that_is_cancelled_while_it_waits_loses_no_report(office):
    tasks = [asyncio.create_task(office.indexer.index(report(each))) for each in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[1], asyncio.CancelledError)
    assert (done[0], done[2]) == (True, True)
    assert await office.rows() in ([*"ac"], [*"abc"])
    assert await office.index(report("b")) == [True]


async def test_if_the_writing_task_is_cancelled_another_task_writes_the_waiting_reports(office):
    async def stuck(work):
        del work
        await asyncio.Event().wait()

    append_after, office.audit.append_after = office.audit.append_after, stuck
    tasks = [asyncio.create_task(office.indexer.index(report(each))) for each in "abc"]
    await asyncio.sleep(0)
    office.audit.append_after = append_after
    tasks[0].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1:] == [True, True]
    assert await office.rows() == [*"abc"]


async def test_a_repeated_report_without_names_keeps_the_names_in_the_row(office):
    assert await office.index(report("a")) == [True]
    assert await office.index(report("a", **NAMELESS)) == [True]
    found = await Catalogue(office.engine).get(report("a").call_id)
    assert found is not None
    assert found.line == "Council Tax"
    assert office.alarms == []
    assert await office.kinds() == [("recording.indexed", "a")]


async def test_a_recording_whose_names_are_only_in_its_spool_raises_one_alarm(office):
    assert await office.index(report("a", **NAMELESS)) == [False]
    assert await office.index(report("a", **NAMELESS)) == [False]
    assert [(each.kind, each.call_id) for each in office.alarms] == [
        ("recording.locked", report("a").call_id)
    ]
    assert office.indexed == [["a"], []]


async def test_recovered_spools_changed_manifests_and_captured_cards_are_audited(office):
    card = Gap(10, 20, "captured-card", "", "")
    first = report("a", recovered=(1, 2), gaps=(card,))
    assert await office.index(first, first) == [True, True]
    again = report("a", manifest_sha256="c" * 64, gaps=(card, Gap(30, 40, "captured-card", "", "")))
    assert await office.index(again) == [True]
    assert await office.kinds() == [
        ("spool.recovered", "a"),
        ("recording.indexed", "a"),
        ("recording.captured-card", "a"),
        ("recording.indexed", "a"),
        ("recording.captured-card", "a"),
    ]
    incidents = await CapturedCards(office.engine).all()
    assert [each.from_us for each in incidents] == [10, 30]


async def test_reports_whose_handling_fails_after_the_commit_are_refused_and_accepted_when_repeated(
    office,
):
    office.fails = OSError("no space")
    assert await office.index(*map(report, "ab")) == [False, False]
    office.fails = None
    assert await office.index(*map(report, "ab")) == [True, True]
    assert await office.kinds() == [("recording.indexed", "a"), ("recording.indexed", "b")]
