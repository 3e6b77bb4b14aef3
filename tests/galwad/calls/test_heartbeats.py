"""A pause holder that stops renewing its pause is reported once, and its pause stands."""

from __future__ import annotations

import msgspec
import pytest

from galwad.calls.live_calls import LiveCalls
from galwad.calls.pause_warnings import Heartbeats
from galwad.messages import CallerFacts, CallStatus, Party
from helpers.desk import Clock

CALL = "20261125-101500-aaaaaaaa"
HOLDER = "payment:crm-3f2a91bc"
WITHIN_S = 30.0
STATE = CallStatus(
    call_id=CALL,
    version=5,
    started=1000.0,
    since=1000.0,
    line="Council Tax",
    called="01632960999",
    caller=CallerFacts("+441632960001", "pstn.example"),
    state="answered",
    advisor=Party("201", "sian"),
    recording="paused",
    holders=(HOLDER,),
)
START = Clock.now


class Watch:
    """The alarms and the count so far, with the seconds since `START`."""

    def __init__(self, clock):
        self.clock = clock
        self.alarms = []
        self.count = 0
        self.calls = LiveCalls(lambda _before, _after: None)
        self.calls.changed(STATE)
        self.beats = Heartbeats(self.calls, self.warn, on_count=self.counted, clock=clock)

    def warn(self, kind, call):
        self.alarms.append((self.clock.now - START, call.call_id, kind))

    def counted(self, count):
        self.count = count

    def run(self, seconds):
        for _ in range(int(seconds / 0.5)):
            self.clock.now += 0.5
            self.beats.check()


@pytest.fixture
def watch(clock):
    return Watch(clock)


def test_a_holder_that_renews_in_time_is_not_reported(watch):
    for _ in range(20):
        watch.beats.beat(CALL, HOLDER, WITHIN_S)
        watch.run(WITHIN_S)
    assert (watch.alarms, watch.count) == ([], 0)


def test_a_holder_that_is_late_is_reported_once_and_keeps_its_pause(watch):
    watch.beats.beat(CALL, HOLDER, WITHIN_S)
    watch.run(WITHIN_S)
    assert watch.alarms == []
    watch.run(600)
    assert watch.alarms == [(WITHIN_S + 0.5, CALL, "payment.page_lost")]
    assert watch.count == 1
    assert watch.calls.get(CALL).state.holders == (HOLDER,)


def test_a_holder_that_comes_back_and_is_late_again_is_reported_again(watch):
    watch.beats.beat(CALL, HOLDER, WITHIN_S)
    watch.run(WITHIN_S + 1)
    watch.beats.beat(CALL, HOLDER, WITHIN_S)
    watch.run(1)
    assert (len(watch.alarms), watch.count) == (1, 0)
    watch.run(WITHIN_S)
    assert (len(watch.alarms), watch.count) == (2, 1)


def test_a_holder_whose_pause_or_call_has_ended_is_not_reported(watch):
    watch.beats.beat(CALL, HOLDER, WITHIN_S)
    watch.run(WITHIN_S - 1)
    watch.calls.changed(msgspec.structs.replace(STATE, version=6, holders=()))
    watch.run(60)
    watch.calls.changed(msgspec.structs.replace(STATE, version=7))
    watch.beats.beat(CALL, HOLDER, WITHIN_S)
    watch.beats.stop(CALL, HOLDER)
    watch.run(60)
    watch.beats.beat(CALL, HOLDER, WITHIN_S)
    watch.calls.ended(CALL, 2000.0, answered=False)
    watch.run(60)
    assert (watch.alarms, watch.count) == ([], 0)


def test_a_holder_that_the_switch_has_not_reported_yet_is_watched(watch):
    watch.calls.changed(msgspec.structs.replace(STATE, version=6, holders=()))
    watch.beats.beat(CALL, HOLDER, WITHIN_S)
    watch.run(3)
    watch.calls.changed(msgspec.structs.replace(STATE, version=7))
    watch.run(WITHIN_S)
    assert len(watch.alarms) == 1
