"""The acts of the call's owner for the callee: hanging up, hold, and a transfer without REFER.

Covers `telephony/b2bua/call.py` together with `offers.py`, `exchange.py`, `leg_media.py` and
`transfer.py`.
"""

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua.events import (
    CallEnded,
    LegEnded,
    Recalled,
    Side,
    TransferCompleted,
    TransferFailed,
    TransferRequested,
)
from telephony.sdp import Direction


def offered(phone):
    told = phone.told()
    return told.direction(told.audio_index())


def receives(world):
    """Return whether the relay sends media to the caller, and whether to the callee."""
    remotes = world.switch.plane.remotes
    return tuple(remotes[leg].receive for leg in world.call.joined)


def do(world, act, *args):
    """Let the owner act, and deliver what follows from it."""
    found = getattr(world.call, act)(*args, world.switch.now)
    world.switch.drain(world.call)
    world.net.flush()
    return found


def test_hanging_up_for_the_callee_ends_both_legs(world):
    world.talk()
    do(world, "hang_up_callee")
    assert (world.a.methods, world.b.methods) == (["BYE"], ["BYE"])
    assert world.switch.of(CallEnded)[0].cause == "advisor-hung-up"
    world.assert_clean()


def test_hanging_up_for_the_callee_before_the_answer_does_not_end_the_call(world):
    world.b.reply = Reply(final=None)
    world.a.call()
    do(world, "hang_up_callee")
    assert not world.call.ended
    world.a.client.cancel(now=world.a.now)
    world.assert_clean()


def test_a_hold_offers_inactive_to_both_parties_and_stops_their_media(world):
    call = world.talk()
    do(world, "hold")
    assert receives(world) == (False, False)
    world.net.run(1)
    assert (offered(world.a), offered(world.b)) == (Direction.INACTIVE, Direction.INACTIVE)
    assert call.holding == {Side.CALLEE}
    assert call.held_by_owner
    do(world, "resume")
    world.net.run(1)
    assert (offered(world.a), offered(world.b)) == (Direction.SENDRECV, Direction.SENDRECV)
    assert receives(world) == (True, True)
    assert call.holding == frozenset()
    world.a.hang_up()
    world.assert_clean()


def test_a_hold_stops_the_media_even_if_a_phone_refuses_the_offer(world):
    world.talk()
    world.a.refuse_offer = world.b.refuse_offer = 488
    do(world, "hold")
    world.net.run(1)
    assert receives(world) == (False, False)
    do(world, "resume")
    assert receives(world) == (True, True)
    world.a.hang_up()
    world.assert_clean()


def test_a_hold_and_a_resume_that_overtakes_it_end_with_media_in_both_directions(world):
    world.talk()
    call = world.call
    call.hold(world.switch.now)
    call.resume(world.switch.now)
    world.switch.drain(call)
    world.net.flush()
    world.net.run(10)
    assert (offered(world.a), offered(world.b)) == (Direction.SENDRECV, Direction.SENDRECV)
    assert receives(world) == (True, True)
    world.a.hang_up()
    world.assert_clean()


@pytest.mark.parametrize("sender", ["a", "b"])
def test_a_refresh_by_a_held_party_does_not_end_the_hold(world, sender):
    world.talk()
    do(world, "hold")
    world.net.run(1)
    getattr(world, sender).reinvite(direction="sendrecv")
    world.net.run(1)
    assert receives(world) == (False, False)
    assert world.call.held_by_owner
    assert offered(getattr(world, sender)) is Direction.INACTIVE
    world.a.hang_up()
    world.assert_clean()


def test_the_resume_key_of_the_callees_phone_ends_a_hold_by_the_owner(world):
    world.talk()
    do(world, "hold")
    world.net.run(1)
    world.b.reinvite(direction="sendonly")
    world.net.run(1)
    assert world.call.held_by_owner
    world.b.reinvite(direction="sendrecv")
    world.net.run(1)
    assert not world.call.held_by_owner
    assert receives(world) == (True, True)
    assert offered(world.a) is Direction.SENDRECV
    world.a.hang_up()
    world.assert_clean()


def test_a_hold_by_the_owner_survives_a_restart(world):
    world.talk()
    do(world, "hold")
    world.net.run(1)
    world.crash()
    assert world.call.held_by_owner
    assert receives(world) == (False, False)
    do(world, "resume")
    world.net.run(1)
    assert (offered(world.a), offered(world.b)) == (Direction.SENDRECV, Direction.SENDRECV)
    world.a.hang_up()
    world.assert_clean()


def test_a_transfer_by_the_owner_rings_the_target_and_the_callee_leaves_at_the_answer(world):
    call = world.talk()
    a, b = call.joined
    assert do(world, "transfer", world.switch.plan.transfer_targets)
    world.net.run(1)
    assert world.switch.of(TransferRequested) == []
    assert call.joined == (a, world.switch.of(TransferCompleted)[0].leg_id)
    assert world.b.methods == ["BYE"]
    assert b not in world.switch.plane.open_legs
    world.a.hang_up()
    world.assert_clean()


def test_a_transfer_by_the_owner_ends_the_owners_hold(world):
    world.talk()
    do(world, "hold")
    world.net.run(1)
    do(world, "transfer", world.switch.plan.transfer_targets)
    world.net.run(1)
    assert (offered(world.a), offered(world.c)) == (Direction.SENDRECV, Direction.SENDRECV)
    assert receives(world) == (True, True)
    assert not world.call.held_by_owner
    world.a.hang_up()
    world.assert_clean()


def test_a_failed_transfer_by_the_owner_leaves_the_caller_joined_with_the_callee(world):
    call = world.talk()
    pair = call.joined
    world.c.reply = Reply(final=486)
    do(world, "transfer", world.switch.plan.transfer_targets)
    world.net.run(3)
    failed = world.switch.of(TransferFailed)
    assert [(each.status, each.transferor_gone) for each in failed] == [(486, False)]
    assert call.joined == pair
    assert world.b.methods == []
    world.a.hang_up()
    world.assert_clean()


def test_hanging_up_for_the_callee_while_the_target_rings_leaves_the_caller_with_the_target(world):
    call = world.talk()
    world.c.reply = Reply(final=None)
    do(world, "transfer", world.switch.plan.transfer_targets)
    do(world, "hang_up_callee")
    assert world.b.methods == ["BYE"]
    assert world.switch.of(LegEnded)[0].cause == "transferred"
    assert not call.ended
    world.c.answer(reply=Reply(provisional=()))
    world.net.flush()
    world.net.run(1)
    assert call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_the_callee_is_rung_again_if_it_hung_up_and_the_target_declines(world):
    world.talk()
    world.c.reply = Reply(final=None)
    do(world, "transfer", world.switch.plan.transfer_targets)
    do(world, "hang_up_callee")
    world.c.answer(reply=Reply(provisional=(), final=603))
    world.net.flush()
    world.net.run(1)
    assert len(world.switch.of(Recalled)) == 1
    world.a.hang_up()
    world.assert_clean()


def test_a_second_transfer_cannot_begin_while_one_is_in_progress(world):
    world.talk()
    world.c.reply = Reply(final=None)
    targets = world.switch.plan.transfer_targets
    assert do(world, "transfer", targets)
    assert not do(world, "transfer", targets)
    world.b.refer()
    assert world.b.statuses[-1] == 500
    assert len(world.c.invites) == 1
    world.a.hang_up()
    world.assert_clean()


def test_an_unfinished_transfer_by_the_owner_counts_as_failed_after_a_restart(world):
    world.talk()
    world.c.reply = Reply(final=None)
    do(world, "transfer", world.switch.plan.transfer_targets)
    world.crash()
    assert [each.status for each in world.switch.of(TransferFailed)] == [503]
    assert world.call.joined is not None
    world.a.hang_up()
    world.net.run(300)
