"""The pauses of one call: the gate shuts at once, and a phone's answer waits for the disk."""

import asyncio
from typing import cast

import pytest
import structlog

from galwad.switch.call.call_recording import CallRecording
from galwad.switch.call.checkpoints import CallPause
from galwad.switch.call.clocks import Now
from galwad.switch.call.pauses import PauseAction, Pauses, PaymentCodes
from recording.policy import Trigger
from telephony.sip.message.messages import parse_message


class FakeRecording:
    """Records its calls; its disk answers when the test sets the result."""

    def __init__(self):
        self.done = []
        self.triggers = []
        self.disk = asyncio.get_running_loop().create_future()

    def shut(self, pause, _arrived=None, _begun=None):
        self.done.append(("shut", pause.holder, pause.trigger))

    def triggered(self, trigger, actor, arrived_mono=None, begun_mono=None):
        self.triggers.append((trigger, actor, arrived_mono, begun_mono))

    async def resume(self, holder, _actor):
        self.done.append(("release", holder))
        return await self.disk

    async def make_durable(self):
        return await self.disk


class Desk:
    """The holds of a call with the phone 201, and their answers and alarms."""

    def __init__(self):
        self.recording = FakeRecording()
        self.answers: list[tuple] = []
        self.alarms: list = []
        self.pauses = Pauses(
            lambda: [cast("CallRecording", self.recording)],
            PaymentCodes("*71", "*72"),
            actor=lambda: "phone:201",
            alarm=self.alarms.append,
            log=structlog.get_logger(),
        )

    def press(self, request_id, value):
        """Press the record key."""
        self.pauses.record_key(
            value, NOW, lambda status, _reason, _now: self.answers.append((request_id, status))
        )

    async def settled(self):
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def desk():
    return Desk()


NOW = Now(0.0, 100.0, 100.0)
WORDS = {PauseAction.PAUSE: "off", PauseAction.RESUME: "on"}


@pytest.mark.parametrize(("durable", "status"), [(True, 200), (False, 500)])
@pytest.mark.parametrize("action", list(PauseAction))
async def test_a_record_key_is_answered_only_after_the_disk_has_answered(
    desk, action, durable, status
):
    desk.press(7, WORDS[action])
    await desk.settled()
    assert desk.answers == []
    assert desk.recording.done[0][0] == ("shut" if action is PauseAction.PAUSE else "release")
    desk.recording.disk.set_result(durable)
    await desk.settled()
    assert desk.answers == [(7, status)]
    assert desk.alarms == ([] if durable else ["recording.not_durable"])


async def test_a_pause_by_record_key_shuts_the_gate_at_once(desk):
    desk.press(7, "Off")
    assert desk.recording.done == [("shut", "phone:201", Trigger.PHONE)]
    desk.recording.disk.set_result(True)
    await desk.settled()


async def test_a_pause_right_after_a_resume_cancels_the_resume(desk):
    desk.press(7, "on")
    desk.press(8, "off")
    desk.recording.disk.set_result(True)
    await desk.settled()
    assert desk.recording.done == [("shut", "phone:201", Trigger.PHONE)]
    assert sorted(desk.answers) == [(7, 200), (8, 200)]


@pytest.mark.parametrize("value", ["", "yes", "off, on", "offoff"])
async def test_an_unknown_record_value_is_refused_with_400_and_raises_an_alarm(desk, value):
    desk.press(7, value)
    await desk.settled()
    assert desk.answers == [(7, 400)]
    assert desk.alarms == ["record_key.unknown"]
    assert desk.recording.done == []


async def test_a_pause_by_the_page_shuts_the_gate_once_before_waiting_for_the_disk(desk):
    confirmed = desk.pauses.pause(CallPause("user:sian", Trigger.PAGE, "user:sian"))
    assert desk.recording.done == [("shut", "user:sian", Trigger.PAGE)]
    desk.recording.disk.set_result(True)
    assert await confirmed
    assert desk.recording.done == [("shut", "user:sian", Trigger.PAGE)]


async def test_a_pause_that_the_disk_does_not_confirm_shuts_the_gate_and_raises_an_alarm(desk):
    desk.recording.disk.set_result(False)
    assert not await desk.pauses.pause(CallPause("api:till", Trigger.API, "api:till"))
    assert desk.recording.done == [("shut", "api:till", Trigger.API)]
    assert desk.alarms == ["recording.not_durable"]


@pytest.mark.parametrize("value", ["off", "on"])
async def test_only_a_record_key_that_pauses_is_recorded_as_a_trigger(desk, value):
    desk.press(7, value)
    pause = (Trigger.PHONE, "phone:201", NOW.arrived, None)
    assert desk.recording.triggers == ([pause] if value == "off" else [])


@pytest.mark.parametrize("code", ["*71", "*72"])
async def test_only_a_code_that_pauses_is_recorded_as_a_trigger(desk, code):
    for key in code:
        request = parse_message(
            b"INFO sip:201@galwad SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
            b"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 2 INFO\r\n"
            + f"Content-Type: application/dtmf-relay\r\n\r\nSignal={key}\r\n".encode()
        )
        desk.pauses.info(request, NOW)
    pause = (Trigger.DTMF, "phone:201", NOW.arrived, NOW.arrived)
    assert desk.recording.triggers == ([pause] if code == "*71" else [])


async def test_two_resumes_by_record_key_release_the_pause_once(desk):
    desk.press(7, "on")
    desk.press(8, "on")
    desk.recording.disk.set_result(True)
    await desk.settled()
    assert desk.recording.done == [("release", "phone:201")]
    assert sorted(desk.answers) == [(7, 200), (8, 200)]


async def test_a_superseded_and_a_not_durable_request_are_logged_with_their_states(desk):
    with structlog.testing.capture_logs() as logs:
        desk.press(7, "on")
        desk.press(8, "off")
        desk.recording.disk.set_result(False)
        await desk.settled()
    states = [(log["before"], log["state"]) for log in logs if log["event"] == "payment.request"]
    assert states == [("waiting", "superseded"), ("confirming", "not durable")]
