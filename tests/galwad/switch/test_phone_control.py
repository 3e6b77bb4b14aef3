"""The acts of the page for an advisor's own call, and what is recorded of them.

Covers `galwad/switch/commands.py`, `galwad/switch/transfers.py` and `galwad/messages.py` too.
"""

import pytest

from galwad.messages import ActState, PhoneAct, PhoneReply
from galwad.switch.away import AwayUsers
from galwad.switch.commands import DeskCommands
from galwad.switch.phone_control import address_of
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

    def act(name, number="", *, call_id=talk.call_id, user="sian", extension="201"):
        order = PhoneAct(7, call_id, name, user, extension, f"user:{user}", number)
        reply = commands.act(order)
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
    assert act("hangup") == ""
    assert centre.trunk.methods == ["BYE"]
    assert centre.sian.methods == ["BYE"]
    assert centre.calls == {}


@pytest.mark.parametrize("name", ["hangup", "hold", "transfer"])
@pytest.mark.parametrize("asker", [("ceri", "202"), ("ceri", "201"), ("", "")])
async def test_an_act_of_another_user_is_refused(centre, talk, act, name, asker):
    assert act(name, "3001", user=asker[0], extension=asker[1]) == "not_yours"
    assert centre.sian.requests == centre.trunk.requests == []
    assert state_of(talk.recording) is RecordingState.RECORDING


async def test_an_act_for_an_unknown_call_or_of_an_unknown_kind_is_refused(talk, act):
    assert act("hangup", call_id="none") == "no_call"
    assert act("explode") == "not_now"
    assert act("resume") == "not_now"


async def test_a_hold_is_shown_as_a_hold_and_the_recording_goes_on(centre, talk, act):
    events = record_events(talk)
    assert act("hold") == ""
    assert talk.state().state == "held"
    assert ActState("resume") in talk.state().acts
    assert state_of(talk.recording) is RecordingState.RECORDING
    assert b"a=inactive" in centre.trunk.requests[-1].body
    assert act("resume") == ""
    assert talk.state().state == "answered"
    assert b"a=sendrecv" in centre.trunk.requests[-1].body
    assert [kind for kind, _, _ in events if kind in {"hold", "resume"}] == ["hold", "resume"]
    assert gaps(events) == []


async def test_a_hold_on_the_phone_cannot_be_changed_on_the_page(centre, talk, act):
    centre.sian.ask("INVITE")
    assert talk.state().acts[1] == ActState("hold", "on_hold")
    assert act("hold") == "on_hold"


async def test_a_transfer_on_the_page_to_a_department_ceases_the_recording(centre, talk, act):
    events = record_events(talk)
    assert act("transfer", "30 01") == ""
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
    assert act("transfer", "3001") == ""
    assert state_of(talk.recording) is RecordingState.RECORDING
    assert talk.state().transferring == "department"
    centre.department.answer()
    assert state_of(talk.recording) is RecordingState.CEASED


async def test_a_transfer_on_the_page_to_a_colleague_begins_a_segment(talk, act):
    events = record_events(talk)
    assert act("transfer", "202") == ""
    assert talk.state().advisor.extension == "202"
    assert state_of(talk.recording) is RecordingState.RECORDING
    assert "segment" in [kind for kind, _, _ in events]
    assert gaps(events) == []


@pytest.mark.parametrize("status", [486, 603, 480, 404])
async def test_a_failed_transfer_is_shown_with_its_status_until_the_next_one(
    centre, talk, act, status
):
    centre.department.final = status
    assert act("transfer", "3001") == ""
    shown = talk.state()
    assert (shown.transfer_failed, shown.transfers_begun, shown.transferring) == (status, 1, "")
    assert shown.advisor.extension == "201"
    assert state_of(talk.recording) is RecordingState.RECORDING
    centre.ceri.final = None
    assert act("transfer", "202") == ""
    assert (talk.state().transfer_failed, talk.state().transfers_begun) == (0, 2)


async def test_a_failed_transfer_by_the_phone_is_shown_too(centre, talk):
    centre.department.final = 486
    centre.sian.ask("REFER", ("Refer-To", "<sip:3001@192.0.2.9>"))
    assert (talk.state().transfer_failed, talk.state().transfers_begun) == (486, 1)


async def test_a_transfer_to_a_number_that_nobody_has_is_refused(centre, talk, act):
    assert act("transfer", "777") == "unknown_number"
    assert act("transfer", "") == "unknown_number"
    assert talk.state().transfers_begun == 0
    assert centre.sian.requests == []


async def test_a_second_transfer_waits_for_the_first(centre, talk, act):
    centre.department.final = None
    assert act("transfer", "3001") == ""
    assert talk.state().acts[-1] == ActState("transfer", "transferring")
    assert act("transfer", "202") == "transferring"


async def test_hanging_up_while_the_target_rings_ceases_the_recording(centre, talk, act):
    events = record_events(talk)
    centre.department.final = None
    act("transfer", "3001")
    assert act("hangup") == ""
    assert state_of(talk.recording) is RecordingState.CEASED
    assert gaps(events)[0]["actor"] == "user:sian"
    assert centre.sian.methods == ["BYE"]
    assert centre.trunk.methods == []
    assert act("hangup") == "not_now"


async def test_an_unexpected_failure_of_an_act_is_answered(talk, act, monkeypatch):
    def fail(_now):
        raise RuntimeError

    monkeypatch.setattr(talk.legs, "hang_up_callee", fail)
    assert act("hangup") == "failed"


def test_an_address_has_no_separators_and_escapes_everything_else():
    (clean, odd) = map(address_of, ["(01970) 123-456.7", "a@b;c>d"])
    assert clean is not None
    assert odd is not None
    assert str(clean.uri) == "sip:019701234567@galwad.invalid"
    assert "@" not in str(odd.uri.user)
    assert address_of(" -") is None
