"""Calls that we place: the caller's phone rings first, then the target (RFC 3725)."""

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua import BackToBackCall, CallerInvite
from telephony.b2bua.events import CallAnswered, CallEnded, CallerReached
from telephony.b2bua.placed import CALLER_RINGS_S
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, parse_message

NUMBER = "<sip:0800@192.0.2.1>"
MESSAGE = parse_message(
    b"INVITE sip:0800@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n"
    b"From: <sip:201@192.0.2.1>;tag=1\r\nTo: <sip:0800@192.0.2.1>\r\nCall-ID: placed\r\n"
    b"CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


assert isinstance(MESSAGE, Request)
REQUEST = MESSAGE


@pytest.fixture
def place(world):
    """Place a call for the phone `a`; the target is the phone `b`, when `a` has answered."""

    def place(*headers, targets=None):
        def on_event(call, event):
            if isinstance(event, CallerReached):
                call.dial(targets or world.switch.plan.targets, world.switch.now)

        world.switch.on_event = on_event
        invite = CallerInvite(world.target(world.a), NameAddr.parse(NUMBER), headers)
        call = BackToBackCall.placed(
            *(world.switch.endpoint, world.switch.plane, invite, REQUEST, world.switch.settings),
            call_id="placed",
            now=world.switch.now,
        )
        world.switch.calls.append(call)
        world.switch.drain(call)
        world.net.flush()
        return call

    return place


def test_the_caller_rings_first_and_then_the_target(world, place):
    world.b.reply = Reply(final=None)
    call = place(("Answer-Mode", "Auto"))
    (rung,) = world.a.invites
    assert rung.request.from_.uri.user == "0800"
    assert rung.request.headers.get("Answer-Mode") == "Auto"
    assert rung.request.body == b""
    assert len(world.switch.of(CallerReached)) == len(world.b.invites) == 1
    assert world.b.invites[0].request.headers.get("Answer-Mode") is None
    assert world.switch.plane.ringing == {"placed/a"}
    assert not call.answered
    world.b.answer(reply=Reply(provisional=()))
    world.net.flush()
    world.net.run(1)
    assert call.answered
    assert len(world.switch.of(CallAnswered)) == 1
    assert world.switch.plane.ringing == set()
    a, b = call.joined
    assert world.switch.plane.joins[a] == b
    world.a.hang_up()
    assert world.b.methods == ["BYE"]
    assert world.switch.of(CallEnded)[0].cause == "caller-hung-up"
    world.assert_clean()


def test_the_caller_gets_the_codec_of_the_target(world, place):
    world.a.codecs = ("8 PCMA/8000", "0 PCMU/8000")
    world.b.codecs = ("0 PCMU/8000",)
    place()
    world.net.run(1)
    assert world.a.methods == ["INVITE"]
    assert set(world.a.told().media[0].codecs()) == {0}
    world.b.hang_up()
    assert world.a.methods == ["INVITE", "BYE"]
    world.assert_clean()


@pytest.mark.parametrize("status", [486, 603, 488])
def test_a_caller_who_declines_ends_the_call_and_no_target_rings(world, place, status):
    world.a.reply = Reply(final=status)
    call = place()
    assert call.ended
    assert world.b.invites == []
    assert world.switch.of(CallEnded)[0].status == status
    world.assert_clean()


def test_a_caller_who_does_not_answer_is_rung_for_a_limited_time(world, place):
    world.a.reply = Reply(final=None)
    call = place()
    world.net.run(CALLER_RINGS_S - 1)
    assert not call.ended
    world.net.run(2)
    assert world.switch.of(CallEnded)[0].cause == "no-answer"
    assert world.b.invites == []
    world.assert_clean()


def test_a_caller_who_hangs_up_while_the_target_rings_ends_the_call(world, place):
    world.b.reply = Reply(final=None)
    call = place()
    world.a.hang_up()
    world.net.run(1)
    assert call.ended
    world.assert_clean()


def test_a_target_that_is_busy_ends_the_call_with_the_reason(world, place):
    world.b.reply = Reply(final=486)
    call = place()
    world.net.run(1)
    assert call.ended
    assert world.a.requests[-1].headers.get("Reason") == "SIP;cause=486"
    world.assert_clean()


def test_the_owner_can_hang_up_a_reached_caller_before_any_target_rings(world):
    world.switch.on_event = lambda call, event: (
        call.hangup(world.switch.now) if isinstance(event, CallerReached) else None
    )
    invite = CallerInvite(world.target(world.a), NameAddr.parse(NUMBER))
    call = BackToBackCall.placed(
        *(world.switch.endpoint, world.switch.plane, invite, REQUEST, world.switch.settings),
        call_id="placed",
        now=world.switch.now,
    )
    world.switch.calls.append(call)
    world.switch.drain(call)
    world.net.flush()
    assert world.a.methods == ["BYE"]
    world.assert_clean()


def test_a_caller_whose_answer_has_no_sdp_is_hung_up(world, place):
    world.a.reply = Reply(body=b"")
    call = place()
    world.net.run(1)
    assert call.ended
    assert world.a.methods == ["BYE"]
    assert world.b.invites == []
    world.assert_clean()


def test_a_placed_call_fails_without_ports(world, place):
    world.switch.plane.room = 0
    assert place().ended
    assert world.a.invites == []
    world.assert_clean()


def test_a_placed_call_fails_without_a_port_for_the_target(world, place):
    world.switch.plane.room = 1
    call = place()
    world.net.run(1)
    assert call.ended
    assert world.a.methods == ["BYE"]
    world.assert_clean()


def test_a_placed_call_that_was_answered_survives_a_restart(world, place):
    place()
    world.net.run(1)
    world.crash()
    assert world.call.joined is not None
    world.b.hang_up()
    assert world.a.methods[-1] == "BYE"
    world.assert_clean()


def test_a_placed_call_can_be_transferred_by_the_target(world, place):
    call = place()
    world.net.run(1)
    world.b.refer()
    world.net.run(1)
    assert call.joined is not None
    assert world.c.invites
    world.a.hang_up()
    world.assert_clean()
