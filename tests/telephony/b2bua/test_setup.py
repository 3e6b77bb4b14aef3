"""From the caller's INVITE to its final answer.

Covers `telephony/b2bua/leg.py` and `telephony/b2bua/events.py`.
"""

import pytest

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from telephony.b2bua.checkpoint import TargetCheckpoint
from telephony.b2bua.events import (
    CallAnswered,
    CallEnded,
    IdentityChanged,
    LegEnded,
    LegRinging,
    MediaNegotiated,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request
from telephony.sip.message.uri import Uri


def test_a_call_is_answered_joined_and_hung_up(world):
    call = world.talk()
    a, b = call.joined
    assert world.a.statuses == [180, 200]
    assert world.switch.plane.joins == {a: b, b: a}
    assert world.switch.kinds.index("LegRinging") < world.switch.kinds.index("CallAnswered")
    world.a.hang_up()
    assert world.b.methods == ["BYE"]
    assert call.ended
    world.assert_clean()


def test_the_advisors_bye_reaches_the_caller_with_its_reason(world):
    world.talk()
    world.b.hang_up((("Reason", 'Q.850;cause=16;text="done"'),))
    assert world.a.requests[-1].headers.get("Reason") == 'Q.850;cause=16;text="done"'
    assert world.switch.of(CallEnded)[0].cause == "advisor-hung-up"
    world.assert_clean()


def test_the_answered_event_precedes_the_200_to_the_caller(world):
    sent: list = []

    def look(_call, event):
        if isinstance(event, CallAnswered):
            sent.extend(d.data for d in world.switch.endpoint._core.outbox)
            assert not any(
                b"SIP/2.0 200" in data for _, to, data in world.net.wire if to == world.a.address
            )

    world.switch.on_event = look
    world.talk()
    assert world.switch.of(CallAnswered)


def test_each_leg_sees_our_address_but_not_the_other_peers_address(world):
    world.talk()
    invite = world.b.invites[0].request
    assert b"192.0.2.10" not in bytes(invite)
    assert b"c=IN IP4 192.0.2.1\r\n" in invite.body
    answer = world.a.responses[-1]
    assert b"192.0.2.20" not in bytes(answer)


def test_max_forwards_is_decremented_and_zero_gets_483(world):
    world.talk(max_forwards=9)
    assert world.b.invites[0].request.headers.get("Max-Forwards") == "8"
    world.a.hang_up()
    world.a.call(max_forwards=0)
    assert world.a.statuses[-1] == 483
    world.assert_clean()


def test_an_unknown_required_extension_gets_420(world):
    world.a.call(headers=(("Require", "precondition"),))
    assert world.a.statuses[-1] == 420
    assert world.switch.calls == []


def test_an_offer_without_a_common_codec_gets_488(world):
    world.a.codecs = ("96 speex/16000",)
    world.a.call()
    assert world.a.statuses[-1] == 488
    assert world.b.invites == []
    world.assert_clean()


def test_a_body_other_than_sdp_gets_415(world):
    world.a.call(body=b"hello", headers=(("Content-Type", "text/plain"),))
    assert world.a.statuses[-1] == 415
    assert world.a.responses[-1].headers.get("Accept")
    world.assert_clean()


@pytest.mark.parametrize("name", ["Content-Encoding", "e"])
def test_an_encoded_body_gets_415_with_the_accepted_encoding(world, name):
    encoded = (("Content-Type", "application/sdp"), (name, "gzip"))
    world.a.call(body=b"\x1f\x8b\x08\x00", headers=encoded)
    assert world.a.statuses[-1] == 415
    assert world.a.responses[-1].headers.get("Accept-Encoding") == "identity"
    assert world.b.invites == []


def test_a_replaces_for_an_unknown_dialog_gets_481(world):
    world.a.call(headers=(("Replaces", "nothing@x;to-tag=1;from-tag=2"),))
    assert world.a.statuses[-1] == 481
    world.assert_clean()


def test_a_call_without_free_ports_gets_503_before_any_phone_rings(world):
    world.switch.plane.room = 1
    world.a.call()
    assert world.a.statuses[-1] == 503
    assert world.b.invites == []
    world.assert_clean()


def test_a_call_that_loops_back_to_us_gets_482(world):
    world.switch.plan.targets = [world.target(world.switch)]
    world.a.call()
    assert world.a.statuses[-1] == 482
    world.assert_clean()


def test_an_unanswered_call_gets_480_after_three_minutes_of_ringing(world):
    world.b.reply = Reply(final=None)
    world.a.call()
    world.net.run(179)
    assert world.a.statuses[-1] == 180
    world.net.run(2)
    assert world.a.statuses[-1] == 480
    assert world.b.invites[0].cancelled
    world.assert_clean()


def test_the_callers_cancel_reaches_the_advisor(world):
    world.b.reply = Reply(final=None)
    client = world.a.call()
    client.cancel(now=world.clock.now)
    world.net.flush()
    assert world.b.invites[0].cancelled
    assert world.a.statuses[-1] == 487
    assert world.switch.of(CallEnded)[0].cause == "cancelled"
    world.assert_clean()


def test_a_200_that_crosses_our_cancel_gets_an_ack_and_a_bye(world):
    world.b.reply = Reply(final=None)
    client = world.a.call()
    world.net.lost = lambda data: data.startswith(b"CANCEL sip:20@")
    client.cancel(now=world.clock.now)
    world.net.flush()
    world.b.answer(reply=Reply(provisional=()))
    world.net.lost = lambda _data: False
    world.net.flush()
    assert "BYE" in world.b.methods
    world.assert_clean()


@pytest.mark.parametrize(
    ("status", "told"), [(486, 486), (603, 603), (503, 500), (401, 502), (302, 480)]
)
def test_a_targets_failure_status_is_passed_on_or_mapped_for_the_caller(world, status, told):
    world.b.reply = Reply(final=status)
    world.a.call()
    assert world.a.statuses[-1] == told
    world.assert_clean()


def test_early_media_of_a_single_target_is_passed_on(world):
    world.b.reply = Reply(provisional=(183,), early=True, final=None)
    world.a.call(headers=(("Supported", "timer"),))
    progress = world.a.responses[-1]
    assert progress.status == 183
    assert b"c=IN IP4 192.0.2.1" in progress.body
    assert len(world.switch.plane.joins) == 2
    assert not world.call.joined
    world.b.answer(reply=Reply(provisional=()))
    world.net.flush()
    assert world.call.joined is not None
    assert world.a.responses[-1].body == progress.body
    world.b.hang_up()
    world.assert_clean()


def test_each_early_dialog_of_the_callee_gets_its_own_tag_on_the_callers_leg(world):
    world.b.reply = Reply(provisional=(), final=None)
    world.a.call()
    invite = world.b.invites[0]
    for tag in ("one", "two", "one"):
        invite.respond(180, to_tag=tag, now=world.clock.now)
        world.net.flush()
    tags = [response.to.tag for response in world.a.responses[-3:]]
    assert tags[0] == tags[2] != tags[1]
    world.b.dialog = invite.respond(
        200,
        headers=(("Content-Type", "application/sdp"),),
        body=world.b.sdp(),
        to_tag="two",
        now=world.clock.now,
    )
    world.net.flush()
    assert world.a.responses[-1].to.tag == tags[1]
    world.a.hang_up()
    world.assert_clean()


def test_a_call_without_an_offer_in_the_invite_is_negotiated_in_200_and_ack(world):
    world.a.call(body=b"")
    world.net.run(1)
    assert world.b.invites[0].request.body == b""
    assert b"m=audio" in world.a.responses[-1].body
    acks = [m for m in world.b.seen if getattr(m, "method", "") == "ACK"]
    assert b"c=IN IP4 192.0.2.1\r\n" in acks[-1].body
    assert len(world.switch.plane.joins) == 2
    assert len(world.switch.of(MediaNegotiated)) == 2
    world.a.hang_up()
    world.assert_clean()


def test_a_delayed_offer_that_the_ack_does_not_answer_ends_both_legs(world):
    world.a.answer_offers = False
    world.a.call(body=b"")
    world.a.dialog.ack(world.a.client, now=world.clock.now)
    world.net.flush()
    assert world.switch.of(CallEnded)[0].cause == "no-common-media"
    assert world.a.methods == ["BYE"]
    assert world.b.methods == ["BYE"]
    assert [m.method for m in world.b.seen if isinstance(m, Request)][-2:] == ["ACK", "BYE"]
    world.assert_clean()


def test_a_missing_ack_ends_both_legs(world):
    world.net.lost = lambda data: data.startswith(b"ACK sip:100@192.0.2.1")
    world.a.call()
    world.net.run(40)
    assert world.switch.of(CallEnded)[0].cause == "ack-missing"
    world.assert_clean()


# --- ring groups ------------------------------------------------------------------------------


@pytest.fixture
def group(world):
    world.switch.plan.targets = [world.target(world.b), world.target(world.c)]
    world.b.reply = Reply(final=None)
    world.c.reply = Reply(provisional=(183,), early=True, final=None)
    return world


def test_all_phones_of_a_group_ring_and_the_caller_gets_one_180_without_sdp(group):
    group.a.call()
    assert group.a.statuses == [180]
    assert group.a.responses[-1].body == b""
    assert len(group.switch.of(LegRinging)) == 2
    assert len(set(group.switch.plane.open_legs.values())) == 3


def test_the_first_answer_in_a_group_reaches_the_caller_and_other_invites_are_cancelled(group):
    group.a.call()
    group.c.answer(reply=Reply(provisional=()))
    group.net.flush()
    assert group.a.statuses[-1] == 200
    assert group.b.invites[0].cancelled
    assert len(group.switch.plane.open_legs) == 2
    assert group.switch.of(LegEnded)[0].cause == "answered-elsewhere"
    group.c.hang_up()
    group.assert_clean()


def test_a_group_members_200_without_sdp_uses_the_answer_from_its_183(group):
    group.a.call()
    group.c.answer(reply=Reply(provisional=(), body=b""))
    group.net.flush()
    assert group.a.statuses[-1] == 200
    assert group.a.told().audio_index() == 0
    assert group.call.joined is not None
    group.c.hang_up()
    group.assert_clean()


def test_two_simultaneous_answers_in_a_group_leave_one_leg_and_end_the_other(group):
    group.a.call()
    group.b.answer(reply=Reply(provisional=()))
    group.c.answer(reply=Reply(provisional=()))
    group.net.flush()
    group.net.run(2)
    assert group.a.statuses.count(200) == 1
    assert sorted([group.b.methods, group.c.methods]) == [[], ["BYE"]]
    assert len(group.switch.of(CallAnswered)) == 1
    group.a.hang_up()
    group.assert_clean()


def test_the_caller_gets_the_best_of_a_groups_failure_responses(group):
    group.b.reply = Reply(final=None)
    group.c.reply = Reply(final=404)
    group.a.call()
    group.b.answer(reply=Reply(provisional=(), final=486))
    group.net.flush()
    assert group.a.statuses[-1] == 486
    group.assert_clean()


def test_a_6xx_ends_the_whole_group(group):
    group.a.call()
    group.c.answer(reply=Reply(provisional=(), final=603))
    group.net.flush()
    assert group.a.statuses[-1] == 603
    assert group.b.invites[0].cancelled
    group.assert_clean()


def test_a_group_without_enough_ports_gets_503_and_no_phone_rings(group):
    group.switch.plane.room = 2
    group.a.call()
    assert group.a.statuses[-1] == 503
    assert group.b.invites == group.c.invites == []
    group.assert_clean()


# --- names and trust --------------------------------------------------------------------------

ASSERTED = ("P-Asserted-Identity", "<sip:+441632960001@trunk.example>")


def test_an_asserted_identity_goes_to_a_trusted_target_only():
    world = World(trust_caller=True)
    world.talk(headers=(ASSERTED, ("Reason", "SIP;cause=302")))
    request = world.b.invites[0].request
    assert request.headers.get("P-Asserted-Identity") is None
    assert request.headers.get("Reason") == "SIP;cause=302"
    world.a.hang_up()
    world.switch.plan.targets = [world.target(world.b, trust=True)]
    world.talk(headers=(ASSERTED,))
    assert world.b.invites[1].request.headers.get("P-Asserted-Identity") == ASSERTED[1]


def test_a_withheld_caller_is_anonymous_to_the_advisors_phone():
    world = World(trust_caller=True)
    world.talk(headers=(ASSERTED, ("Privacy", "id"), ("Subject", "from me")))
    request = world.b.invites[0].request
    assert b"01632960001" not in bytes(request)
    assert b"1632960001" not in bytes(request)
    assert request.from_.uri.host == "anonymous.invalid"
    assert request.headers.get("Subject") is None


def test_an_untrusted_caller_cannot_assert_an_identity(world):
    world.switch.plan.targets = [world.target(world.b, trust=True)]
    world.talk(headers=(ASSERTED,))
    assert world.b.invites[0].request.headers.get("P-Asserted-Identity") is None


def test_an_asserted_identity_in_the_answer_names_the_advisor(world):
    world.b.reply = Reply(headers=(("P-Asserted-Identity", '"Sian" <sip:201@pbx.example>'),))
    world.talk()
    told = world.switch.of(IdentityChanged)
    assert [(e.identity.uri.user, e.source) for e in told] == [("201", "P-Asserted-Identity")]


def test_the_callers_from_tag_and_call_id_are_not_sent_to_the_callee(world):
    named = NameAddr("Caller", Uri.parse("sip:01632960001@trunk.example")).with_tag("secret-tag")
    world.talk(from_=named)
    text = bytes(world.b.invites[0].request)
    assert b"secret-tag" not in text
    assert world.a.client.request.call_id.encode() not in text
    assert b"01632960001" in text


@pytest.mark.parametrize(
    "wish",
    [("Privacy", "id"), ("Privacy", "user,id"), ("Remote-Party-ID", "<sip:1@x>;privacy=full")],
)
def test_a_withheld_number_is_not_sent_to_a_registered_phone(wish):
    world = World(trust_caller=True)
    world.switch.plan.targets = [world.target(world.b, trust=True, is_phone=True)]
    world.talk(headers=(ASSERTED, wish))
    request = world.b.invites[0].request
    assert b"1632960001" not in bytes(request)
    assert request.from_.uri.host == "anonymous.invalid"


@pytest.mark.parametrize("where", [b"IP4 phone.example", b"IP6 2001:db8::1"])
def test_an_offer_with_an_unusable_media_address_gets_488_before_any_phone_rings(world, where):
    world.a.call(body=world.a.sdp().replace(b"c=IN IP4 192.0.2.10", b"c=IN " + where))
    assert world.a.statuses == [488]
    assert world.b.invites == []
    world.assert_clean()


def test_a_targets_bye_before_its_answer_ends_the_callers_ringing_with_480(world):
    world.b.reply = Reply(final=None)
    world.a.call()
    (early,) = world.b.invites[0].dialogs.values()
    early.request("BYE", now=world.clock.now)
    world.net.run(1)
    assert world.a.statuses[-1] == 480
    world.assert_clean()


def test_an_unrequested_487_from_the_target_reaches_the_caller_as_480(world):
    world.b.reply = Reply(final=487)
    world.a.call()
    assert world.a.statuses[-1] == 480
    world.assert_clean()


def test_invites_and_answers_announce_support_for_replaces(world):
    world.talk()
    for message in (world.b.invites[0].request, world.a.responses[-1]):
        assert "replaces" in message.headers.get_list("Supported")


def test_an_invite_to_a_phone_that_registered_through_proxies_follows_its_path(world):
    path = tuple(NameAddr.parse(f"<sip:proxy{number}.example;lr>") for number in (1, 2))
    target = world.target(world.b, path=path)
    assert TargetCheckpoint.of(target).target() == target
    world.switch.plan.targets = [target]
    world.talk()
    assert world.b.invites[0].request.headers.get_all("Route") == [str(proxy) for proxy in path]
    world.a.hang_up()
    world.assert_clean()


def test_a_call_without_a_port_for_the_caller_gets_503(world):
    world.switch.plane.room = 0
    world.a.call()
    assert world.a.statuses[-1] == 503
    assert world.switch.of(CallEnded)[0].status == 503
    world.assert_clean()
