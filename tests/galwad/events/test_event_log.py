"""The writing of call events into the outbox, and what a restart of the desk leaves of it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from galwad.events import webhooks as event_log_module
from galwad.events.outbox import MAX_AGE_S, WebhookOutbox, webhook_events
from galwad.events.webhooks import CallEventLog
from galwad.host import call_follower as call_follower_module
from galwad.messages import (
    Alarm,
    CallChanged,
    CallEnded,
    CallerFacts,
    CallsSnapshot,
    CallStatus,
    Party,
    Sealed,
)
from galwad.settings.desk import ALL_EVENTS
from helpers.desk import WAIT_S, Clock
from helpers.followed_calls import call_follower
from recording.errors import AuditError

CALL = "20261125-101500-aaaaaaaa"
OTHER = "20261125-101500-bbbbbbbb"


def ringing(call_id=CALL):
    return CallStatus(
        call_id=call_id,
        version=1,
        started=1_800_000_000.0,
        since=1_800_000_000.0,
        line="Council Tax",
        called="01632960999",
        caller=CallerFacts("01632960001", "pstn.example"),
        state="ringing",
        ringing=(Party("201"),),
    )


def answered(call_id=CALL):
    return msgspec.structs.replace(
        ringing(call_id),
        state="answered",
        ringing=(),
        advisor=Party("201", "sian"),
        recording="recording",
    )


def sealed(started=1_800_000_000.0):
    return Sealed(
        call_id=CALL,
        folder="2026/11/25",
        started=started,
        talk_us=60_000_000,
        interrupted=False,
        number="01632960001",
        line="Council Tax",
        advisor="sian",
        extension="201",
        payload_size=1,
        payload_sha256="a" * 64,
        manifest_sha256="b" * 64,
    )


@pytest.fixture
async def desk(outbox, engine, clock, tmp_path):
    """The event log of a desk that can be restarted."""
    desk = RestartedDesk(outbox, engine, clock, tmp_path)
    await desk.restart()
    yield desk
    desk.log.stop()


class RestartedDesk:
    """The event log of a desk. `restart` makes a new one, as after `kill -9`."""

    def __init__(self, outbox: WebhookOutbox, engine, clock: Clock, folder: Path) -> None:
        self.outbox, self.engine, self.clock, self.folder = outbox, engine, clock, folder
        self.kinds = ALL_EVENTS
        self.written = asyncio.Event()
        self.log: CallEventLog

    async def restart(self) -> None:
        if hasattr(self, "log"):
            self.log.stop()
        self.follower = call_follower(self.engine, self.folder)
        self.log = CallEventLog(
            self.outbox, self.follower, self.kinds, self.written.set, self.clock
        )
        await self.log.load()

    async def receive(self, *messages, write=True) -> None:
        for message in messages:
            self.log.received(message)
        if write:
            await self.follower.flush()

    async def events(self):
        query = select(webhook_events.c.call_id, webhook_events.c.kind)
        async with self.engine.connect() as connection:
            found = await connection.execute(query.order_by(webhook_events.c.seq))
            return [(row.call_id, row.kind) for row in found]

    async def end_missing(self) -> None:
        """Do what the log does when its patience for a snapshot is over."""
        self.log._end_missing()
        await self.follower.flush()

    async def kinds_of(self, call_id=CALL):
        return [kind for found, kind in await self.events() if found == call_id]

    async def until(self, *kinds):
        """Wait until the call has these events, while the log runs."""
        running = asyncio.create_task(self.follower.run())
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    await self.written.wait()
                    self.written.clear()
                    if tuple(await self.kinds_of()) == kinds:
                        return
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def test_the_events_of_calls_are_written_in_their_order(desk):
    await desk.receive(
        CallsSnapshot(()),
        CallChanged(ringing()),
        CallChanged(ringing(OTHER)),
        CallChanged(answered()),
        CallEnded(CALL, 1_800_000_060.0, answered=True),
        Alarm("media.silent", CALL),
    )
    assert await desk.events() == [
        (CALL, "ringing"),
        (OTHER, "ringing"),
        (CALL, "answered"),
        (CALL, "ended"),
    ]


async def test_a_running_log_writes_events_by_itself_and_reports_them(desk):
    await desk.receive(CallChanged(ringing()), CallChanged(answered()), write=False)
    await desk.until("ringing", "answered")


async def test_only_events_of_the_wanted_kinds_are_written(desk):
    desk.kinds = ("ended",)
    await desk.restart()
    await desk.receive(CallChanged(answered()), CallEnded(CALL, 1_800_000_060.0, answered=True))
    assert await desk.kinds_of() == ["ended"]


async def test_a_snapshot_after_a_restart_repeats_no_event(desk):
    await desk.receive(CallChanged(ringing()), CallChanged(answered()))
    await desk.restart()
    await desk.receive(CallsSnapshot((answered(),)), CallChanged(answered()))
    assert await desk.kinds_of() == ["ringing", "answered"]


async def test_unwritten_events_are_recovered_from_the_snapshot_after_a_desk_crash(desk):
    await desk.receive(CallChanged(ringing()))
    await desk.receive(CallChanged(answered()), write=False)
    await desk.restart()
    await desk.receive(CallsSnapshot((answered(), ringing(OTHER))))
    assert await desk.kinds_of() == ["ringing", "answered"]
    assert await desk.kinds_of(OTHER) == ["ringing"]


async def test_a_call_that_ended_while_the_desk_was_down_ends_at_the_time_that_the_switch_reports(
    desk,
):
    await desk.receive(CallChanged(answered()))
    await desk.restart()
    await desk.receive(CallsSnapshot(()), CallEnded(CALL, 1_799_999_999.0, answered=True))
    await desk.end_missing()
    assert await desk.kinds_of() == ["ringing", "answered", "ended"]
    (progress,) = (await desk.outbox.calls()).values()
    assert progress.ended == 1_799_999_999.0


async def test_a_call_whose_end_is_not_reported_ends_a_moment_after_the_snapshot(desk, monkeypatch):
    monkeypatch.setattr(event_log_module, "PATIENCE_S", 0.01)
    await desk.receive(CallChanged(ringing()))
    await desk.restart()
    await desk.receive(CallsSnapshot(()))
    await desk.until("ringing", "ended")
    assert await desk.outbox.calls() == {}


async def test_a_call_that_rings_again_after_a_restart_of_the_switch_has_not_ended(desk):
    await desk.receive(CallChanged(ringing()), CallsSnapshot(()), CallChanged(ringing()))
    await desk.end_missing()
    await desk.receive(CallChanged(answered()))
    assert await desk.kinds_of() == ["ringing", "answered"]


async def test_a_repeated_end_of_a_call_has_no_second_event(desk):
    end = CallEnded(CALL, 1_800_000_060.0, answered=True, for_ledger=True)
    await desk.receive(CallChanged(answered()), end)
    await desk.restart()
    await desk.receive(CallsSnapshot(()), end)
    assert await desk.kinds_of() == ["ringing", "answered", "ended"]


async def test_a_sealed_recording_is_in_the_outbox_when_its_report_is_handled(desk):
    await desk.receive(
        CallChanged(answered()), CallEnded(CALL, 1_800_000_060.0, answered=True), write=False
    )
    await desk.log.sealed([sealed()])
    assert await desk.kinds_of() == ["ringing", "answered", "ended", "sealed"]
    assert await desk.outbox.calls() == {}
    await desk.restart()
    await desk.log.sealed([sealed()])
    assert await desk.kinds_of() == ["ringing", "answered", "ended", "sealed"]


async def test_an_old_recording_of_an_unknown_call_has_no_event(desk):
    await desk.log.sealed([sealed(started=desk.clock.now - MAX_AGE_S - 1)])
    assert await desk.kinds_of() == []
    await desk.log.sealed([sealed(started=desk.clock.now - MAX_AGE_S + 1)])
    assert await desk.kinds_of() == ["sealed"]


async def test_events_are_kept_while_the_database_cannot_be_written(desk, monkeypatch):
    write = desk.outbox.write
    failures = 2

    async def fails_twice(connection, steps, now):
        nonlocal failures
        if failures:
            failures -= 1
            raise OperationalError("", {}, Exception("disk I/O error"))
        await write(connection, steps, now)

    monkeypatch.setattr(desk.outbox, "write", fails_twice)
    monkeypatch.setattr(call_follower_module, "RETRY_S", 0.01)
    await desk.receive(CallChanged(answered()), write=False)
    with pytest.raises(AuditError):
        await desk.log.sealed([sealed()])
    await desk.until("ringing", "answered")


async def test_more_events_than_one_transaction_takes_are_all_written(desk, monkeypatch):
    monkeypatch.setattr(call_follower_module, "MOST", 2)
    calls = [f"20261125-101500-{number:08}" for number in range(5)]
    await desk.receive(*(CallChanged(ringing(call_id)) for call_id in calls))
    assert [call_id for call_id, _ in await desk.events()] == calls
