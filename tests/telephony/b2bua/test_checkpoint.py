"""Checkpoints of an earlier version: a new process reads them and writes the same form."""

import json
from pathlib import Path

import pytest

from helpers.b2bua.phone import Reply
from helpers.b2bua.world import World
from helpers.core_counts import counts
from telephony.b2bua import bye_from_checkpoint
from telephony.b2bua.checkpoint import CallCheckpoint
from telephony.b2bua.events import CallHeld, TransferFailed
from telephony.errors import ProtocolError

FOLDER = Path(__file__).parent / "checkpoints"


def left(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def test_a_call_on_hold_from_an_old_checkpoint_continues_and_writes_the_same_checkpoint(world):
    before = left("on_hold")
    world.switch.take_up(before)
    assert world.call.joined == ("call0/a", "call0/b1")
    assert world.call.legs["call0/b1"].media.holds_other
    assert json.loads(bytes(world.call.checkpoint())) == before
    assert not world.switch.of(CallHeld)


def test_a_transfer_in_an_old_checkpoint_is_reported_as_failed(world):
    world.switch.take_up(left("transferring"))
    (failed,) = world.switch.of(TransferFailed)
    assert (failed.request_id, failed.status, failed.transferor_gone) == (1, 503, False)
    world.net.flush()
    assert [leg.target is None for leg in world.call.legs.values()] == [True, False]
    assert world.call.legs["call0/b1"].target == world.target(world.b)


def test_a_ringing_call_from_an_old_checkpoint_rings_again():
    world = World(seed=5)
    world.b.reply = Reply(final=None)
    world.switch.take_up(left("ringing"))
    world.net.run(1)
    assert [invite.cancelled for invite in world.b.invites] == [True, False]


@pytest.mark.parametrize("name", ["on_hold", "transferring", "ringing"])
def test_an_old_checkpoint_is_written_back_unchanged(name):
    before = left(name)
    assert json.loads(CallCheckpoint.from_values(before).to_json()) == before


def test_unknown_checkpoint_fields_of_a_later_version_are_ignored(world):
    before = left("on_hold")
    before["later"] = before["legs"][1]["later"] = before["legs"][1]["target"]["later"] = 1
    del before["legs"][1]["target"]["path"]
    del before["branches"]
    world.switch.take_up(before)
    assert world.call.joined is not None


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("target", "uri", "sip:"),
        ("media", "ours", "no description"),
        ("media", "theirs", "\u2026"),
        ("dialog", "version", 1),
    ],
)
def test_a_checkpoint_with_a_damaged_leg_leaves_no_port_open(world, place, key, value):
    before = left("on_hold")
    before["legs"][1][place][key] = value
    with pytest.raises(ProtocolError):
        world.switch.take_up(before)
    assert world.switch.plane.open_legs == {}
    assert counts(world.switch.endpoint).dialogs == 0


def test_a_checkpoint_whose_first_invite_is_not_latin_1_is_refused(world):
    before = left("on_hold")
    before["transfers"]["request"] += "\u2026"
    with pytest.raises(ProtocolError):
        world.switch.take_up(before)


def test_a_checkpoint_with_a_wrong_type_is_refused_but_its_legs_get_a_bye(world):
    before = left("on_hold")
    before["legs"][1]["min_se"] = "soon"
    with pytest.raises(ProtocolError):
        world.switch.take_up(before)
    assert bye_from_checkpoint(world.switch.endpoint, before, world.switch.now) == 2
