"""Offers within a dialog that are faulty, late, crossing or cancelled."""

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua.events import CallEnded, IdentityChanged, MediaNegotiated, TransferFailed

SDP = (("Content-Type", "application/sdp"),)


@pytest.fixture
def alone(world):
    """The advisor transferred and hung up; the target rings; the caller waits."""
    world.talk()
    world.c.reply = Reply(final=None)
    world.b.bye_at_accept = True
    world.b.refer()
    assert world.call.joined is None
    return world


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (SDP, b"v=0\r\nnonsense", 400),
        (SDP, b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0\r\n", 488),
        ((("Content-Type", "text/plain"),), b"hello", 415),
        ((*SDP, ("Supported", "timer"), ("Session-Expires", "30")), None, 422),
    ],
)
def test_an_invalid_re_invite_is_refused_without_reaching_the_other_leg(
    world, headers, body, status
):
    world.talk()
    world.a.ask("INVITE", headers, world.a.sdp(version=9) if body is None else body)
    assert world.a.statuses[-1] == status
    assert world.b.methods == []
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_a_caller_that_waits_for_a_transfer_target_may_hold(alone):
    alone.a.reinvite(direction="sendonly")
    assert alone.a.statuses[-1] == 200
    assert b"a=recvonly" in alone.a.responses[-1].body
    alone.a.ask("INVITE")
    assert alone.a.statuses[-1] == 200
    alone.a.ask("INFO", (("Content-Type", "application/dtmf"),), b"1")
    assert alone.a.statuses[-1] == 480
    alone.a.hang_up()
    assert alone.c.invites[0].cancelled
    alone.assert_clean()


def test_the_offer_to_a_recalled_advisor_carries_the_callers_own_hold(alone):
    world = alone
    world.a.reinvite(direction="sendonly")
    world.c.answer(reply=Reply(provisional=(), final=486))
    world.net.flush()
    world.net.run(1)
    assert world.switch.of(TransferFailed)[0].transferor_gone
    assert b"a=sendonly" in world.b.invites[-1].request.body


def test_the_refusal_of_a_re_invite_without_sdp_reaches_its_sender(world):
    world.talk()
    world.b.refuse_offer = 500
    world.a.ask("INVITE")
    assert world.a.statuses[-1] == 500
    world.b.refuse_offer = None
    world.a.reinvite(direction="sendonly")
    assert world.a.statuses[-1] == 200


def test_a_cancelled_re_invite_without_sdp_does_not_end_the_call(world):
    world.talk()
    held = []
    serve = world.b.serve
    world.b.serve = lambda d, t, r: held.append(t) if r.method == "INVITE" else serve(d, t, r)
    client = world.a.ask("INVITE")
    world.net.lost = lambda data: data.startswith(b"CANCEL sip:20@")
    client.cancel(now=world.clock.now)
    world.net.flush()
    held[0].respond(200, headers=SDP, body=world.b.sdp(), now=world.clock.now)
    world.net.lost = lambda _data: False
    world.net.flush()
    world.net.run(40)
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_a_re_invite_accepted_after_its_cancel_is_reverted_by_another_re_invite(world):
    world.talk()
    held = []
    serve = world.b.serve
    world.b.serve = lambda d, t, r: held.append(t) if r.method == "INVITE" else serve(d, t, r)
    client = world.a.reinvite(direction="sendonly")
    world.net.run(0.3)
    world.net.lost = lambda data: data.startswith(b"CANCEL sip:20@")
    client.cancel(now=world.clock.now)
    world.net.flush()
    world.b.serve = serve
    body = world.b.sdp(direction="recvonly")
    held[0].respond(200, headers=SDP, body=body, now=world.clock.now)
    world.net.flush()
    assert world.b.methods == ["INVITE", "INVITE"]
    assert world.b.told().direction(0) == "sendrecv"
    world.a.hang_up()
    world.assert_clean()


def test_the_sender_of_a_re_invite_gets_500_if_the_2xx_has_no_sdp(world):
    world.talk()
    world.b.serve = lambda _d, t, _r: t.respond(200, now=world.clock.now)
    world.a.reinvite(direction="sendonly")
    assert world.a.statuses[-1] == 500
    world.a.ask("INVITE")
    assert world.a.statuses[-1] == 500
    assert world.b.seen[-1].method == "ACK"
    world.a.hang_up()
    world.assert_clean()


def test_an_ack_without_the_answer_to_a_delayed_offer_ends_the_call(world):
    world.talk()
    world.a.acknowledge = lambda dialog, client: dialog.ack(client, now=world.clock.now)
    world.a.ask("INVITE")
    assert world.switch.of(CallEnded)[0].cause == "no-common-media"
    world.assert_clean()


def test_an_update_before_the_answer_may_change_the_name_but_not_the_media(world):
    world.b.reply = Reply(final=None)
    world.a.call()
    dialog = next(iter(world.b.invites[0].dialogs.values()))
    world.b.dialog = dialog
    world.b.ask("UPDATE", (("P-Asserted-Identity", "<sip:204@pbx.example>"),))
    assert world.b.statuses[-1] == 200
    world.b.ask("UPDATE", SDP, world.b.sdp())
    assert world.b.statuses[-1] == 500
    world.b.ask("INFO")
    assert world.b.statuses[-1] == 480
    world.b.answer(reply=Reply(provisional=()))
    world.net.flush()
    assert world.switch.of(IdentityChanged)[-1].identity.uri.user == "204"


def test_each_completed_negotiation_reports_the_media_of_both_legs(world):
    world.talk()
    told = world.switch.of(MediaNegotiated)
    assert [event.side for event in told] == ["caller", "advisor"]
    assert told[0].payloads[0] == (0, "PCMU", 8000, 1, "")
    world.b.reinvite(direction="sendonly")
    assert len(world.switch.of(MediaNegotiated)) == 4


def reinvite_before_the_callers_ack(world):
    """The callee offers another codec while the caller's ACK to our 200 is in transit."""

    def is_the_callers_ack(data):
        return data.startswith(b"ACK ") and b"Via: SIP/2.0/UDP 192.0.2.10" in data

    world.net.lost = is_the_callers_ack
    world.a.call()
    world.net.run(0.1)
    client = world.b.reinvite(codecs=("8 PCMA/8000",))
    assert [s for s in world.b.statuses if s >= 200] == []
    return client


def test_a_callees_re_invite_waits_for_the_callers_ack(world):
    """RFC 3261, section 14.2: 491 needs our own pending INVITE in the dialog; none exists."""
    reinvite_before_the_callers_ack(world)
    world.net.lost = lambda _data: False
    world.net.run(2)
    assert [s for s in world.b.statuses if s >= 200] == [200]
    assert world.a.methods == ["INVITE"]
    assert world.a.told().media[0].formats == ("8",)
    world.a.hang_up()
    world.assert_clean()


def test_a_callees_offer_cancelled_while_it_waits_is_never_sent(world):
    client = reinvite_before_the_callers_ack(world)
    world.net.run(1)
    client.cancel(now=world.clock.now)
    world.net.flush()
    world.net.lost = lambda _data: False
    world.net.run(3)
    assert next(s for s in world.b.statuses if s >= 200) == 487
    assert world.a.methods == []
    world.b.reinvite(codecs=("8 PCMA/8000",))
    assert world.b.statuses[-1] == 200
    world.a.hang_up()
    world.assert_clean()


def test_a_missing_ack_ends_the_call_and_the_offer_that_waits_for_the_ack(world):
    reinvite_before_the_callers_ack(world)
    world.net.run(60)
    assert world.call.ended
    world.assert_clean()


def test_an_update_with_an_offer_before_the_answer_gets_500_with_retry_after(world):
    world.b.reply = Reply(provisional=(183,), early=True, final=None)
    world.a.call(headers=(("Supported", "100rel"),))
    dialog = next(iter(world.a.client.dialogs.values()))
    typed = (("Content-Type", "application/sdp"),)
    dialog.request("UPDATE", headers=typed, body=world.a.sdp(version=2), now=world.clock.now)
    world.net.flush()
    assert world.a.statuses[-1] == 500
    assert world.a.responses[-1].headers.get("Retry-After") == "5"
    world.b.answer(reply=Reply(provisional=()))
    world.net.run(1)
    dialog.request("UPDATE", headers=typed, body=world.a.sdp(version=2), now=world.clock.now)
    world.net.flush()
    assert world.a.statuses[-1] == 200
