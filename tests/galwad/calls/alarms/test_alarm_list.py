"""The list of alarms: repeated reports, what ends by itself, what people decide, and the database.

Covers `galwad/calls/alarms/store.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from galwad.calls.alarms import alarm_list
from galwad.calls.alarms import store as alarm_store
from galwad.calls.alarms.alarm_list import MOST_OF_KIND, AlarmError, AlarmList, CallStage
from galwad.calls.alarms.kinds import KINDS, Ending
from galwad.calls.alarms.store import AlarmStore
from galwad.messages import Alarm, PeerStatus
from helpers.desk import WAIT_S, Clock, until
from recording.audit.log import AuditLog

CALL = "20261125-101500-aaaaaaaa"
OTHER = "20261125-101500-bbbbbbbb"
DAY_S = 86_400.0
PAUSED = CallStage("paused", ended=False)
RECORDING = CallStage("recording", ended=False)
FAULT = CallStage("fault", ended=False)
WRAP_UP = CallStage("ended", ended=True)


class Desk:
    """The parts of a desk that the list needs: its clock, its audit, and what the pages get."""

    def __init__(self, engine, clock):
        self.engine, self.clock = engine, clock
        self.audited: list[tuple[str, dict, dict]] = []
        self.changed: list[tuple[str, str]] = []
        self.auditing = asyncio.Event()
        self.auditing.set()
        self.alarms = self.restarted()

    def restarted(self):
        self.alarms = AlarmList(
            self.engine, self.audit, self.on_change, kept_s=30 * DAY_S, clock=self.clock
        )
        return self.alarms

    async def audit(self, kind, facts, personal):
        self.audited.append((kind, facts, personal))
        await self.auditing.wait()

    def on_change(self, alarm):
        self.changed.append((alarm.kind, alarm.state))

    def raised(self, kind, call_id=None, detail="", line=""):
        return self.alarms.raised(Alarm(kind, call_id, detail), line)

    def state(self, alarm):
        found = self.alarms.find(alarm.alarm_id)
        return found.state if found is not None else None


@pytest.fixture
def desk(engine, clock):
    return Desk(engine, clock)


@pytest.fixture
async def running(desk):
    """The desk, whose list is written to the database."""
    task = asyncio.create_task(desk.alarms.run())
    yield desk
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_repeated_reports_about_one_call_are_one_alarm_with_a_count(desk):
    first = desk.raised("media.refused", CALL, "from 203.0.113.7", "Housing")
    desk.clock.now += 60
    again = desk.raised("media.refused", CALL, "from 203.0.113.8")
    assert (again.alarm_id, again.count, again.line) == (first.alarm_id, 2, "Housing")
    assert (again.first, again.latest) == (Clock.now, Clock.now + 60)
    assert again.detail == "from 203.0.113.8"
    assert desk.raised("media.refused", OTHER).alarm_id != first.alarm_id


def test_a_flood_of_reports_of_one_kind_over_many_calls_has_few_alarms(desk):
    for number in range(1000):
        desk.raised("media.refused", f"20261125-101500-{number:08}", line="Housing")
    desk.raised("recording.fault", CALL)
    alarms = [alarm for alarm in desk.alarms.open() if alarm.kind == "media.refused"]
    assert len(alarms) == MOST_OF_KIND + 1
    (many,) = [alarm for alarm in alarms if alarm.call_id is None]
    assert (many.count, many.line) == (1000 - MOST_OF_KIND, "")


def test_an_alarm_about_a_pbx_without_names_ends_when_that_pbx_names_a_party(desk):
    pbx = desk.raised("pbx.no_names", detail="pbx: no names in 3 calls in a row")
    desk.alarms.naming_known({"pbx": False, "other": True})
    assert desk.state(pbx) == "open"
    desk.alarms.naming_known({"pbx": True})
    assert desk.state(pbx) == "closed"


def test_each_peer_has_its_own_alarm_which_ends_when_that_peer_returns(desk):
    north = desk.raised("peer.down", detail="north 192.0.2.1:5060: SIP status 408")
    south = desk.raised("peer.down", detail="south 192.0.2.2:5060: SIP status 503")
    desk.alarms.event("peer.up", "north 192.0.2.1:5060")
    assert (desk.state(north), desk.state(south)) == ("closed", "open")
    desk.alarms.peers_known([PeerStatus("south 192.0.2.2:5060", "options", up=False)])
    desk.alarms.peers_known([PeerStatus("south 192.0.2.2:5060", "register", up=True)])
    assert desk.state(south) == "open"
    desk.alarms.peers_known([PeerStatus("south 192.0.2.2:5060", "options", up=True)])
    assert desk.state(south) == "closed"
    assert desk.changed == [("peer.down", "closed")] * 2


def test_a_trunk_that_is_registered_again_ends_its_alarm(desk):
    alarm = desk.raised("trunk.unregistered", detail="north: SIP status 403")
    desk.alarms.peers_known([PeerStatus("north", "register", up=False)])
    assert desk.state(alarm) == "open"
    desk.alarms.peers_known([PeerStatus("north", "register", up=True)])
    assert desk.state(alarm) == "closed"


def test_the_alarm_about_emergency_calls_ends_when_they_have_a_route(desk):
    alarm = desk.raised("emergency.no_route", detail="no route with a target for 999, 112")
    assert desk.state(alarm) == "open"
    desk.alarms.emergency_route_known()
    assert desk.state(alarm) == "closed"


def test_an_alarm_raised_again_within_ten_minutes_is_opened_again_with_the_same_id(desk):
    first = desk.raised("switch.lost")
    desk.alarms.event("switch.connected", "")
    desk.clock.now += 599
    again = desk.raised("switch.lost")
    assert (again.alarm_id, again.state, again.count) == (first.alarm_id, "open", 2)
    desk.alarms.event("switch.connected", "")
    desk.clock.now += 601
    assert desk.raised("switch.lost").alarm_id != first.alarm_id


@pytest.mark.parametrize(
    ("kind", "before", "after", "state"),
    [
        ("payment.forgotten", PAUSED, RECORDING, "closed"),
        ("payment.forgotten_long", PAUSED, WRAP_UP, "closed"),
        ("payment.page_lost", PAUSED, CallStage(), "closed"),
        ("recording.fault", FAULT, RECORDING, "closed"),
        ("recording.fault", FAULT, PAUSED, "open"),
        ("recording.fault", FAULT, WRAP_UP, "open"),
        ("recording.fault", RECORDING, RECORDING, "open"),
        ("media.silent", RECORDING, PAUSED, "open"),
        ("media.silent", RECORDING, WRAP_UP, "closed"),
        ("media.contested", RECORDING, WRAP_UP, "open"),
    ],
)
def test_a_change_of_a_call_closes_only_the_alarms_that_it_settles(
    desk, kind, before, after, state
):
    alarm, other = desk.raised(kind, CALL), desk.raised(kind, OTHER)
    desk.alarms.call_changed(CALL, before, after)
    assert (desk.state(alarm), desk.state(other)) == (state, "open")


def test_a_pause_that_ended_while_the_switch_was_lost_ends_its_alarm(desk):
    over, paused = desk.raised("payment.forgotten", CALL), desk.raised("payment.forgotten", OTHER)
    desk.alarms.calls_known({CALL: RECORDING, OTHER: PAUSED}.__getitem__)
    assert (desk.state(over), desk.state(paused)) == ("closed", "open")


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind, traits in KINDS.items()
        if traits.ending in {Ending.INDEXED, Ending.DELIVERED, Ending.DECISION}
    ],
)
def test_an_alarm_is_closed_only_by_the_ending_of_its_kind_and_call(desk, kind):
    ending = KINDS[kind].ending
    call, other = (None, None) if ending is Ending.DELIVERED else (CALL, OTHER)
    alarm = desk.raised(kind, call)
    if other is not None:
        desk.alarms.ended(ending, other)
    desk.alarms.ended(Ending.PAUSE, call)
    assert desk.state(alarm) == "open"
    desk.alarms.ended(ending, call)
    assert desk.state(alarm) == "closed"


async def test_an_alarm_is_taken_released_and_closed_with_entries_in_the_audit(desk):
    alarm = desk.raised("recording.fault", CALL)
    taken = await desk.alarms.take(alarm.alarm_id, "mair", "user:mair")
    assert (taken.state, taken.taken_by, taken.taken) == ("taken", "mair", Clock.now)
    free = await desk.alarms.release(alarm.alarm_id, "mair", "user:mair", for_others=False)
    assert (free.state, free.taken_by) == ("open", "")
    closed = await desk.alarms.close(alarm.alarm_id, "gwen", "user:gwen", "disk replaced")
    assert (closed.state, closed.closed_by, closed.remark) == ("closed", "gwen", "disk replaced")
    facts = {"alarm": alarm.alarm_id, "kind": "recording.fault", "call_id": CALL}
    assert desk.audited == [
        ("alarm.taken", facts, {"actor": "user:mair"}),
        ("alarm.released", facts, {"actor": "user:mair"}),
        ("alarm.closed", facts, {"actor": "user:gwen", "remark": "disk replaced"}),
    ]
    assert [state for _, state in desk.changed] == ["taken", "open", "closed"]


async def test_repeating_a_decision_changes_and_audits_nothing(desk):
    alarm = desk.raised("recording.fault", CALL)
    for _ in range(2):
        await desk.alarms.take(alarm.alarm_id, "mair", "user:mair")
    for _ in range(2):
        await desk.alarms.release(alarm.alarm_id, "mair", "user:mair", for_others=False)
    for remark in ("first", "second"):
        closed = await desk.alarms.close(alarm.alarm_id, "mair", "user:mair", remark)
    assert closed.remark == "first"
    assert len(desk.audited) == len(desk.changed) == 3


async def test_only_one_of_two_supervisors_can_take_an_alarm_at_the_same_time(desk):
    alarm = desk.raised("recording.fault", CALL)
    done = await asyncio.gather(
        desk.alarms.take(alarm.alarm_id, "mair", "user:mair"),
        desk.alarms.take(alarm.alarm_id, "gwen", "user:gwen"),
        return_exceptions=True,
    )
    assert [getattr(each, "taken_by", str(each)) for each in done] == [
        "mair",
        "mair has taken this alarm",
    ]
    assert len(desk.audited) == 1


async def test_only_an_administrator_releases_what_another_user_has_taken(desk):
    alarm = desk.raised("recording.fault", CALL)
    await desk.alarms.take(alarm.alarm_id, "mair", "user:mair")
    with pytest.raises(AlarmError, match="mair has taken"):
        await desk.alarms.release(alarm.alarm_id, "eleri", "user:eleri", for_others=False)
    free = await desk.alarms.release(alarm.alarm_id, "gwen", "user:gwen", for_others=True)
    assert free.state == "open"


async def test_a_report_during_a_decision_is_kept(desk):
    alarm = desk.raised("media.refused", CALL)
    desk.auditing.clear()
    taking = asyncio.create_task(desk.alarms.take(alarm.alarm_id, "mair", "user:mair"))
    await until(lambda: desk.audited != [])
    desk.raised("media.refused", CALL)
    desk.auditing.set()
    assert ((await taking).count, (await taking).state) == (2, "taken")


async def test_an_alarm_that_ends_during_a_decision_stays_closed(desk):
    alarm = desk.raised("payment.forgotten", CALL)
    desk.auditing.clear()
    taking = asyncio.create_task(desk.alarms.take(alarm.alarm_id, "mair", "user:mair"))
    await until(lambda: desk.audited != [])
    desk.alarms.call_changed(CALL, PAUSED, RECORDING)
    desk.auditing.set()
    with pytest.raises(AlarmError, match="closed"):
        await taking
    assert desk.state(alarm) == "closed"


async def test_open_and_taken_alarms_survive_a_restart(running):
    taken = running.raised("recording.fault", CALL, "no space", "Housing")
    await running.alarms.take(taken.alarm_id, "mair", "user:mair")
    running.raised("recording.fault", CALL, "no space", "Housing")
    running.raised("webhook.down")
    running.alarms.ended(Ending.DELIVERED)
    before = running.alarms.all()
    await running.alarms.stop()
    alarms = running.restarted()
    assert alarms.all() == []
    await alarms.start()
    assert sorted(alarms.all(), key=lambda each: each.kind) == sorted(
        before, key=lambda each: each.kind
    )
    assert alarms.raised(Alarm("recording.fault", CALL)).count == 3


async def until_stored(engine, alarm):
    """Wait until the database has this alarm, and no other one."""
    async with asyncio.timeout(WAIT_S):
        while True:
            if [each.alarm_id for each in await AlarmStore(engine).load(0, 9)] == [alarm.alarm_id]:
                return
            await asyncio.sleep(0.02)


async def test_the_running_list_writes_a_new_alarm_to_the_database(running, engine):
    await until_stored(engine, running.raised("recording.fault", CALL))


async def test_a_database_that_fails_loses_no_report_and_refuses_decisions(
    desk, engine, monkeypatch
):
    monkeypatch.setattr(alarm_list, "_RETRY_S", 0.05)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE alarms RENAME TO away"))
    await desk.alarms.start()
    writing = asyncio.create_task(desk.alarms.run())
    alarm = desk.raised("recording.fault", CALL)
    with pytest.raises(SQLAlchemyError):
        await desk.alarms.take(alarm.alarm_id, "mair", "user:mair")
    assert (desk.state(alarm), desk.changed) == ("open", [])
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO alarms"))
    await until_stored(engine, alarm)
    assert (await desk.alarms.take(alarm.alarm_id, "mair", "user:mair")).state == "taken"
    writing.cancel()


async def test_closed_alarms_are_removed_after_their_time(running, engine):
    old = running.raised("recording.fault", CALL)
    await running.alarms.close(old.alarm_id, "mair", "user:mair", "")
    kept = running.raised("recording.fault", OTHER)
    await running.alarms.stop()
    store = AlarmStore(engine)
    await store.expire(running.clock.now)
    assert len(await store.load(0, 9)) == 2
    await store.expire(running.clock.now + 1)
    assert await store.load(0, 9) == [kept]


async def test_the_number_of_closed_alarms_is_limited(desk, engine, monkeypatch):
    monkeypatch.setattr(alarm_list, "MOST_CLOSED", 3)
    monkeypatch.setattr(alarm_store, "MAX_CLOSED", 3)
    for number in range(9):
        desk.clock.now += 1
        alarm = desk.raised("recording.fault", f"20261125-101500-0000000{number}")
        await desk.alarms.close(alarm.alarm_id, "mair", "user:mair", "")
    assert len(desk.alarms.all()) == 3
    store = AlarmStore(engine)
    assert len(await store.load(0, 99)) == 9
    await store.expire(0)
    left = await store.load(0, 99)
    assert [str(each.call_id)[-1] for each in left] == ["6", "7", "8"]
    assert len(await store.load(0, 2)) == 2


async def test_a_changed_alarm_replaces_its_earlier_row(engine, desk):
    store = AlarmStore(engine)
    alarm = desk.raised("recording.fault", CALL)
    await store.save([alarm])
    await store.save([replace(alarm, count=7), replace(alarm, alarm_id="2")])
    assert {each.alarm_id: each.count for each in await store.load(0, 9)} == {
        alarm.alarm_id: 7,
        "2": 1,
    }


@pytest.fixture
def audited(engine, clock, tmp_path):
    """A list of alarms whose beginnings and ends are in the audit, as at a desk."""
    audit = AuditLog(engine, "test", tmp_path / "audit.key", clock)
    return AlarmList(
        *(engine, audit.append, lambda _: None),
        kept_s=30 * DAY_S,
        clock=clock,
        audit_after=audit.append_after,
    )


async def amiss(alarms):
    return [finding.problem for finding in await alarms.compared("test")]


async def test_an_open_alarm_whose_row_was_deleted_or_closed_by_sql_is_reported(
    engine, audited, clock
):
    lost = audited.raised(Alarm("recording.fault", CALL))
    hidden = audited.raised(Alarm("recording.fault", OTHER))
    await audited.stop()
    clock.now += 40 * DAY_S
    assert await amiss(audited) == []
    async with engine.begin() as connection:
        await connection.execute(text(f"DELETE FROM alarms WHERE alarm_id = '{lost.alarm_id}'"))
        await connection.execute(text("UPDATE alarms SET closed = 5"))
    assert set(await amiss(audited)) == {
        f"the audit has the alarm {lost.alarm_id}, but its row is gone",
        f"the alarm {hidden.alarm_id} was closed, and no entry says why",
    }


async def test_the_deleted_row_of_a_closed_alarm_is_reported_for_a_day(engine, audited, clock):
    by_person = audited.raised(Alarm("recording.fault", CALL))
    by_itself = audited.raised(Alarm("peer.down", None, "north 192.0.2.1:5060: SIP status 408"))
    await audited.stop()
    await audited.close(by_person.alarm_id, "mair", "user:mair", "done")
    audited.event("peer.up", "north 192.0.2.1:5060")
    await audited.stop()
    assert await amiss(audited) == []
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM alarms"))
    gone = {
        f"the audit has the alarm {each.alarm_id}, but its row is gone"
        for each in (by_person, by_itself)
    }
    assert set(await amiss(audited)) == gone
    clock.now += DAY_S + 1
    assert await amiss(audited) == []


async def test_an_alarm_that_comes_back_twenty_times_has_only_two_audit_entries(
    engine, audited, clock
):
    for _ in range(20):
        audited.raised(Alarm("peer.down", None, "north 192.0.2.1:5060: SIP status 408"))
        await audited.stop()
        audited.event("peer.up", "north 192.0.2.1:5060")
        await audited.stop()
        clock.now += 10
    async with engine.connect() as connection:
        kinds = (
            (await connection.execute(text("SELECT kind FROM audit_entries ORDER BY seq")))
            .scalars()
            .all()
        )
    assert kinds == ["day-key", "alarm.raised", "alarm.ended"]


async def test_alarms_are_stored_even_if_the_audit_fails(engine, audited, tmp_path):
    (tmp_path / "audit.key.next").mkdir()
    alarm = audited.raised(Alarm("recording.fault", CALL))
    await audited.stop()
    (stored,) = await AlarmStore(engine).load(0, 10)
    assert stored == alarm
