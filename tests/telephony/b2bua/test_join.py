"""Attended transfer: the advisor calls a third party, then joins the caller with it.

Covers `telephony/b2bua/offers.py`.
"""

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua.events import CallEnded, CallHeld, Joined, LegEnded, MediaNegotiated
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri


def replaces_of(dialog):
    """Return a Refer-To value whose Replaces names a dialog of the phone that sends it."""
    return (
        f"<sip:300@192.0.2.1?Replaces={dialog.call_id.replace('@', '%40')}"
        f"%3Bto-tag%3D{dialog.id.remote_tag}%3Bfrom-tag%3D{dialog.id.local_tag}>"
    )


class Consultation:
    """Phone `b` has put `a` on hold and talks with `c`."""

    def __init__(self, world, *, hold=True, calls_back=False):
        self.world = world
        self.first = world.talk()
        self.held = world.b.dialog
        if hold:
            world.b.reinvite(direction="sendonly")
            world.net.run(1)
            assert world.switch.of(CallHeld)
        caller, callee = (world.c, world.b) if calls_back else (world.b, world.c)
        world.switch.plan.targets = [world.target(callee)]
        caller.call(from_=NameAddr("", Uri.parse("sip:20@192.0.2.1")))
        world.net.run(1)
        self.second = world.call
        assert self.second is not self.first
        self.consulted = world.b.dialog
        assert self.consulted is not self.held
        world.switch.joins_with = [world.target(world.c)]

    def refer(self, *, from_second=False):
        on, named = (self.consulted, self.held) if from_second else (self.held, self.consulted)
        on.request("REFER", headers=(("Refer-To", replaces_of(named)),), now=self.world.clock.now)
        self.world.net.flush()
        self.world.net.run(1)


@pytest.mark.parametrize("from_second", [False, True])
def test_an_attended_transfer_joins_the_caller_with_the_consulted_party(world, from_second):
    consultation = Consultation(world)
    moved = consultation.second.joined[1]
    consultation.refer(from_second=from_second)
    first = consultation.first
    assert world.b.statuses[-1] == 202 or 202 in world.b.statuses
    (joined,) = world.switch.of(Joined)
    assert joined.leg_id == moved
    assert first.joined == (next(iter(first.legs)), moved)
    assert world.switch.plane.joins[moved] == next(iter(first.legs))
    notified = [r.body for r in world.b.requests if r.method == "NOTIFY"]
    assert notified == [b"SIP/2.0 200 OK\r\n"]
    assert world.b.methods.count("BYE") == 2
    assert consultation.second.ended
    assert world.switch.of(CallEnded) == [CallEnded("transferred")]
    assert world.a.told().direction(0).value == "sendrecv"
    assert world.a.methods[-1] == "INVITE"
    world.c.hang_up()
    world.net.run(1)
    assert world.a.methods[-1] == "BYE"
    world.assert_clean()


def test_a_callers_bye_after_an_attended_transfer_reaches_the_new_party(world):
    Consultation(world).refer()
    world.a.hang_up()
    world.net.run(1)
    assert world.c.methods[-1] == "BYE"
    world.assert_clean()


def test_a_party_that_called_the_advisor_can_be_joined_with_the_caller(world):
    consultation = Consultation(world, calls_back=True)
    consultation.refer()
    assert world.switch.of(Joined)
    assert consultation.second.ended
    assert consultation.first.joined is not None
    world.a.hang_up()
    world.net.run(1)
    assert world.c.methods[-1] == "BYE"
    world.assert_clean()


def test_different_payload_types_of_joined_legs_are_mapped(world):
    world.a.codecs = ("0 PCMU/8000", "101 telephone-event/8000")
    world.c.codecs = ("8 PCMA/8000", "0 PCMU/8000", "96 telephone-event/8000")
    world.b.codecs = ("8 PCMA/8000", "0 PCMU/8000", "101 telephone-event/8000")
    consultation = Consultation(world)
    consultation.refer()
    caller, moved = consultation.first.joined
    assert world.switch.plane.maps[caller, moved][101] == 96
    assert world.switch.plane.maps[moved, caller][96] == 101
    told = world.switch.of(MediaNegotiated)[-1]
    assert told.leg_id in {caller, moved}
    world.a.hang_up()
    world.assert_clean()


def test_joined_legs_without_a_common_codec_negotiate_one_by_re_invite(world):
    world.a.codecs = ("0 PCMU/8000",)
    consultation = Consultation(world)
    world.c.codecs = ("8 PCMA/8000",)  # of all its codecs, the only one that c has offered to b
    world.c.reinvite()
    world.net.run(1)
    world.c.codecs = ("8 PCMA/8000", "0 PCMU/8000")
    consultation.refer()
    caller, moved = consultation.first.joined
    assert world.switch.plane.maps[caller, moved][0] == 0
    assert "INVITE" in world.c.methods
    assert world.c.told().media[0].formats[0] == "0"
    world.a.hang_up()
    world.assert_clean()


def test_a_leg_that_refuses_the_offer_after_a_join_does_not_end_the_call(world):
    consultation = Consultation(world)
    world.a.refuse_offer = 488
    consultation.refer()
    assert consultation.first.joined is not None
    # The hold, the refused offer, and one more after the other leg's offer; never an endless loop.
    assert world.a.methods.count("INVITE") == 3
    world.a.hang_up()
    world.assert_clean()


def test_a_hold_by_the_caller_stays_in_force_across_a_join(world):
    consultation = Consultation(world, hold=False)
    world.a.direction = "sendonly"
    world.a.reinvite()
    world.net.run(1)
    consultation.refer()
    assert world.c.told().direction(0).value == "sendonly"
    world.a.direction = "sendrecv"
    world.a.reinvite()
    world.net.run(1)
    assert world.c.told().direction(0).value == "sendrecv"
    world.a.hang_up()
    world.assert_clean()


def test_a_joined_call_continues_after_a_restart(world):
    consultation = Consultation(world)
    consultation.refer()
    joined = consultation.first.joined
    world.net.run(10)
    world.crash()
    assert world.call.joined == joined
    world.c.hang_up()
    world.net.run(1)
    assert world.a.methods[-1] == "BYE"


def test_a_refer_with_a_replaces_for_a_dialog_of_another_phone_gets_603(world):
    consultation = Consultation(world)
    world.a.dialog.request(
        "REFER",
        headers=(("Refer-To", replaces_of(consultation.consulted)),),
        now=world.clock.now,
    )
    world.net.run(1)
    assert world.a.statuses[-1] == 603
    world.c.dialog.request(
        "REFER", headers=(("Refer-To", replaces_of(consultation.held)),), now=world.clock.now
    )
    world.net.run(1)
    assert world.c.statuses[-1] == 603
    assert not world.switch.of(Joined)
    assert consultation.first.joined is not None
    assert consultation.second.joined is not None


def test_a_refer_to_a_consultation_that_still_rings_becomes_a_blind_transfer(world):
    world.talk()
    held = world.b.dialog
    world.c.reply = Reply(final=None)
    world.switch.plan.targets = [world.target(world.c)]
    early = world.b.call()
    world.net.run(1)
    (consulted,) = early.dialogs.values()
    world.switch.plan.transfer_targets = [world.target(world.c)]
    held.request("REFER", headers=(("Refer-To", replaces_of(consulted)),), now=world.clock.now)
    world.net.run(1)
    assert 202 in world.b.statuses
    assert len(world.c.invites) == 2
    world.c.answer(reply=Reply(provisional=()))
    world.net.run(1)
    assert world.b.methods[-1] == "BYE"


def test_each_leg_ends_once_if_the_advisor_hangs_up_both_legs_itself(world):
    world.b.bye_at_accept = True
    consultation = Consultation(world)
    consultation.refer()
    assert consultation.first.joined is not None
    assert consultation.second.ended
    ended = [event.leg_id for event in world.switch.of(LegEnded)]
    assert len(ended) == len(set(ended)) == 2
    world.a.hang_up()
    world.assert_clean()


@pytest.mark.parametrize("from_second", [False, True])
@pytest.mark.parametrize("what", ["INVITE", "INFO"])
def test_a_request_pending_at_the_join_does_not_get_481(world, what, from_second):
    consultation = Consultation(world)
    serve = world.b.serve
    world.b.serve = lambda dialog, transaction, request: (
        None if request.method == what else serve(dialog, transaction, request)
    )
    for phone in (world.a, world.c):
        if what == "INVITE":
            phone.reinvite(codecs=("8 PCMA/8000", "0 PCMU/8000", "101 telephone-event/8000"))
        else:
            phone.ask("INFO", (("Content-Type", "application/dtmf-relay"),), b"Signal=1")
    consultation.refer(from_second=from_second)
    world.net.run(10)
    assert 481 not in world.a.statuses + world.c.statuses
    assert consultation.first.joined is not None
    world.a.hang_up()
    world.assert_clean()
