"""The acts of the page for an advisor's own call, and what is recorded of them.

Covers `galwad/switch/call/commands.py`, `galwad/switch/call/transfers.py` and `galwad/messages.py`
too.
"""

import asyncio

import pytest

from galwad.messages import ActState, PhoneAct, PhoneReply
from galwad.switch.call.clocks import read_clocks
from galwad.switch.call.commands import DeskCommands, address_of
from galwad.switch.edge.routing import AwayUsers
from helpers.recording.states import state_of
from helpers.switch import record_events
from recording.policy import RecordingState


@pytest.fixture
async def talk(centre, register):
    """The trunk has called, and 201 (sian) has answered. 202 and a department can be reached."""
    centre.trunk = centre.phone("192.0.2.1", "01632960001")
    centre.sian = centre.phone("192.0.2.201", "201", register)
    centre.trunk.call("01970000000")
    centre.ceri = centre.phone("192.0.2.202", "202", register)
    centre.department = centre.phone("192.0.2.30", "3001")
    (call,) = centre.calls.values()
    return call


@pytest.fixture
def act(centre, phones, talk):
    """Ask for an act as sian; return the reason why it was refused, or ""."""
    commands = DeskCommands(centre.calls, phones, AwayUsers())

    async def act(name, number="", *, call_id=talk.call_id, user="sian", extension="201"):
        order = PhoneAct(7, call_id, name, user, extension, f"user:{user}", number)
        reply = await commands.act(order)
        centre.run()
        assert reply == PhoneReply(7, reply.refused)
        return reply.refused

    return act


def gaps(events):
    return [fields for kind, fields, _ in events if kind == "gap-start"]


async def test_an_answered_call_offers_hang_up_hold_and_transfer(talk):
    offered = talk.state().acts
    assert offered == (ActState("hangup"), ActState("hold"), ActState("transfer"))


async def test_a_call_that_only_rings_offers_no_act(centre, register):
    trunk = centre.phone("192.0.2.1", "01632960001")
    centre.phone("192.0.2.201", "201", register).final = None
    trunk.call("01970000000")
    (call,) = centre.calls.values()
    assert call.state().acts == ()
    trunk.client.cancel(now=0)
    centre.run()


async def test_hanging_up_on_the_page_sends_a_bye_to_both_parties(centre, talk, act):
    assert await act("hangup") == ""
    assert centre.trunk.methods == ["BYE"]
    assert centre.sian.methods == ["BYE"]
    assert centre.calls == {}


@pytest.mark.parametrize("name", ["hangup", "hold", "transfer"])
@pytest.mark.parametrize("asker", [("ceri", "202"), ("ceri", "201"), ("", "")])
async def test_an_act_of_another_user_is_refused(centre, talk, act, name, asker):
    assert await act(name, "3001", user=asker[0], extension=asker[1]) == "not_yours"
    assert centre.sian.requests == centre.trunk.requests == []
    assert state_of(talk.recording) is RecordingState.RECORDING


async def test_an_act_for_an_unknown_call_or_of_an_unknown_kind_is_refused(talk, act):
    assert await act("hangup", call_id="none") == "no_call"
    assert await act("explode") == "not_now"
    assert await act("resume") == "not_now"


async def test_a_hold_is_shown_as_a_hold_and_the_recording_goes_on(centre, talk, act):
    events = record_events(talk)
    assert await act("hold") == ""
    assert talk.state().state == "held"
    assert ActState("resume") in talk.state().acts
    assert state_of(talk.recording) is RecordingState.RECORDING
    assert b"a=inactive" in centre.trunk.requests[-1].body
    assert await act("resume") == ""
    assert talk.state().state == "answered"
    assert b"a=sendrecv" in centre.trunk.requests[-1].body
    assert [kind for kind, _, _ in events if kind in {"hold", "resume"}] == ["hold", "resume"]
    assert gaps(events) == []


async def test_a_hold_on_the_phone_cannot_be_changed_on_the_page(centre, talk, act):
    centre.sian.ask("INVITE")
    assert talk.state().acts[1] == ActState("hold", "on_hold")
    assert await act("hold") == "on_hold"


async def test_a_call_that_the_caller_holds_can_be_held_on_the_page_too(centre, talk, act):
    centre.trunk.ask("INVITE")
    assert talk.state().state == "held"
    assert await act("hold") == ""
    assert ActState("resume") in talk.state().acts
    assert await act("resume") == ""
    assert talk.state().state == "held"
    assert ActState("hold") in talk.state().acts


async def test_a_transfer_on_the_page_to_a_department_ceases_the_recording(centre, talk, act):
    events = record_events(talk)
    assert await act("transfer", "30 01") == ""
    assert state_of(talk.recording) is RecordingState.CEASED
    (gap,) = gaps(events)
    assert (gap["reason"], gap["trigger"], gap["actor"]) == (
        "transfer",
        "page-transfer",
        "user:sian",
    )
    assert centre.sian.methods[-1] == "BYE"
    assert talk.state().transfers == talk.state().transfers_begun == 1


async def test_the_recording_goes_on_while_the_target_of_a_transfer_rings(centre, talk, act):
    centre.department.final = None
    assert await act("transfer", "3001") == ""
    assert state_of(talk.recording) is RecordingState.RECORDING
    assert talk.state().transferring == "department"
    centre.department.answer()
    assert state_of(talk.recording) is RecordingState.CEASED


async def test_a_transfer_on_the_page_to_a_colleague_begins_a_segment(talk, act):
    events = record_events(talk)
    assert await act("transfer", "202") == ""
    assert talk.state().advisor.extension == "202"
    assert state_of(talk.recording) is RecordingState.RECORDING
    assert "segment" in [kind for kind, _, _ in events]
    assert gaps(events) == []


@pytest.mark.parametrize("status", [486, 603, 480, 404])
async def test_a_failed_transfer_is_shown_with_its_status_until_the_next_transfer(
    centre, talk, act, status
):
    centre.department.final = status
    assert await act("transfer", "3001") == ""
    shown = talk.state()
    assert (shown.transfer_failed, shown.transfers_begun, shown.transferring) == (status, 1, "")
    assert shown.advisor.extension == "201"
    assert state_of(talk.recording) is RecordingState.RECORDING
    centre.ceri.final = None
    assert await act("transfer", "202") == ""
    assert (talk.state().transfer_failed, talk.state().transfers_begun) == (0, 2)


async def test_a_failed_transfer_by_the_phone_is_shown_with_its_status(centre, talk):
    centre.department.final = 486
    centre.sian.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))
    assert (talk.state().transfer_failed, talk.state().transfers_begun) == (486, 1)


async def test_a_transfer_to_an_unknown_or_empty_number_is_refused(centre, talk, act):
    assert await act("transfer", "777") == "unknown_number"
    assert await act("transfer", "") == "unknown_number"
    assert talk.state().transfers_begun == 0
    assert centre.sian.requests == []


async def test_a_second_transfer_is_refused_while_the_target_of_the_first_rings(centre, talk, act):
    centre.department.final = None
    assert await act("transfer", "3001") == ""
    assert talk.state().acts[-1] == ActState("transfer", "transferring")
    assert await act("transfer", "202") == "transferring"


async def test_hanging_up_while_the_target_rings_ceases_the_recording(centre, talk, act):
    events = record_events(talk)
    centre.department.final = None
    await act("transfer", "3001")
    assert await act("hangup") == ""
    assert state_of(talk.recording) is RecordingState.CEASED
    assert gaps(events)[0]["actor"] == "user:sian"
    assert centre.sian.methods == ["BYE"]
    assert centre.trunk.methods == []
    assert await act("hangup") == "not_now"


async def test_an_unexpected_failure_of_an_act_gets_the_reply_failed(talk, act, monkeypatch):
    def fail(_now):
        raise RuntimeError

    monkeypatch.setattr(talk.legs, "hang_up_callee", fail)
    assert await act("hangup") == "failed"


def test_the_address_of_a_typed_number_has_no_separators_and_escapes_special_characters():
    (clean, odd) = map(address_of, ["(01970) 123-456.7", "a@b;c>d"])
    assert clean is not None
    assert odd is not None
    assert str(clean.uri) == "sip:019701234567@galwad.invalid"
    assert "@" not in str(odd.uri.user)
    assert address_of(" -") is None


@pytest.fixture
async def ringing(centre, register):
    """A call from the trunk that rings at 201 (sian), whose phone knows the event "talk"."""
    centre.trunk = centre.phone("192.0.2.1", "01632960001")
    centre.sian = centre.phone("192.0.2.201", "201", register)
    centre.sian.final = None
    centre.sian.allow_events = "hold, talk"

    def ringing():
        centre.trunk.call("01970000000")
        (call,) = centre.calls.values()
        return call

    return ringing


@pytest.fixture
def answer(centre, phones):
    """Ask to answer a call as a user; return the reason why it was refused, or ""."""
    commands = DeskCommands(centre.calls, phones, AwayUsers())

    async def answer(call, user="sian", extension="201"):
        order = PhoneAct(8, call.call_id, "answer", user, extension, f"user:{user}")
        return (await commands.act(order)).refused

    return answer


async def test_a_phone_that_knows_the_event_talk_is_asked_to_answer(centre, ringing, answer):
    call = ringing()
    (shown,) = centre.links.shown.values()
    assert [party.extension for party in shown.answerable] == ["201"]
    asked = asyncio.create_task(answer(call))
    await asyncio.sleep(0)
    centre.run()
    assert await asked == ""
    (notify,) = centre.sian.requests
    assert (notify.method, notify.headers.get("Event")) == ("NOTIFY", "talk")
    assert call.state().state == "answered"
    assert call.state().answerable == ()
    call.hangup("test", read_clocks())
    centre.run()


@pytest.mark.parametrize("asker", ["ceri 202", "ceri 201", " "])
async def test_only_the_user_whose_phone_rings_can_answer(centre, ringing, answer, asker):
    call = ringing()
    user, extension = asker.split(" ")
    assert await answer(call, user, extension) == "not_yours"
    assert centre.sian.requests == []
    call.hangup("test", read_clocks())
    centre.run()


async def test_a_phone_that_does_not_know_the_event_talk_is_not_asked_and_must_be_answered_by_hand(
    centre, ringing, answer
):
    centre.sian.allow_events = "refer"
    call = ringing()
    assert call.state().answerable == ()
    assert await answer(call) == "answer_on_phone"
    assert centre.sian.requests == []
    call.hangup("test", read_clocks())
    centre.run()


@pytest.mark.parametrize(("status", "refused"), [(489, "phone_refused"), (None, "phone_silent")])
async def test_a_phone_that_refuses_or_ignores_the_request_to_answer_keeps_ringing(
    centre, ringing, answer, status, refused
):
    centre.sian.notify_status = status
    call = ringing()
    asked = asyncio.create_task(answer(call))
    await asyncio.sleep(0)
    centre.run()
    assert await asked == refused
    assert call.state().state == "ringing"
    centre.sian.answer()
    assert call.state().state == "answered"
    call.hangup("test", read_clocks())
    centre.run()


async def test_answering_a_call_that_ends_meanwhile_is_reported_as_refused_by_the_phone(
    centre, ringing, answer
):
    centre.sian.notify_status = None
    call = ringing()
    asked = asyncio.create_task(answer(call))
    await asyncio.sleep(0)
    centre.run()
    call.hangup("test", read_clocks())
    centre.run()
    assert await asked == "phone_refused"
