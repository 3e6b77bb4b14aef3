"""A forgotten pause warns its advisor and later the supervisors, and never ends by itself."""

from __future__ import annotations

import time

import msgspec
import pytest

from galwad.calls.live_calls import LiveCalls
from galwad.calls.pause_warnings import ForgottenPauses
from galwad.calls.payments import (
    PauseRequest,
    PaymentPage,
    PaymentTarget,
    PaymentTokenRequest,
)
from galwad.host.bodies import RequestBody
from galwad.messages import CallerFacts, CallStatus, Party, Pause, Resume
from helpers.desk import Clock

CALL = "20261125-101500-aaaaaaaa"
OTHER = "20261125-101500-bbbbbbbb"
REMINDER_S = 45.0
ALARM_S = 90.0
START = Clock.now


def paused(call_id=CALL, since=START, **more):
    return CallStatus(
        call_id=call_id,
        started=since - 60,
        since=since - 55,
        line="Council Tax",
        called="01632960999",
        caller=CallerFacts("+441632960001", "pstn.example"),
        state="answered",
        advisor=Party("201", "sian"),
        **{"version": 5, "recording": "paused", "recording_since": since, **more},
    )


class Warned:
    """The alarms and counts so far, each with the seconds since `START`."""

    def __init__(self, clock):
        self.clock = clock
        self.alarms = []
        self.count = 0
        self.calls = LiveCalls(lambda _before, _after: None)
        self.pauses = ForgottenPauses(
            self.calls,
            self.warn,
            advisor_s=REMINDER_S,
            supervisor_s=ALARM_S,
            on_count=self.counted,
            clock=clock,
        )

    def warn(self, kind, call):
        self.alarms.append((self.clock.now - START, call.call_id, kind))

    def counted(self, count):
        self.count = count

    def run(self, seconds, step=0.5):
        """Check as often as the desk does, or more often, for so many seconds."""
        for _ in range(int(seconds / step)):
            self.clock.now += step
            self.pauses.check()


@pytest.fixture
def warned(clock):
    return Warned(clock)


def test_the_advisor_is_warned_after_the_reminder_time_and_the_supervisor_after_the_alarm_time(
    warned,
):
    warned.calls.changed(paused())
    warned.run(REMINDER_S - 0.5)
    assert warned.alarms == []
    warned.run(0.5)
    first = (REMINDER_S, CALL, "payment.forgotten")
    assert warned.alarms == [first]
    warned.run(ALARM_S - REMINDER_S - 0.5)
    assert (warned.alarms, warned.count) == ([first], 0)
    warned.run(0.5)
    second = (ALARM_S, CALL, "payment.forgotten_long")
    assert (warned.alarms, warned.count) == ([first, second], 1)
    warned.run(600)
    assert (warned.alarms, warned.count) == ([first, second], 1)


def test_the_metric_counts_the_long_pauses_that_last_now(warned):
    warned.calls.changed(paused())
    warned.run(30)
    warned.calls.changed(paused(OTHER, START + 30))
    warned.run(ALARM_S)
    assert warned.count == 2
    warned.calls.changed(paused(version=6, recording="recording"))
    warned.run(1)
    assert warned.count == 1
    warned.calls.ended(OTHER, warned.clock.now, answered=True)
    warned.run(1)
    assert warned.count == 0


def test_a_second_pause_of_a_call_is_timed_from_its_own_start(warned):
    warned.calls.changed(paused())
    warned.run(REMINDER_S)
    warned.calls.changed(paused(version=6, recording="recording"))
    warned.run(10)
    warned.calls.changed(paused(version=7, recording_since=warned.clock.now))
    warned.run(REMINDER_S)
    assert [(at, kind) for at, _, kind in warned.alarms] == [
        (REMINDER_S, "payment.forgotten"),
        (REMINDER_S + 10 + REMINDER_S, "payment.forgotten"),
    ]


def test_a_call_that_is_not_paused_for_a_payment_raises_no_warning(warned):
    for number, state in enumerate(["recording", "ceased", "fault", "not_started", "ended"]):
        warned.calls.changed(paused(f"20261125-101500-aaaaaaa{chr(98 + number)}", recording=state))
    warned.run(2 * ALARM_S)
    assert (warned.alarms, warned.count) == ([], 0)


async def test_a_pause_of_thirty_days_is_counted_and_not_released(running):
    sian = await running.answered(CALL)
    mair = await running.page("mair")
    await mair.open()
    await sian.http.put(f"/api/v1/calls/{CALL}/payment")
    long_ago = time.time() - 30 * 86400
    running.switch.change(CALL, recording_since=long_ago)
    await mair.event("alarm", lambda alarm: alarm["kind"] == "payment.forgotten_long")
    await sian.event("alarm", lambda alarm: alarm["kind"] == "payment.forgotten_long")
    text = (await running.client().get("/api/v1/metrics")).text
    assert "galwad_desk_forgotten_pauses 1.0" in text
    assert running.switch.calls[CALL].holders == ("page:sian",)
    assert running.switch.of(Resume) == []


async def test_a_snapshot_has_the_times_after_which_the_page_must_warn_of_a_pause(running):
    page = await running.page("sian")
    snapshot = await page.open()
    assert (snapshot["pause_reminder"], snapshot["pause_alarm"]) == (120, 300)


def test_no_request_to_pause_can_name_a_time_at_which_recording_resumes():
    bodies: tuple[type[RequestBody], ...] = (
        *(PauseRequest, PaymentTarget),
        *(PaymentPage, PaymentTokenRequest),
    )
    assert {name for body in bodies for name in body.model_fields} == {
        *("holder", "call_id", "advisor", "extension"),
        "heartbeat",  # only warns
    }
    assert {field.name for field in msgspec.structs.fields(Pause)} == {
        *("ref", "holder", "trigger", "actor", "call_id", "extension", "user"),
        "arrived_mono",  # when the request arrived
    }
