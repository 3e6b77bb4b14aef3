"""The writing of the log of calls, and what a restart of the desk leaves of it.

Covers `galwad/calls/log/store.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, text

from galwad.calls.log import call_log as call_log_module
from galwad.calls.log.call_log import CallLog
from galwad.calls.log.store import logged_calls, logged_parts
from galwad.messages import (
    CallChanged,
    CallEnded,
    CallerFacts,
    CallsSnapshot,
    CallStatus,
    Party,
    Sealed,
)
from galwad.settings.desk import CallLogSection
from helpers.desk import Clock, until
from helpers.followed_calls import call_follower
from recording.errors import AuditError

CALL = "20261125-101500-aaaaaaaa"
OTHER = "20261125-101500-bbbbbbbb"


def ringing(call_id=CALL, number="01632960001"):
    return CallStatus(
        call_id=call_id,
        version=1,
        started=1_800_000_000.0,
        since=1_800_000_000.0,
        line="Council Tax",
        called="01632960999",
        caller=CallerFacts(number, "pstn.example"),
        state="ringing",
        ringing=(Party("201", "sian"), Party("202", "huw")),
    )


def answered(call_id=CALL, number="01632960001"):
    return msgspec.structs.replace(
        ringing(call_id, number),
        state="answered",
        since=1_800_000_005.0,
        ringing=(),
        advisor=Party("201", "sian"),
    )


def ended(call_id=CALL, at=1_800_000_065.0, **more):
    return CallEnded(call_id, at, answered=False, **more)


def sealed(started=1_800_000_005.0):
    return Sealed(
        call_id=CALL,
        folder="2026/11/25",
        started=started,
        talk_us=60_000_000,
        interrupted=False,
        number="+441632960001",
        line="Council Tax",
        advisor="sian",
        extension="201",
        payload_size=1,
        payload_sha256="0" * 64,
        manifest_sha256="1" * 64,
    )


class LogOfDesk:
    """The log of one desk process."""

    def __init__(self, engine, folder, clock, section=None):
        self.news: list = []
        self.follower = call_follower(engine, folder)
        self.log = CallLog(
            engine, self.follower, section or CallLogSection(), self.news.append, clock
        )

    async def receive(self, *messages):
        for message in messages:
            self.log.received(message)
        await self.follower.flush()

    async def row(self, call_id=CALL) -> Any:
        return await self.log.store.call(call_id)

    async def outcome(self, call_id=CALL):
        row = await self.row(call_id)
        return row and row.outcome


@pytest.fixture
def desk(engine, tmp_path):
    return LogOfDesk(engine, tmp_path, Clock())


@pytest.fixture
def impatient(monkeypatch):
    """Let a snapshot end the calls that are not in it at once."""
    monkeypatch.setattr(call_log_module, "PATIENCE_S", 0.0)


async def count(engine, table):
    async with engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(table))


async def test_a_call_during_which_the_desk_restarts_has_one_row(engine, tmp_path, desk):
    await desk.receive(CallsSnapshot(()), CallChanged(ringing()))
    after = LogOfDesk(engine, tmp_path, Clock())
    await after.receive(CallsSnapshot((answered(),)), ended(talk_us=60_000_000))
    row = await after.row()
    assert (row.outcome, row.talk_us, row.answered) == ("answered", 60_000_000, 1_800_000_005.0)
    assert [part.role for part in row.parts] == ["rang", "had"]
    assert (await count(engine, logged_calls), await count(engine, logged_parts)) == (1, 2)
    desk.log.stop()
    after.log.stop()


async def test_a_call_that_ended_while_the_desk_was_down_ends_after_the_snapshot(
    engine, tmp_path, desk, impatient
):
    await desk.receive(CallChanged(ringing()), CallChanged(answered(OTHER)))
    after = LogOfDesk(engine, tmp_path, Clock())
    await after.receive(CallsSnapshot((answered(OTHER),)))
    await asyncio.sleep(0)
    await after.follower.flush()
    assert await after.outcome() == "missed"
    assert await after.outcome(OTHER) == ""
    after.log.stop()


async def test_the_late_report_of_an_end_corrects_the_assumed_end(
    engine, tmp_path, desk, impatient
):
    await desk.receive(CallChanged(answered()))
    after = LogOfDesk(engine, tmp_path, Clock())
    await after.receive(CallsSnapshot(()))
    await asyncio.sleep(0)
    await after.follower.flush()
    await after.receive(ended(at=1_800_000_035.0, talk_us=30_000_000, for_ledger=True))
    row = await after.row()
    assert (row.ended, row.talk_us) == (1_800_000_035.0, 30_000_000)
    after.log.stop()


async def test_a_recording_is_in_the_log_when_its_report_is_acknowledged(desk):
    await desk.log.sealed([sealed()])
    assert await desk.outcome() == "answered"


async def test_the_recording_of_a_call_older_than_the_log_makes_no_row(desk):
    await desk.log.sealed([sealed(started=1_700_000_000.0)])
    assert await desk.outcome() is None


async def test_a_thousand_calls_at_once_are_all_in_the_log(engine, desk):
    ids = [f"20261125-101500-{number:08}" for number in range(1000)]
    messages = [CallChanged(ringing(each)) for each in ids]
    messages += [CallChanged(answered(each)) for each in ids]
    messages += [ended(each, talk_us=60_000_000) for each in ids]
    await desk.receive(*messages)
    assert await count(engine, logged_calls) == 1000
    async with engine.connect() as connection:
        outcomes = select(logged_calls.c.outcome, func.count()).group_by(logged_calls.c.outcome)
        assert (await connection.execute(outcomes)).all() == [("answered", 1000)]


async def test_users_are_notified_of_their_ended_call_and_of_a_missed_call_that_was_rung_back(desk):
    await desk.receive(CallChanged(ringing()))
    assert desk.news == []
    await desk.receive(ended(unanswered="cancelled"))
    assert desk.news == [{"sian", "huw"}]
    desk.news.clear()
    alone = msgspec.structs.replace(ringing(OTHER), ringing=(Party("203", "ann"),))
    back = msgspec.structs.replace(answered(OTHER), advisor=Party("203", "ann"))
    await desk.receive(CallChanged(alone), CallChanged(back))
    assert desk.news == [{"sian", "huw"}]


async def test_first_the_number_and_later_the_whole_row_of_an_old_call_is_removed(engine, tmp_path):
    clock = Clock()
    desk = LogOfDesk(engine, tmp_path, clock, CallLogSection(numbers_hours=2, calls_days=7))
    await desk.receive(CallChanged(answered()), ended())
    clock.now += 2 * 3600 - 1
    await desk.log.clean()
    assert (await desk.row()).number == "+441632960001"
    clock.now += 2
    await desk.log.clean()
    row = await desk.row()
    assert (row.number, row.outcome) == ("", "answered")
    clock.now += 7 * 86_400
    await desk.log.clean()
    assert (await count(engine, logged_calls), await count(engine, logged_parts)) == (0, 0)


async def test_a_report_that_could_not_be_written_is_written_later(engine, desk):
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE logged_calls RENAME TO away"))
    desk.log.received(CallChanged(ringing()))
    with pytest.raises(AuditError):
        await desk.follower.flush()
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO logged_calls"))
    running = asyncio.create_task(desk.follower.run())
    await until(lambda: not desk.log.reports)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await desk.outcome() == ""
