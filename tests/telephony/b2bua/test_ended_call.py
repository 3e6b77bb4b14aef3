"""Late events of a call that has ended, and that has released all its parts."""

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua.core import EndedCall
from telephony.errors import ProtocolError


def test_a_200_that_crosses_our_cancel_gets_an_ack_and_a_bye_after_the_end_of_the_call(world):
    world.b.reply = Reply(final=None)
    world.a.call()
    world.net.run(1)
    leg = world.call.legs[list(world.call.legs)[1]]
    world.net.lost = lambda data: data.startswith(b"CANCEL sip:20@")  # ours to the callee
    world.a.client.cancel(now=world.clock.now)
    world.net.flush()
    assert world.call.ended
    assert isinstance(leg.call, EndedCall)
    world.b.answer(reply=Reply(provisional=()))
    world.net.flush()
    sent = [data.split()[0] for _, to, data in world.net.wire if to == world.b.address]
    assert sent[-2:] == [b"ACK", b"BYE"]
    assert world.b.methods == ["BYE"]


@pytest.mark.parametrize(("method", "status"), [("INFO", 481), ("INVITE", 481), ("BYE", 200)])
def test_a_request_that_is_read_after_the_end_of_its_call_gets_a_response(world, method, status):
    call = world.talk()
    work, world.switch.work = world.switch.work, lambda: None
    world.a.hang_up()
    world.b.ask(method)
    world.switch.work = work
    world.net.run(1)
    assert call.ended
    assert world.a.statuses[-1] == 200
    answers = [data for _, to, data in world.net.wire if to == world.b.address]
    assert any(data.startswith(b"SIP/2.0 %d" % status) for data in answers)


def test_no_leg_can_move_to_a_call_that_has_ended(world):
    call = world.talk()
    leg = call.legs[call.joined[0]]
    call.hangup(world.clock.now)
    world.switch.drain(call)
    assert isinstance(leg.call, EndedCall)
    assert not leg.call.transferring
    with pytest.raises(ProtocolError):
        leg.call.add_moved_leg(leg, world.target(world.c), world.clock.now)
    with pytest.raises(ProtocolError):
        leg.call.core.end("fault", world.clock.now)
