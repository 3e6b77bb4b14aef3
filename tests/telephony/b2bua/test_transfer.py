"""Blind transfer, and what happens when it fails.

Covers `telephony/b2bua/referral.py`.
"""

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua.events import (
    CallEnded,
    LegEnded,
    Recalled,
    TransferCompleted,
    TransferFailed,
    TransferProgress,
    TransferRequested,
)


def fragments(phone):
    return [r.body.decode().strip() for r in phone.requests if r.method == "NOTIFY"]


def test_a_transfer_rings_the_target_and_the_advisor_leaves_when_it_answers(world):
    call = world.talk()
    a, b = call.joined
    world.b.refer()
    world.net.run(1)
    assert 202 in world.b.statuses
    assert fragments(world.b) == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]
    assert world.b.methods[-1] == "BYE"
    assert call.joined == (a, world.switch.of(TransferCompleted)[0].leg_id)
    assert world.switch.plane.joins[a] == call.joined[1]
    assert b not in world.switch.plane.open_legs
    assert world.a.methods == []
    assert world.switch.of(LegEnded)[0].cause == "transferred"
    assert len(world.switch.of(TransferProgress)) == 1
    world.c.hang_up()
    assert world.a.methods == ["BYE"]
    world.assert_clean()


def test_a_phone_gets_no_reason_phrase_of_an_untrusted_target_in_a_notify(world):
    world.switch.plan.targets = [world.target(world.b, trust=True, is_phone=True)]
    world.c.reply = Reply(final=486, reason="Dial 0900 123456")
    for trust, phrase in ((False, "Busy Here"), (True, "Dial 0900 123456")):
        world.switch.plan.transfer_targets = [world.target(world.c, trust=trust)]
        world.talk()
        world.b.refer()
        world.net.run(1)
        assert fragments(world.b)[-1] == f"SIP/2.0 486 {phrase}"
        world.a.hang_up()


def test_the_owner_receives_the_transfer_request_before_the_refer_is_answered(world):
    world.talk()
    world.switch.plan.transfer_refusal = 603
    world.b.refer("<sip:0800@192.0.2.1?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>")
    told = world.switch.of(TransferRequested)[0]
    assert told.refer_to.uri.user == "0800"
    assert told.replaces == "x;to-tag=1;from-tag=2"
    assert told.side == "advisor"
    assert world.b.statuses[-1] == 603
    assert world.call.joined is not None
    world.b.refer()
    assert len(world.switch.of(TransferRequested)) == 2


def test_a_transfer_with_an_unknown_replaces_gets_603_even_if_the_owner_accepts(world):
    world.talk()
    world.b.refer("<sip:0800@192.0.2.1?Replaces=x%3Bto-tag%3D1%3Bfrom-tag%3D2>")
    assert world.b.statuses[-1] == 603
    assert world.c.invites == []
    assert world.call.joined is not None


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("<sip:1@x>, <sip:2@x>", 400),
        ("<", 400),
        ("<http://example.org>", 416),
        ("<sip:1@x;method=BYE>", 603),
    ],
)
def test_an_invalid_refer_to_is_refused_without_asking_the_owner(world, value, status):
    world.talk()
    world.b.refer(value)
    assert world.b.statuses[-1] == status
    assert world.switch.of(TransferRequested) == []


def test_a_refer_from_the_caller_gets_603(world):
    world.talk()
    world.a.refer()
    assert world.a.statuses[-1] == 603
    assert world.switch.of(TransferRequested) == []


def test_a_refer_that_the_owner_does_not_answer_gets_603(world):
    world.talk()
    world.switch.plan.transfer_targets = []
    world.b.refer()
    world.net.run(6)
    assert world.b.statuses[-1] == 603


def test_a_failed_transfer_leaves_the_caller_joined_with_the_advisor(world):
    call = world.talk()
    pair = call.joined
    world.c.reply = Reply(final=486)
    world.b.refer()
    world.net.run(1)
    assert fragments(world.b)[-1] == "SIP/2.0 486 Busy Here"
    assert call.joined == pair
    assert world.switch.plane.joins[pair[0]] == pair[1]
    failed = world.switch.of(TransferFailed)[0]
    assert (failed.status, failed.transferor_gone) == (486, False)
    world.b.reinvite(direction="sendonly")
    assert world.b.statuses[-1] == 200
    world.a.hang_up()
    world.assert_clean()


def test_an_unanswered_transfer_fails_with_408_after_its_time_limit(world):
    world.talk()
    world.c.reply = Reply(final=None)
    world.b.refer()
    world.net.run(61)
    assert world.switch.of(TransferFailed)[0].status == 408
    assert world.c.invites[0].cancelled
    assert world.call.joined is not None


def test_an_advisors_bye_right_after_its_refer_does_not_stop_the_transfer(world):
    call = world.talk()
    world.b.bye_at_accept = True
    world.b.refer()
    world.net.run(1)
    assert world.switch.of(TransferCompleted)
    assert world.a.methods == []
    assert call.joined is not None
    world.a.hang_up()
    assert world.c.methods == ["BYE"]
    world.assert_clean()


def test_the_caller_hears_ringback_if_the_advisor_left_before_the_target_answers(world):
    world.talk()
    world.c.reply = Reply(final=None)
    world.b.bye_at_accept = True
    world.b.refer()
    assert world.switch.plane.ringing
    world.c.answer(reply=Reply(provisional=()))
    world.net.flush()
    assert world.switch.plane.ringing == set()
    assert world.call.joined is not None


def test_a_transfer_that_fails_after_the_advisor_left_rings_the_advisor_again(world):
    call = world.talk()
    world.c.reply = Reply(final=486)
    world.b.bye_at_accept = True
    world.b.refer()
    world.net.run(1)
    assert world.switch.of(TransferFailed)[0].transferor_gone
    assert len(world.b.invites) == 2
    assert world.switch.of(Recalled)[0].leg_id == call.joined[1]
    assert world.switch.plane.ringing == set()
    world.a.hang_up()
    assert world.b.methods[-1] == "BYE"
    world.assert_clean()


def fail_a_transfer(world):
    call = world.talk()
    world.c.reply = Reply(final=486)
    world.b.refer()
    world.net.run(0.5)
    assert fragments(world.b)[-1] == "SIP/2.0 486 Busy Here"
    return call


def test_an_advisor_that_hangs_up_right_after_a_failed_transfer_is_rung_again(world):
    call = fail_a_transfer(world)
    world.b.reply = Reply(final=None)
    world.b.hang_up()
    world.net.run(1)
    assert world.a.methods == []
    assert world.switch.plane.ringing == {"call0/a"}
    assert [e.transferor_gone for e in world.switch.of(TransferFailed)] == [False, True]
    assert len({(e.request_id, e.status) for e in world.switch.of(TransferFailed)}) == 1
    world.b.answer(reply=Reply(provisional=()))
    world.net.run(1)
    assert world.switch.of(Recalled)[0].leg_id == call.joined[1]
    assert world.switch.plane.joins[call.joined[0]] == call.joined[1]
    assert world.switch.plane.ringing == set()
    world.b.hang_up()  # after the recall was answered, a hang-up ends the call
    assert world.a.methods[-1] == "BYE"
    world.assert_clean()


def test_an_advisor_that_hangs_up_later_after_a_failed_transfer_ends_the_call(world):
    fail_a_transfer(world)
    world.net.run(2.1)
    world.b.hang_up()
    assert world.a.methods == ["BYE"]
    assert len(world.b.invites) == 1
    world.assert_clean()


def test_the_recall_window_starts_when_the_advisor_receives_the_failure(world):
    world.talk()
    world.c.reply = Reply(final=486)
    heard: list = []
    world.net.lost = lambda data: data.startswith(b"NOTIFY") and b"486 Busy" in data and not heard
    world.b.refer()
    world.net.run(3)
    heard.append(True)
    world.net.run(1)
    assert fragments(world.b)[-1] == "SIP/2.0 486 Busy Here"
    world.b.hang_up()
    world.net.run(1)
    assert world.a.methods == []
    assert len(world.b.invites) == 2


def test_a_caller_that_hangs_up_after_a_failed_transfer_ends_the_call(world):
    fail_a_transfer(world)
    world.a.hang_up()
    assert world.b.methods[-1] == "BYE"
    world.assert_clean()


def test_a_caller_that_hangs_up_during_a_recall_ends_the_call(world):
    fail_a_transfer(world)
    world.b.reply = Reply(final=None)
    world.b.hang_up()
    world.net.run(1)
    world.a.hang_up()
    assert world.b.invites[-1].cancelled
    world.assert_clean()


def test_a_recall_that_the_advisor_refuses_ends_the_call(world):
    fail_a_transfer(world)
    world.b.reply = Reply(final=486)
    world.b.hang_up()
    world.net.run(1)
    assert world.switch.of(CallEnded)[0].cause == "nobody-left"
    assert world.a.methods == ["BYE"]
    world.assert_clean()


def test_a_second_refer_closes_the_recall_window_of_the_first_failure(world):
    fail_a_transfer(world)
    world.switch.plan.transfer_refusal = 603
    world.b.refer()
    world.b.hang_up()
    assert world.a.methods == ["BYE"]
    world.assert_clean()


def test_an_unanswered_recall_ends_the_call(world):
    world.talk()
    world.c.reply = Reply(final=486)
    world.b.reply = Reply(final=None)
    world.b.bye_at_accept = True
    world.b.refer()
    world.net.run(31)
    assert world.switch.of(CallEnded)[0].cause == "nobody-left"
    assert world.a.methods == ["BYE"]
    world.assert_clean()


def test_the_owner_may_choose_the_target_of_a_recall(world):
    world.talk()

    def look(call, event):
        if isinstance(event, TransferFailed):
            world.c.reply = Reply()
            call.ring_again([world.target(world.c)], world.clock.now)

    world.switch.on_event = look
    world.c.reply = Reply(final=486)
    world.b.bye_at_accept = True
    world.b.refer()
    world.net.run(1)
    assert len(world.b.invites) == 1
    assert world.switch.of(Recalled)[0].target.name == "30"


def test_a_caller_that_hangs_up_during_a_transfer_ends_all_legs(world):
    world.talk()
    world.c.reply = Reply(final=None)
    world.b.refer()
    world.a.hang_up()
    assert world.c.invites[0].cancelled
    assert world.b.methods[-1] == "BYE"
    world.assert_clean()


def test_a_transfer_takes_the_caller_off_hold(world):
    world.talk()
    world.b.reinvite(direction="sendonly")
    world.b.refer()
    world.net.run(1)
    assert b"a=sendrecv" in world.c.invites[0].request.body
    assert world.a.methods == ["INVITE", "INVITE"]
    told = world.a.told()
    assert told.direction(0) == "sendrecv"


def test_a_transfer_target_with_another_codec_re_invites_the_caller(world):
    world.talk()
    world.c.codecs = ("8 PCMA/8000",)
    world.b.refer()
    world.net.run(1)
    assert world.a.methods == ["INVITE"]
    assert world.a.told().media[0].formats == ("8",)


def test_a_transfer_without_free_ports_fails_with_503(world):
    world.talk()
    world.switch.plane.room = 2
    world.b.refer()
    world.net.run(1)
    assert world.switch.of(TransferFailed)[0].status == 503
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_a_refer_with_refer_sub_false_gets_no_notify(world):
    world.talk()
    world.b.refer(headers=(("Refer-Sub", "false"),))
    world.net.run(1)
    assert fragments(world.b) == []
    assert world.b.methods == ["BYE"]


def test_a_refer_that_requires_norefersub_is_accepted(world):
    world.talk()
    world.b.refer(headers=(("Require", "norefersub"), ("Refer-Sub", "false")))
    world.net.run(1)
    accepted = [r for r in world.b.responses if r.status == 202]
    assert [response.headers.get("Refer-Sub") for response in accepted] == ["false"]
    assert fragments(world.b) == []


def test_a_second_refer_during_a_transfer_gets_500(world):
    world.talk()
    world.c.reply = Reply(final=None)
    world.b.refer()
    world.b.refer()
    assert world.b.statuses[-1] == 500
    assert len(world.c.invites) == 1


def test_a_transfer_target_may_transfer_the_call_again(world):
    call = world.talk()
    world.b.refer()
    world.net.run(1)
    world.switch.plan.transfer_targets = [world.target(world.b)]
    world.c.refer()
    world.net.run(1)
    assert len(world.switch.of(TransferCompleted)) == 2
    assert call.joined is not None
    world.b.hang_up()
    world.assert_clean()


def test_a_transfer_targets_200_without_sdp_uses_the_answer_from_its_183(world):
    world.talk()
    world.c.reply = Reply(provisional=(183,), early=True, final=None)
    world.b.refer()
    world.c.answer(reply=Reply(provisional=(), body=b""))
    world.net.run(1)
    assert len(world.switch.of(TransferCompleted)) == 1
    assert fragments(world.b)[-1] == "SIP/2.0 200 OK"
    world.c.hang_up()
    world.assert_clean()


def test_a_transfer_target_without_a_common_codec_fails_the_transfer_with_488(world):
    call = world.talk()
    before = call.joined
    world.c.codecs = ("97 AMR/8000",)
    world.b.refer()
    world.net.run(1)
    assert fragments(world.b)[-1].startswith("SIP/2.0 488")
    assert call.joined == before
    assert world.c.methods == ["BYE"]
    world.a.hang_up()
    world.assert_clean()
