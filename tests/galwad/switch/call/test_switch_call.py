"""The phases of a live call, on a switch without sockets."""

import time
from dataclasses import replace

import pytest
import structlog
from msgspec import structs

from callerid.number import WITHHELD
from galwad.calls.live_calls import presented_by
from galwad.switch.edge.admission import Admission
from helpers.switch import record_events, replaces
from recording.archive.call_facts import CallFacts
from recording.archive.summary import LaterCaller
from recording.spool import EventRecord

CITIZEN = "P-Asserted-Identity", "<sip:01632960002@192.0.2.1>"


def number(state):
    """Return the number that the desk shows for the caller of this state; None if there is none."""
    shown = presented_by(state.caller).number
    return shown and str(shown)


def later_callers(events):
    """Return the later callers in the facts of these events."""
    facts = CallFacts(0)
    for kind, fields, at_us in events:
        facts.event(at_us, EventRecord(at_us, kind, fields))
    return facts.personal.later_callers


async def test_each_change_of_a_calls_phase_is_logged_once(centre, register):
    trunk = centre.phone("192.0.2.1", "01632960001")
    centre.phone("192.0.2.201", "201", register)
    with structlog.testing.capture_logs() as logs:
        trunk.call("01970000000")
        (call,) = centre.calls.values()
        assert centre.links.shown[call.call_id].state == "answered"
        trunk.ask("INVITE")  # an offer that stops the media
        assert centre.links.shown[call.call_id].state == "held"
        centre.end()
    assert centre.links.shown[call.call_id].state == "ended"
    phases = [(log["before"], log["phase"]) for log in logs if log["event"] == "call.phase"]
    assert phases == [("ringing", "answered"), ("answered", "held"), ("held", "ended")]


@pytest.mark.parametrize(
    ("status", "reported"), [(486, "refused"), (603, "refused"), (480, "no_answer")]
)
async def test_the_end_of_an_unanswered_call_is_reported_with_its_reason(
    centre, register, status, reported
):
    trunk = centre.phone("192.0.2.1", "01632960001")
    centre.phone("192.0.2.201", "201", register).final = status
    trunk.call("01970000000")
    assert list(centre.links.unanswered.values()) == [reported]


async def test_a_call_whose_caller_hangs_up_while_it_rings_ends_with_the_reason_cancelled(
    centre, register
):
    trunk = centre.phone("192.0.2.1", "01632960001")
    centre.phone("192.0.2.201", "201", register).final = None
    trunk.call("01970000000")
    trunk.client.cancel(now=time.monotonic())
    centre.run()
    assert list(centre.links.unanswered.values()) == ["cancelled"]


async def test_the_end_of_an_answered_call_has_no_reason_of_an_unanswered_one(centre, register):
    trunk = centre.phone("192.0.2.1", "01632960001")
    centre.phone("192.0.2.201", "201", register)
    trunk.call("01970000000")
    trunk.ask("BYE")
    assert list(centre.links.unanswered.values()) == [""]


async def test_a_new_caller_of_a_trusted_trunk_reaches_the_desk_and_the_recording(centre, register):
    trunk = centre.phone("192.0.2.1", "01632960912")
    centre.phone("192.0.2.201", "201", register)
    trunk.call("01970000000")
    (call,) = centre.calls.values()
    events = record_events(call)
    before = centre.links.shown[call.call_id]
    assert (number(before), before.callers) == ("+441632960912", 1)
    trunk.ask("UPDATE", CITIZEN)
    after = centre.links.shown[call.call_id]
    assert (number(after), after.callers) == ("+441632960002", 2)
    trunk.ask("INVITE", CITIZEN)  # the same name again
    assert centre.links.shown[call.call_id].callers == 2
    trunk.ask("UPDATE", ("P-Asserted-Identity", "<sip:01632960003@t>"), ("Privacy", "id"))
    withheld = centre.links.shown[call.call_id]
    assert (presented_by(withheld.caller), withheld.callers) == (WITHHELD, 3)
    first, second = later_callers(events)
    assert (first.number, second) == ("+441632960002", LaterCaller(second.from_us, None, True))
    assert first.from_us < second.from_us
    assert call.recording.state == "recording"


async def test_a_caller_that_a_trunk_names_while_the_call_rings_is_in_the_recording(
    centre, register
):
    trunk = centre.phone("192.0.2.1", "01632960912")
    sian = centre.phone("192.0.2.201", "201", register)
    sian.final = None
    trunk.call("01970000000")
    (call,) = centre.calls.values()
    (early,) = trunk.endpoint.agent.dialogs
    trunk.ask("UPDATE", CITIZEN, dialog=early)
    assert number(centre.links.shown[call.call_id]) == "+441632960002"
    sian.answer()
    assert call.recording._later_caller == {
        "number": "+441632960002",
        "withheld": False,
        "known": False,
    }


async def test_a_new_caller_is_still_the_caller_after_a_restart(centre, register):
    trunk = centre.phone("192.0.2.1", "01632960912")
    centre.phone("192.0.2.201", "201", register)
    trunk.call("01970000000")
    trunk.ask("UPDATE", CITIZEN)
    centre.revive()
    (call,) = centre.calls.values()
    assert (number(call.state()), call.state().callers) == ("+441632960002", 2)
    assert call.admission.facts("")["number"] == "+441632960912"
    assert call.recording._later_caller["known"] is True


@pytest.mark.parametrize("kind", ["phone", "untrusted"])
async def test_a_phone_or_an_untrusted_trunk_cannot_name_a_new_caller(
    centre, register, monkeypatch, kind
):
    user = "202" if kind == "phone" else "01632960912"
    peer = centre.phone("192.0.2.202", user, register if kind == "phone" else None)
    centre.phone("192.0.2.201", "201", register)
    if kind == "untrusted":
        control = centre.dispatcher._admission_control
        admit = control.invite
        monkeypatch.setattr(control, "invite", lambda *args: untrusted(admit(*args)))
    peer.call("01970000000")
    (call,) = centre.calls.values()
    before = call.state()
    peer.ask("UPDATE", CITIZEN)
    assert call.state() == before


def untrusted(admission: Admission) -> Admission:
    """Return this admission as it would be for an untrusted trunk."""
    caller = structs.replace(admission.caller, trusted=False)
    return replace(admission, caller=caller, trusted=False)


def hold(phone, dialog=None):
    """Let a phone put the other party on hold."""
    phone.ask("INVITE", dialog=dialog)


def resume(phone, dialog=None):
    """Let a phone end its hold."""
    phone.ask("INVITE", dialog=dialog, direction="sendrecv")


async def test_a_call_that_both_sides_hold_is_held_until_both_have_resumed(centre, register):
    trunk = centre.phone("192.0.2.1", "01632960001")
    sian = centre.phone("192.0.2.201", "201", register)
    trunk.call("01970000000")
    (call,) = centre.calls.values()
    shown = []
    for change, phone in ((hold, trunk), (hold, sian), (resume, trunk), (resume, sian)):
        change(phone)
        shown.append(centre.links.shown[call.call_id].state)
    assert shown == ["held", "held", "held", "answered"]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_hold_ends_when_the_advisor_who_held_has_transferred_the_call(
    centre, register, restart
):
    trunk = centre.phone("192.0.2.1", "01632960001")
    sian = centre.phone("192.0.2.201", "201", register)
    centre.phone("192.0.2.202", "202", register)
    trunk.call("01970000000")
    (call,) = centre.calls.values()
    (first,) = sian.dialogs
    hold(sian)
    second = sian.call("202")
    if restart:
        centre.revive()
        call = centre.calls[call.call_id]
    assert call.state().state == "held"
    sian.ask("REFER", replaces(second, "202"), dialog=first)
    assert list(centre.calls) == [call.call_id]
    assert centre.links.shown[call.call_id].state == "answered"
    hold(trunk)
    assert centre.links.shown[call.call_id].state == "held"


async def test_a_hold_by_the_caller_continues_after_a_transfer(centre, register):
    trunk = centre.phone("192.0.2.1", "01632960001")
    sian = centre.phone("192.0.2.201", "201", register)
    centre.phone("192.0.2.202", "202", register)
    trunk.call("01970000000")
    (call,) = centre.calls.values()
    hold(trunk)
    sian.ask("REFER", ("Refer-To", "<sip:202@192.0.2.9>"))
    assert centre.links.shown[call.call_id].advisor.extension == "202"
    assert centre.links.shown[call.call_id].state == "held"
