"""INVITE with Replaces: another phone takes an advisor's place, and no other party's."""

import pytest

from helpers.b2bua.phone import Reply
from telephony.b2bua.events import Joined, LegEnded


def replaces_of(dialog, extra=""):
    """Return a Replaces header that names this phone's dialog from its peer's side."""
    return (
        "Replaces",
        f"{dialog.call_id};to-tag={dialog.id.remote_tag};from-tag={dialog.id.local_tag}{extra}",
    )


@pytest.fixture
def talking(world):
    world.talk()
    world.switch.joins_with = [world.target(world.c)]
    return world


def test_an_invite_with_replaces_takes_over_the_advisors_leg(talking):
    world, call = talking, talking.call
    old = call.joined[1]
    client = world.c.call(headers=(replaces_of(world.b.dialog), ("Require", "replaces")))
    world.net.run(1)
    assert client.response.status == 200
    (joined,) = world.switch.of(Joined)
    assert call.joined == (call.joined[0], joined.leg_id)
    assert world.switch.plane.joins[call.joined[0]] == joined.leg_id
    assert world.b.methods == ["BYE"]
    assert "Replaced" in world.b.requests[0].headers.get("Reason")
    assert [event.leg_id for event in world.switch.of(LegEnded)] == [old]
    assert len(world.switch.calls) == 1
    world.c.hang_up()
    world.net.run(1)
    assert world.a.methods[-1] == "BYE"
    world.assert_clean()


def test_a_caller_on_hold_talks_after_the_advisors_leg_is_replaced(talking):
    world = talking
    world.b.reinvite(direction="sendonly")
    world.net.run(1)
    world.c.call(headers=(replaces_of(world.b.dialog),))
    world.net.run(1)
    assert world.a.told().direction(0).value == "sendrecv"
    assert world.c.told().direction(0).value == "sendrecv"
    world.a.hang_up()
    world.assert_clean()


def test_different_payload_types_of_the_replacing_phone_are_mapped(talking):
    world = talking
    world.c.codecs = ("96 PCMA/8000", "0 PCMU/8000")
    world.c.call(headers=(replaces_of(world.b.dialog),))
    world.net.run(1)
    caller, newcomer = world.call.joined
    assert world.switch.plane.maps[newcomer, caller][0] == 0
    world.a.hang_up()
    world.assert_clean()


def test_a_replacing_invite_without_a_common_codec_gets_488_and_changes_nothing(talking):
    world = talking
    world.c.codecs = ("18 G729/8000",)
    client = world.c.call(headers=(replaces_of(world.b.dialog),))
    world.net.run(1)
    assert client.response.status == 488
    assert world.b.methods == []
    assert world.call.joined is not None
    world.a.hang_up()
    world.assert_clean()


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({"headers": (("Replaces", "nothing@x;to-tag=1;from-tag=2"),)}, 481),
        ({"headers": (("Replaces", "nothing"),)}, 400),
        ({"early": True}, 486),
        ({"twice": True}, 400),
        ({"caller": True}, 603),
        ({"body": b""}, 488),
        ({"sdp": "text/plain"}, 406),
    ],
)
def test_an_invalid_replaces_is_refused_and_the_call_goes_on_unchanged(talking, extra, status):
    world = talking
    named = replaces_of(
        (world.a if "caller" in extra else world.b).dialog,
        ";early-only" if "early" in extra else "",
    )
    headers = extra.get("headers", (named, named) if "twice" in extra else (named,))
    if "sdp" in extra:
        headers = (*headers, ("Accept", extra["sdp"]))
    client = world.c.call(headers=headers, body=extra.get("body"))
    world.net.run(1)
    assert client.response.status == status
    assert world.a.methods == world.b.methods == []
    assert not world.switch.of(Joined)
    world.a.hang_up()
    world.assert_clean()


def test_a_replaces_for_a_ringing_dialog_gets_481(world):
    world.b.reply = Reply(final=None)
    world.a.call()
    world.net.run(1)
    (dialog,) = world.b.invites[-1].dialogs.values()
    client = world.c.call(headers=(replaces_of(dialog),))
    world.net.run(1)
    assert client.response.status == 481


def test_a_replaces_during_a_transfer_gets_500(talking):
    world = talking
    dialog = world.b.dialog
    world.c.reply = Reply(final=None)
    world.b.refer()
    world.net.run(1)
    client = world.c.call(headers=(replaces_of(dialog),))
    world.net.run(1)
    assert client.response.status == 500
    world.a.hang_up()
    world.net.run(1)
    assert world.b.methods[-1] == "BYE"
