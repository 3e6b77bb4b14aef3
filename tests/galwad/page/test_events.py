"""The events for pages, and what each viewer sees of live calls.

Covers `galwad/calls/live_calls.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter

import msgspec
import pytest

from galwad.calls.bodies import Presence, PresenceNews, PresenceState
from galwad.calls.live_calls import LiveCalls
from galwad.calls.subject import AlarmNews
from galwad.host.streams import MAX_STREAMS_PER_SESSION, WAKEN_AT_ONCE, Follower, Streams
from galwad.messages import CallerFacts, CallStatus, Party
from galwad.notes.rules import NoteDraft
from galwad.page.events import EventHub
from galwad.people.user import User
from helpers.notes import written

SIAN = User("sian", "advisor", extension="201")
HUW = User("huw", "advisor", extension="202")
MAIR = User("mair", "supervisor")
PAY = User("pay", "machine")
ALARM = AlarmNews("x", None, None, "supervisors")
CALL = CallStatus(
    call_id="20261125-101500-aaaaaaaa",
    version=5,
    started=1000.0,
    since=1000.0,
    line="Council Tax",
    called="01632960999",
    caller=CallerFacts("+441632960001", "pstn.example"),
    state="answered",
    advisor=Party("201", "sian"),
    recording="recording",
)


@pytest.fixture
def hub():
    return EventHub(Streams(), memory=4)


@pytest.fixture
def calls(hub):
    return LiveCalls(hub.call)


def test_a_reader_gets_only_the_events_that_it_has_not_seen(hub, calls):
    start = hub.last
    calls.changed(CALL)
    assert [event.id for event in hub.since(start)] == [start + 1]
    assert hub.since(hub.last) == []


def test_a_reader_whose_position_is_not_in_memory_needs_a_snapshot(hub):
    start = hub.last
    for _ in range(5):
        hub.alarm(ALARM)
    assert hub.since(start) is None
    assert len(hub.since(start + 1)) == 4
    assert hub.since(hub.last + 1) is None
    assert hub.since(-1) is None


async def test_waiting_ends_with_an_event_a_timeout_or_the_hubs_close(hub):
    for wake in (lambda: hub.alarm(ALARM), hub.streams.close):
        waiting = asyncio.create_task(
            hub.streams.wait(hub.streams.follow("s", "sian"), hub.streams.wake_count, 60)
        )
        await asyncio.sleep(0)
        wake()
        async with asyncio.timeout(60):
            await waiting
    async with asyncio.timeout(60):
        await hub.streams.wait(hub.streams.follow("s", "sian"), hub.streams.wake_count, 0)


async def test_a_wake_up_between_reading_and_waiting_is_not_missed(hub):
    turn = hub.streams.wake_count
    hub.streams.close()
    async with asyncio.timeout(60):
        await hub.streams.wait(hub.streams.follow("s", "sian"), turn, 60)


async def test_streams_are_woken_in_groups_with_other_work_between_them(hub):
    followers = [
        hub.streams.follow(f"session {number}", "sian") for number in range(3 * WAKEN_AT_ONCE)
    ]
    order = []

    async def stream(follower):
        await hub.streams.wait(follower, hub.streams.wake_count, 60)
        order.append("stream")

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(stream(follower))
        await asyncio.sleep(0)
        hub.alarm(ALARM)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        order.append("other work")
    assert order.index("other work") <= 2 * WAKEN_AT_ONCE
    assert order.count("stream") == len(followers)


async def test_other_work_goes_on_for_a_while_between_two_groups_of_streams(hub):
    followers = [
        hub.streams.follow(f"session {number}", "sian") for number in range(3 * WAKEN_AT_ONCE)
    ]
    order = []

    async def stream(follower):
        await hub.streams.wait(follower, hub.streams.wake_count, 60)
        time.sleep(0.002)  # noqa: ASYNC251 - as an event that takes long to send
        order.append("stream")

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(stream(follower))
        await asyncio.sleep(0)
        hub.alarm(ALARM)
        while order.count("stream") < len(followers):
            order.append("other work")
            await asyncio.sleep(0)
    groups = [len(list(run)) for kind, run in itertools.groupby(order) if kind == "stream"]
    works = [len(list(run)) for kind, run in itertools.groupby(order) if kind == "other work"]
    assert groups == [WAKEN_AT_ONCE] * 3
    assert any(work > 3 for work in works[1:])  # a busy machine may use up a rest of 50 ms


async def test_a_stream_that_waits_again_during_a_wake_up_is_not_woken_twice(hub):
    followers = [
        hub.streams.follow(f"session {number}", "sian") for number in range(3 * WAKEN_AT_ONCE)
    ]
    woken: Counter[Follower] = Counter()
    all_woken = asyncio.Event()

    async def stream(follower):
        while True:
            await hub.streams.wait(follower, hub.streams.wake_count, 60)
            woken[follower] += 1
            if len(woken) == len(followers):
                all_woken.set()

    streams = [asyncio.create_task(stream(follower)) for follower in followers]
    await asyncio.sleep(0)
    hub.alarm(ALARM)
    async with asyncio.timeout(60):
        await all_woken.wait()
    await asyncio.sleep(0.05)
    assert set(woken.values()) == {1}
    for each in streams:
        each.cancel()
    await asyncio.gather(*streams, return_exceptions=True)


async def test_a_stream_above_the_limit_of_its_session_replaces_the_oldest_stream(hub):
    first, *others = [hub.streams.follow("sian", "sian") for _ in range(MAX_STREAMS_PER_SESSION)]
    hub.streams.follow("huw", "sian")
    waiting = asyncio.create_task(hub.streams.wait(first, hub.streams.wake_count, 60))
    await asyncio.sleep(0)
    hub.streams.follow("sian", "sian")
    async with asyncio.timeout(60):
        await waiting
    assert first.replaced
    assert not any(follower.replaced for follower in others)
    hub.streams.unfollow("sian", first)
    hub.streams.unfollow("sian", others[0])
    hub.streams.follow("sian", "sian")
    assert not others[1].replaced


def test_users_with_equal_views_share_one_encoding_and_others_have_their_own(hub, calls):
    start = hub.last
    calls.changed(CALL)
    calls.ended(CALL.call_id, 2000.0, answered=False)
    hub.alarm(ALARM)
    changed, closed, alarm = hub.since(start)
    other = User("ann", "supervisor")
    assert changed.encoded_for(MAIR) is changed.encoded_for(other)
    assert json.loads(data(changed.encoded_for(SIAN)))["mine"] is True
    assert json.loads(data(changed.encoded_for(MAIR)))["mine"] is False
    assert changed.encoded_for(HUW) is None
    for event, kind in ((changed, b"call"), (closed, b"closed"), (alarm, b"alarm")):
        lines = event.encoded_for(MAIR).split(b"\n")
        assert lines[:2] == [b"event: " + kind, b"id: %d" % event.id]
        assert event.encoded_for(MAIR).endswith(b"\n\n")
    assert alarm.encoded_for(HUW) is None


def data(event):
    return event.split(b"data: ")[1]


def test_an_older_version_of_a_calls_state_is_ignored(calls):
    calls.changed(CALL)
    calls.changed(msgspec.structs.replace(CALL, version=4, recording="paused"))
    assert calls.get(CALL.call_id).state.recording == "recording"


def test_a_snapshot_from_a_restarted_switch_replaces_newer_versions(calls):
    calls.changed(CALL)
    calls.snapshot([msgspec.structs.replace(CALL, version=1, recording="paused")], 2000.0)
    assert calls.get(CALL.call_id).state.recording == "paused"


def test_a_call_is_visible_only_to_its_advisor_and_supervisors(hub, calls):
    start = hub.last
    calls.changed(CALL)
    (event,) = hub.since(start)
    assert event.view_for(SIAN)[0] == "call"
    assert event.view_for(MAIR)[0] == "call"
    assert event.view_for(HUW) is None
    assert event.view_for(PAY) is None


def test_only_the_advisor_in_a_live_call_counts_as_talking(calls):
    calls.changed(CALL)
    call = calls.get(CALL.call_id)
    assert call.is_talking(SIAN)
    assert not call.is_talking(MAIR)
    calls.ended(CALL.call_id, 2000.0, answered=True)
    assert not calls.get(CALL.call_id).is_talking(SIAN)


def test_a_call_that_rings_an_extension_without_a_user_concerns_the_owner_of_the_extension(calls):
    ringing = msgspec.structs.replace(CALL, state="ringing", advisor=None, ringing=(Party("202"),))
    calls.changed(ringing)
    call = calls.get(CALL.call_id)
    assert call.concerns(HUW)
    assert not call.concerns(SIAN)


def test_a_presence_is_sent_to_its_advisor_and_encoded_once_for_all_supervisors(hub):
    advisors = [
        Presence(name, None, PresenceState.BREAK, since=1.0, on_break=True)
        for name in ("sian", "gwen")
    ]
    hub.presence(PresenceNews(advisors=advisors, gone=["old"]))
    (event,) = hub.since(hub.last - 1)
    own, all_of_them = json.loads(data(event.encoded_for(SIAN))), event.encoded_for(MAIR)
    assert ([each["user"] for each in own["advisors"]], own["gone"]) == (["sian"], [])
    assert [each["user"] for each in json.loads(data(all_of_them))["advisors"]] == ["sian", "gwen"]
    assert event.encoded_for(User("nia", "admin")) is all_of_them
    assert (event.encoded_for(HUW), event.encoded_for(PAY)) == (None, None)


def the_call(calls):
    (call,) = calls.all()
    return call


def wrapping(calls, users=(SIAN, HUW, MAIR)):
    return [user.name for user in users if calls.is_wrapping_up(user)]


def test_an_advisor_is_in_wrap_up_from_the_end_of_a_call_until_the_limit(hub, clock):
    calls = LiveCalls(hub.call, wrapup_limit=120, clock=clock)
    calls.changed(CALL)
    assert wrapping(calls) == []
    assert the_call(calls).view(SIAN).wrap_up_until is None
    calls.ended(CALL.call_id, clock.now, answered=True)
    assert wrapping(calls) == ["sian"]
    assert the_call(calls).view(SIAN).wrap_up_until == clock.now + 120
    clock.now += 120
    assert wrapping(calls) == []
    assert the_call(calls).view(SIAN).state == "wrapup"


def test_without_a_limit_an_advisor_is_in_wrap_up_until_the_note_is_saved(hub, clock):
    calls = LiveCalls(hub.call, wrapup_limit=0, clock=clock)
    calls.changed(CALL)
    calls.ended(CALL.call_id, clock.now, answered=True)
    clock.now += 86_400
    assert wrapping(calls) == ["sian"]
    assert the_call(calls).view(SIAN).wrap_up_until is None
    calls.note_saved(CALL.call_id, written("Waste", "cy"))
    assert wrapping(calls) == []


def test_the_wrap_up_after_a_transfer_begins_with_the_transfer(hub, clock):
    calls = LiveCalls(hub.call, wrapup_limit=120, clock=clock)
    calls.changed(CALL)
    department = msgspec.structs.replace(CALL, version=6, advisor=Party("301"))
    calls.changed(department)
    began = clock.now
    assert wrapping(calls) == ["sian"]
    assert the_call(calls).view(MAIR).wrap_up_until is None
    clock.now += 60
    calls.changed(msgspec.structs.replace(department, version=7, recording="ceased"))
    calls.ended(CALL.call_id, clock.now, answered=True)
    assert the_call(calls).wrapup_until == began + 120


def test_a_draft_is_sent_only_to_its_author_although_others_see_the_call(hub, calls):
    calls.changed(CALL)
    note = written("", "cy", notes="Bin ddu")
    calls.draft_saved(NoteDraft(CALL.call_id, "sian", "0" * 16, 1, note, 7))
    start = hub.last
    calls.changed(msgspec.structs.replace(CALL, version=6, recording="paused"))
    (event,) = hub.since(start)
    for user, sent in ((MAIR, False), (SIAN, True), (MAIR, False)):
        assert (b"Bin ddu" in event.encoded_for(user)) is sent


async def test_a_refresh_wakes_only_the_streams_of_one_user(hub):
    sian, huw = hub.streams.follow("one", "sian"), hub.streams.follow("two", "huw")
    waiting = [
        asyncio.create_task(hub.streams.wait(each, hub.streams.wake_count, 60))
        for each in (sian, huw)
    ]
    await asyncio.sleep(0)
    hub.streams.refresh("sian", CALL.call_id)
    async with asyncio.timeout(60):
        await waiting[0]
    assert (sian.stale, huw.stale) == ({CALL.call_id}, set())
    assert not waiting[1].done()
    hub.streams.close()
    await waiting[1]
    async with asyncio.timeout(60):
        await hub.streams.wait(sian, hub.streams.wake_count, 60)
    hub.streams.unfollow("one", sian)
    hub.streams.refresh("sian", "20261125-101500-bbbbbbbb")
    assert sian.stale == {CALL.call_id}
