"""Calls that the page dials: the phone rings first, and the number gets the phone's own routes.

Covers `phone_admission` in `galwad/switch/edge/admission.py`, and the calls that are placed in
`galwad/switch/call/switch_call.py`.
"""

from dataclasses import replace

import pytest

from galwad.messages import DialNumber, PhoneReply
from galwad.settings.switch import Route
from galwad.switch.call.clocks import read_clocks
from galwad.switch.call.commands import DeskCommands, Dialler
from galwad.switch.edge.routing import AwayUsers
from helpers.switch import Centre


@pytest.fixture
def places():
    """A list that gets an item for each call that was placed."""
    return []


@pytest.fixture
def commands(centre, phones, places):
    commands = DeskCommands(centre.calls, phones, AwayUsers())
    commands.dialler = Dialler(
        centre.context,
        phones,
        centre.calls,
        stopping=lambda: "ending" in places,
        placed=lambda: places.append("placed"),
    )
    return commands


@pytest.fixture
def dial(centre, commands):
    """Dial a number for the phone of sian; return the reason of a refusal, or ""."""

    def dial(number, *, user="sian", extension="201", answers_itself=False):
        command = DialNumber(3, user, extension, number, answers_itself=answers_itself)
        reply = commands.dial(command)
        centre.run()
        assert reply == PhoneReply(3, reply.refused)
        return reply.refused

    return dial


@pytest.fixture
def sian(centre, register):
    """The phone of sian."""
    return centre.phone("192.0.2.201", "201", register)


@pytest.fixture
def pbx(centre):
    """The PBX to which the numbers beginning with 0197 lead."""
    return centre.phone("192.0.2.20", "600")


async def test_the_phone_rings_first_and_then_the_number_is_called_for_it(
    centre, dial, sian, pbx, places
):
    sian.final = None
    assert dial("(01970) 11-11-11") == ""
    assert [invite.request.from_.uri.user for invite in sian.invites] == ["01970111111"]
    assert pbx.invites == []
    (call,) = centre.calls.values()
    assert places == ["placed"]
    assert centre.links.shown == {}
    sian.answer()
    (rung,) = pbx.invites
    assert rung.request.from_.uri.user == "201"
    assert call.state().state == "answered"
    assert call.state().outgoing
    assert call.state().called == "01970111111"
    sian.ask("BYE")
    assert pbx.methods == ["BYE"]
    assert centre.calls == {}


async def test_the_phone_is_asked_to_answer_itself_only_if_the_settings_say_so(centre, dial, sian):
    sian.final = 486
    dial("01970111111")
    dial("01970111111", answers_itself=True)
    plain, asked = (invite.request.headers for invite in sian.invites)
    assert [plain.get(name) for name in ("Answer-Mode", "Call-Info", "Alert-Info")] == [None] * 3
    assert asked.get("Answer-Mode") == "Auto"
    assert "answer-after=0" in asked.get("Call-Info")


@pytest.mark.parametrize("number", ["", "777", "0800123456", "sip:x@evil.example"])
async def test_a_number_that_the_phone_cannot_reach_rings_nothing(centre, dial, sian, number):
    assert dial(number) == "unknown_number"
    assert sian.invites == []
    assert centre.calls == {}


@pytest.mark.parametrize("asker", ["huw 201", "sian 202", " 201", " 202", "x x"])
async def test_a_user_cannot_make_the_phone_of_another_user_ring(
    centre, dial, sian, register, asker
):
    ceri = centre.phone("192.0.2.202", "202", register)
    user, extension = asker.split(" ")
    assert dial("01970111111", user=user, extension=extension) == "no_phone"
    assert sian.invites == ceri.invites == []


async def test_a_phone_that_is_not_registered_cannot_be_rung(dial, pbx):
    assert dial("01970111111") == "not_registered"
    assert pbx.invites == []


async def test_a_phone_rings_for_one_call_at_a_time(centre, dial, sian, pbx):
    sian.final = None
    assert dial("01970111111") == ""
    assert dial("01970222222") == "busy"
    sian.answer()
    assert dial("01970222222") == "busy"
    assert len(sian.invites) == 1
    sian.ask("BYE")
    assert dial("01970222222") == ""
    (call,) = centre.calls.values()
    call.hangup("test", read_clocks())
    centre.run()


async def test_a_stopping_switch_places_no_call(dial, sian, places):
    places.append("ending")
    assert dial("01970111111") == "failed"
    assert sian.invites == []


async def test_a_switch_with_as_many_calls_as_it_may_have_says_that_all_lines_are_busy(
    centre, phones, commands, dial, sian
):
    full = centre.context.settings.sip.model_copy(update={"max_calls": 0})
    settings = centre.context.settings.model_copy(update={"sip": full})
    context = replace(centre.context, settings=settings)
    commands.dialler = Dialler(context, phones, centre.calls)
    assert dial("01970111111") == "full"
    assert sian.invites == []


@pytest.mark.parametrize("stopping", [False, True], ids=["full", "full and stopping"])
async def test_a_full_or_stopping_switch_dials_an_emergency_number(
    settings, phones, register, stopping
):
    route = Route.model_validate({"called": "999", "target": "sip:192.0.2.20"})
    sip = settings.sip.model_copy(update={"max_calls": 0})
    centre = Centre(settings.model_copy(update={"routes": (route,), "sip": sip}), phones)
    sian, out = centre.phone("192.0.2.201", "201", register), centre.phone("192.0.2.20", "pbx")
    dialler = Dialler(centre.context, phones, centre.calls, stopping=lambda: stopping)
    assert dialler.dial(DialNumber(1, "sian", "201", "01970111111")) == "unknown_number"
    assert dialler.dial(DialNumber(2, "sian", "201", "112")) == ""
    centre.run()
    assert [len(each.invites) for each in (sian, out)] == [1, 1]
    centre.end()


async def test_commands_without_a_dialler_reply_that_dialling_has_failed(centre, phones):
    commands = DeskCommands(centre.calls, phones, AwayUsers())
    assert commands.dial(DialNumber(1, "sian", "201", "301")) == PhoneReply(1, "failed")


async def test_an_unexpected_failure_to_dial_gets_the_reply_failed(commands, monkeypatch):
    def fail(_command):
        raise RuntimeError

    monkeypatch.setattr(commands.dialler, "dial", fail)
    assert commands.dial(DialNumber(1, "sian", "201", "301")) == PhoneReply(1, "failed")


async def test_a_dialled_call_that_the_phone_declines_ends_without_an_answer(
    centre, dial, sian, pbx
):
    sian.final = 486
    assert dial("01970111111") == ""
    assert centre.calls == {}
    assert pbx.invites == []
    assert centre.links.for_ledger == {}
    assert centre.links.shown == {}


async def test_dialling_a_phone_that_is_not_registered_hangs_the_dialling_phone_up(
    centre, dial, sian, register
):
    assert dial("202") == ""  # a phone that is not registered
    assert sian.methods == ["BYE"]
    assert centre.calls == {}


async def test_a_restart_while_the_number_rings_hangs_the_phone_up(centre, dial, sian, pbx):
    pbx.final = None
    dial("01970111111")
    assert sian.dialogs
    centre.revive()
    assert sian.methods == ["BYE"]
    assert centre.calls == {}


async def test_a_dialled_call_goes_on_after_a_restart(centre, dial, sian, pbx):
    dial("01970111111")
    centre.revive()
    (call,) = centre.calls.values()
    assert call.state().state == "answered"
    pbx.ask("BYE")
    assert sian.methods[-1] == "BYE"
