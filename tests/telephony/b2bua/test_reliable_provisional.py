"""Reliable provisional responses (RFC 3262) through the B2BUA: each leg has its own.

Covers `telephony/b2bua/setup.py`.
"""

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua import LegState
from telephony.b2bua.events import CallAnswered, CallEnded
from telephony.sip.message.messages import parse_message

RELIABLY = (("Supported", "100rel, timer"),)
REQUIRED = (("Require", "100rel"),)
PLAINLY = (("Supported", "timer"),)
SDP = (("Content-Type", "application/sdp"),)


def messages(world, start, to=None):
    """Return the sent messages that begin with `start`, to one phone or to all (None)."""
    address = to.address if to is not None else None
    return [
        parse_message(data)
        for _, destination, data in world.net.wire
        if data.startswith(start.encode()) and address in {None, destination}
    ]


def test_a_180_without_sdp_is_reliable_only_if_the_caller_requires_100rel(world):
    world.b.reply = Reply(final=None)
    world.a.call(headers=RELIABLY)
    world.net.run(1)
    assert messages(world, "SIP/2.0 180", world.a)[0].headers.get("RSeq") is None
    world.a.call(headers=REQUIRED)
    world.net.run(1)
    assert messages(world, "SIP/2.0 180", world.a)[-1].headers.get("RSeq")
    (prack,) = messages(world, "PRACK")
    assert (prack.headers.get("RAck") or "").endswith("1 INVITE")


def test_early_media_is_sent_reliably_and_the_200_does_not_repeat_the_sdp(world):
    world.b.reply = Reply(provisional=(183, 180), early=True)
    world.talk(headers=RELIABLY)
    session, ringing = messages(world, "SIP/2.0 18", world.a)
    answered = [m for m in messages(world, "SIP/2.0 200", world.a) if m.cseq.method == "INVITE"]
    assert (session.status, bool(session.body)) == (183, True)
    assert session.headers.get("Require") == "100rel"
    assert (ringing.status, ringing.body) == (180, b"")
    assert ringing.headers.get("RSeq") is None
    assert [m.body for m in answered] == [b""]
    assert len(messages(world, "PRACK")) == 1
    assert world.call.joined is not None
    assert len(world.switch.plane.joins) == 2
    world.a.hang_up()
    world.assert_clean()


def test_a_caller_without_100rel_gets_the_sdp_in_an_unreliable_183_and_in_the_200(world):
    world.b.reply = Reply(provisional=(183,), early=True)
    world.talk(headers=PLAINLY)
    assert messages(world, "SIP/2.0 183", world.a)[0].headers.get("RSeq") is None
    assert world.a.responses[-1].body == messages(world, "SIP/2.0 183", world.a)[0].body


def test_the_200_waits_until_the_caller_has_acknowledged_the_early_media(world):
    world.b.reply = Reply(provisional=(183,), early=True)
    world.net.lost = lambda data: data.startswith(b"PRACK")
    world.a.call(headers=RELIABLY)
    world.net.run(3)
    assert world.switch.of(CallAnswered)
    assert not [m for m in messages(world, "SIP/2.0 200", world.a) if m.cseq.method == "INVITE"]
    world.net.lost = lambda _data: False
    world.net.run(3)
    assert world.a.statuses[-1] == 200
    assert world.call.joined is not None
    world.b.hang_up()
    world.assert_clean()


@pytest.mark.parametrize("final", [None, 200])
def test_a_caller_that_sends_no_prack_gets_504_and_both_legs_end(world, final):
    world.b.reply = Reply(provisional=(183,), early=True, final=final)
    world.net.lost = lambda data: data.startswith(b"PRACK")
    world.a.call(headers=RELIABLY)
    world.net.run(40)
    assert world.a.statuses[-1] == 504
    assert len(world.switch.of(CallEnded)) == 1
    world.assert_clean()


def test_a_caller_may_cancel_while_the_200_waits(world):
    world.b.reply = Reply(provisional=(183,), early=True)
    world.net.lost = lambda data: data.startswith(b"PRACK")
    client = world.a.call(headers=RELIABLY)
    world.net.run(1)
    client.cancel(now=world.clock.now)
    world.net.flush()
    world.net.lost = lambda _data: False
    world.net.run(5)
    assert world.a.statuses[-1] == 487
    assert world.switch.of(CallEnded)[0].cause == "cancelled"
    assert world.b.methods == ["BYE"]
    world.assert_clean()


def test_a_callees_reliable_18x_gets_our_prack_even_if_the_caller_lacks_100rel(world):
    world.b.reply = Reply(provisional=(), final=None)
    world.a.call(headers=PLAINLY)
    invite = world.b.invites[0]
    assert "100rel" in invite.request.headers.get("Supported")
    answer = {"headers": SDP, "body": world.b.sdp()}
    invite.respond(183, reliable=True, now=world.clock.now, **answer)
    world.net.flush()
    (prack,) = messages(world, "PRACK", world.b)
    assert prack.body == b""
    told = messages(world, "SIP/2.0 183", world.a)[0]
    assert told.headers.get("RSeq") is None
    assert told.headers.get("Require") is None
    world.b.dialog = invite.respond(200, now=world.clock.now)
    world.net.flush()
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_the_sdp_of_a_200_after_a_reliable_answer_is_ignored(world):
    world.b.reply = Reply(provisional=(), final=None)
    world.a.call(headers=PLAINLY)
    invite = world.b.invites[0]
    invite.respond(
        183, reliable=True, headers=SDP, body=world.b.sdp(port=4000), now=world.clock.now
    )
    world.net.flush()
    invite.respond(200, headers=SDP, body=world.b.sdp(port=4444), now=world.clock.now)
    world.net.flush()
    leg = next(leg for leg in world.call.legs.values() if leg.side == "advisor")
    assert world.switch.plane.remotes[leg.id].rtp_port == 4000


def test_a_call_without_an_offer_uses_no_reliable_provisional_responses(world):
    world.b.reply = Reply(provisional=(180,))
    world.a.call(body=b"", headers=REQUIRED)
    world.net.run(1)
    assert "100rel" not in world.b.invites[0].request.headers.get("Supported")
    assert not messages(world, "SIP/2.0 180", world.a)
    assert world.call.joined is not None


def test_an_unsolicited_offer_in_a_callees_reliable_18x_fails_its_branch(world):
    world.b.reply = Reply(provisional=(), final=None)
    world.a.call(body=b"", headers=PLAINLY)
    invite = world.b.invites[0]
    invite.request.headers.set("Supported", "100rel")
    invite.respond(183, reliable=True, headers=SDP, body=world.b.sdp(), now=world.clock.now)
    world.net.run(1)
    assert world.a.statuses[-1] == 502
    world.assert_clean()


def test_an_offer_in_a_prack_gets_488_and_the_call_continues(world):
    world.b.reply = Reply(provisional=(183,), early=True, final=None)
    world.net.lost = lambda data: data.startswith(b"PRACK")
    world.a.call(headers=RELIABLY)
    world.net.lost = lambda _data: False
    response = messages(world, "SIP/2.0 183", world.a)[0]
    dialog = next(iter(world.a.client.dialogs.values()))
    rack = (("RAck", f"{response.headers.get('RSeq')} 1 INVITE"),)
    dialog.request("PRACK", headers=(*rack, *SDP), body=world.a.sdp(), now=world.clock.now)
    world.net.flush()
    assert world.a.statuses[-1] == 488
    world.b.answer(reply=type(world.b.reply)(provisional=()))
    world.net.run(1)
    assert world.call.joined is not None


def test_a_ring_group_sends_one_reliable_180_to_a_caller_that_requires_100rel(world):
    world.b.reply = Reply(provisional=(183,), early=True, final=None)
    world.c.reply = world.b.reply
    world.switch.plan.targets = [world.target(world.b), world.target(world.c)]
    world.a.call(headers=REQUIRED)
    world.net.run(1)
    (ringing,) = messages(world, "SIP/2.0 18", world.a)
    assert (ringing.status, ringing.body) == (180, b"")
    assert ringing.headers.get("RSeq")
    world.c.answer(reply=type(world.b.reply)(provisional=()))
    world.net.run(1)
    assert world.a.responses[-1].status == 200
    assert world.a.responses[-1].body
    assert {leg.state for leg in world.call.legs.values()} == {LegState.TALKING, LegState.ENDED}
    world.a.hang_up()
    world.assert_clean()


def test_each_early_dialog_of_the_callee_has_its_own_rseq_on_the_callers_leg(world):
    world.b.reply = Reply(provisional=(), final=None)
    world.a.call(headers=RELIABLY)
    invite = world.b.invites[0]
    for tag in ("one", "two"):
        invite.respond(
            183, headers=SDP, body=world.b.sdp(port=4010), to_tag=tag, now=world.clock.now
        )
    world.net.flush()
    told = messages(world, "SIP/2.0 183", world.a)
    assert len({response.to.tag for response in told}) == 2
    assert all(response.headers.get("RSeq") for response in told)
    world.b.dialog = invite.respond(
        200, headers=SDP, body=world.b.sdp(), to_tag="two", now=world.clock.now
    )
    world.net.run(1)
    assert world.a.responses[-1].body == b""
    assert world.a.responses[-1].to.tag == told[1].to.tag
    assert world.call.joined is not None


def test_with_100rel_turned_off_no_provisional_response_is_reliable(world):
    world.switch.endpoint._core.supported = ("timer",)
    world.b.reply = Reply(provisional=(183,), early=True)
    world.talk(headers=RELIABLY)
    assert "100rel" not in world.b.invites[0].request.headers.get("Supported")
    assert messages(world, "SIP/2.0 183", world.a)[0].headers.get("RSeq") is None
    assert messages(world, "PRACK") == []
    world.a.call(headers=REQUIRED)
    assert world.a.statuses[-1] == 420
