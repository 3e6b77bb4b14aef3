"""A call that the next process continues; a transaction that was under way has failed.

Covers `telephony/b2bua/checkpoint.py`.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from helpers.core_counts import counts
from telephony.b2bua import (
    BackToBackCall,
    SessionInterval,
    bye_from_checkpoint,
    bye_in_dialogs,
)
from telephony.b2bua.events import (
    CallEnded,
    CallHeld,
    MediaNegotiated,
    Recalled,
    TransferCompleted,
    TransferFailed,
)
from telephony.errors import NoPortsError, ProtocolError


def test_an_answered_call_continues_after_a_restart_and_ends_normally(world):
    before = world.talk()
    ports = dict(world.switch.plane.open_legs)
    remotes = dict(world.switch.plane.remotes)
    maps = dict(world.switch.plane.maps)
    world.crash()
    assert world.call is not before
    assert world.call.joined == before.joined
    assert world.switch.plane.open_legs == ports
    assert world.switch.plane.remotes == remotes
    assert world.switch.plane.maps == maps
    assert len(world.switch.of(MediaNegotiated)) == 2
    assert world.a.methods == world.b.methods == []
    world.b.hang_up()
    world.net.run(1)
    assert world.a.methods == ["BYE"]
    assert world.b.statuses[-1] == 200
    world.assert_clean()


def test_our_first_request_after_a_restart_has_the_next_cseq_number(world):
    world.talk()
    world.b.ask("INFO", (("Content-Type", "application/dtmf-relay"),), b"Signal=1\r\n")
    world.net.run(1)
    world.crash()
    world.b.ask("INFO", (("Content-Type", "application/dtmf-relay"),), b"Signal=2\r\n")
    world.net.run(1)
    numbers = [request.cseq.number for request in world.a.requests]
    assert numbers == [numbers[0], numbers[0] + 1]
    assert world.b.statuses[-2:] == [200, 200]


def test_a_request_retransmitted_after_a_restart_is_not_served_again(world):
    world.talk()
    client = world.b.ask("INFO", (("Content-Type", "application/dtmf-relay"),), b"Signal=1\r\n")
    world.net.run(1)
    world.crash()
    world.switch.endpoint.receive(
        bytes(client.request), world.b.address, world.switch.address, world.clock.now
    )
    world.net.run(1)
    assert world.a.methods == ["INFO"]


def test_a_call_held_before_a_restart_can_be_resumed_after_it(world):
    world.talk()
    world.b.reinvite(direction="sendonly")
    world.net.run(1)
    assert world.switch.of(CallHeld)
    world.crash()
    assert world.switch.kinds == ["MediaNegotiated", "MediaNegotiated"]
    world.b.reinvite()
    world.net.run(1)
    assert "CallResumed" in world.switch.kinds
    assert world.a.told().direction(0).value == "sendrecv"
    versions = [body.split()[2] for body in _origins(world.a)]
    assert versions == sorted(versions, key=int)
    assert len(set(versions)) == 3
    world.a.hang_up()
    world.assert_clean()


def _origins(phone):
    lines = [m.body.decode().splitlines() for m in phone.seen if m.body.startswith(b"v=0")]
    return [line for body in lines for line in body if line.startswith("o=")]


def test_session_timers_continue_after_a_restart():
    world = World(session=SessionInterval(90))
    world.talk()
    world.net.run(30)
    world.crash()
    world.net.run(20)
    assert world.b.methods[0] in {"UPDATE", "INVITE"}
    world.net.down.add(world.a.address)
    world.net.run(200)
    assert world.call.ended
    assert "BYE" in world.b.methods
    assert world.switch.plane.open_legs == {}


def test_a_transfer_in_progress_fails_at_a_restart_and_the_advisor_is_notified(world):
    world.talk()
    world.c.reply = Reply(final=None)
    world.b.refer()
    world.net.run(1)
    world.crash()
    world.net.run(1)
    (failed,) = world.switch.of(TransferFailed)
    assert not failed.transferor_gone
    assert world.b.requests[-1].method == "NOTIFY"
    assert world.b.requests[-1].body == b"SIP/2.0 503 Service Unavailable\r\n"
    assert "terminated" in world.b.requests[-1].headers.get("Subscription-State")
    assert world.call.joined is not None
    world.c.reply = Reply()
    world.b.refer()
    world.net.run(1)
    (done,) = world.switch.of(TransferCompleted)
    assert done.leg_id == world.call.joined[1]
    world.a.hang_up()
    world.assert_clean()


def test_a_restart_rings_the_advisor_again_if_the_caller_has_no_callee(world):
    world.talk()
    world.c.reply = Reply(final=None)
    world.b.bye_at_accept = True
    world.b.refer()
    world.net.run(1)
    assert not world.call.joined
    world.crash()
    world.net.run(1)
    (failed,) = world.switch.of(TransferFailed)
    assert failed.transferor_gone
    (recalled,) = world.switch.of(Recalled)
    assert recalled.target == world.target(world.b)
    assert world.a.methods == []
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_an_advisor_whose_transfer_succeeded_before_the_restart_gets_a_bye(world):
    world.b.infos["NOTIFY"] = None  # the final NOTIFY is never answered
    world.talk()
    world.b.refer()
    world.net.run(0.2)
    assert world.switch.of(TransferCompleted)
    world.crash()
    world.net.run(1)
    assert world.b.methods[-1] == "BYE"
    assert world.call.joined is not None
    world.c.hang_up()
    world.net.run(1)
    assert world.a.methods == ["BYE"]


def test_a_new_leg_after_a_restart_never_reuses_an_old_leg_id(world):
    world.talk()
    world.b.refer()
    world.net.run(1)
    old = set(world.call.legs)
    world.crash()
    world.switch.plan.transfer_targets = [world.target(world.b)]
    world.c.refer()
    world.net.run(1)
    assert world.call.joined[1] not in old


def test_a_restore_whose_ports_are_in_use_opens_no_leg_and_both_peers_can_get_a_bye(world):
    world.talk()
    checkpoint = json.loads(bytes(world.call.checkpoint()))
    switch = type(world.switch)(world.net, 78)
    switch.plane.open_legs["another"] = checkpoint["legs"][1]["media"]["port"]
    with pytest.raises(NoPortsError):
        switch.take_up(checkpoint)
    assert set(switch.plane.open_legs) == {"another"}
    assert counts(switch.endpoint).dialogs == 0
    assert bye_from_checkpoint(switch.endpoint, checkpoint, switch.now) == 2
    world.net.run(1)
    assert world.a.methods == world.b.methods == ["BYE"]


@given(st.data())
def test_a_damaged_checkpoint_is_refused_without_open_legs_or_dialogs(data):
    world = World()
    world.talk()
    checkpoint = json.loads(bytes(world.call.checkpoint()))
    for _ in range(data.draw(st.integers(1, 3))):
        _damage(checkpoint, data)
    switch = type(world.switch)(world.net, 79)
    try:
        BackToBackCall.restored(
            switch.endpoint, switch.plane, checkpoint, switch.settings, now=switch.now
        )
    except (ProtocolError, NoPortsError):
        assert switch.plane.open_legs == {}
        assert counts(switch.endpoint).dialogs == 0


@pytest.mark.parametrize("damage", [{"path_hosts": None}, {"send_to": []}, {"send_to": 7}])
def test_a_damaged_address_in_a_checkpoint_leaves_no_dialog_behind(world, damage):
    world.talk()
    checkpoint = json.loads(bytes(world.call.checkpoint()))
    checkpoint["legs"][1]["dialog"] |= damage
    switch = type(world.switch)(world.net, 79)
    with pytest.raises(ProtocolError):
        switch.take_up(checkpoint)
    assert switch.plane.open_legs == {}
    assert counts(switch.endpoint).dialogs == 0


@given(st.data())
def test_a_damaged_dialog_raises_no_error_and_the_peer_of_the_intact_dialog_gets_a_bye(data):
    world = World()
    world.talk()
    damaged, whole = (leg["dialog"] for leg in json.loads(bytes(world.call.checkpoint()))["legs"])
    for _ in range(data.draw(st.integers(1, 3))):
        _damage(damaged, data)
    switch = type(world.switch)(world.net, 81)
    junk = data.draw(st.none() | st.integers() | st.text(max_size=3) | st.just([]))
    sent = bye_in_dialogs(switch.endpoint, [damaged, junk, whole], switch.now, skipped=100)
    assert sent in {1, 2}
    world.net.run(1)
    assert world.b.methods == ["BYE"]


def _damage(tree, data):
    """Remove or replace a random value in a tree of dicts and lists."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    if not keys:
        return
    key = data.draw(st.sampled_from(keys))
    inner = tree[key]
    if isinstance(inner, dict | list) and data.draw(st.booleans()):
        _damage(inner, data)
    elif data.draw(st.booleans()):
        del tree[key]
    else:
        tree[key] = data.draw(st.none() | st.integers(0, 9) | st.text(max_size=3) | st.just([]))


def test_the_checkpoint_of_an_ended_call_is_refused(world):
    call = world.talk()
    world.a.hang_up()
    world.net.run(1)
    assert world.switch.of(CallEnded)
    switch = type(world.switch)(world.net, 80)
    with pytest.raises(ProtocolError):
        switch.take_up(json.loads(bytes(call.checkpoint())))


def test_a_ringing_call_rings_again_after_a_restart_and_can_be_answered(world):
    world.b.reply = Reply(final=None)
    client = world.a.call()
    world.net.run(1)
    assert world.a.statuses == [180]
    world.crash()
    world.net.run(1)
    assert [invite.cancelled for invite in world.b.invites] == [True, False]
    assert world.a.statuses == [180, 180]
    world.b.answer(reply=Reply(provisional=()))
    world.net.run(1)
    assert client.response.status == 200
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_a_200_sent_while_the_process_was_down_gets_a_bye_after_the_restart(world):
    world.b.reply = Reply(final=None)
    world.a.call()
    world.net.run(1)
    world.net.down.add(world.switch.address)
    world.b.answer(reply=Reply(provisional=()))
    world.net.run(1)
    world.b.reply = Reply()
    world.net.down.clear()
    world.crash()
    world.net.run(2)
    assert world.b.methods == ["BYE"]
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


def test_a_callers_cancel_after_a_restart_ends_the_ringing(world):
    world.b.reply = Reply(final=None)
    client = world.a.call()
    world.net.run(1)
    world.crash()
    world.net.run(1)
    client.cancel(now=world.clock.now)
    world.net.run(1)
    assert world.a.statuses[-1] == 487
    assert all(invite.cancelled for invite in world.b.invites)
    world.assert_clean()
