"""The state of a call has one owner: `CallCore` joins legs and changes their states."""

import ast
from pathlib import Path

import pytest

import telephony.b2bua
from telephony.b2bua import LegState
from telephony.errors import ProtocolError

PACKAGE = Path(telephony.b2bua.__file__).parent


def uses():
    """Yield (module, attribute) for each write to the state and each call that changes it."""
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                written = not isinstance(node.ctx, ast.Load)
                if (written and node.attr in {"_callee", "_state"}) or node.attr == "move_to":
                    yield path.stem, node.attr


def test_only_the_core_joins_legs_and_changes_their_states():
    assert set(uses()) == {("core", "_callee"), ("leg", "_state"), ("core", "move_to")}


@pytest.mark.parametrize("wrong", [LegState.CALLING, LegState.RINGING, LegState.TALKING])
def test_an_invalid_leg_state_transition_is_refused(world, wrong):
    world.talk()
    leg = world.call.legs[world.call.joined[0]]
    with pytest.raises(ProtocolError):
        leg.move_to(wrong)
    assert leg.state is LegState.TALKING


def test_the_state_and_the_joined_callee_cannot_be_assigned(world):
    world.talk()
    leg = world.call.legs[world.call.joined[0]]
    with pytest.raises(AttributeError):
        leg.state = LegState.ENDED
    with pytest.raises(AttributeError):
        world.call.core.callee = None


def test_the_caller_cannot_be_joined_with_itself(world):
    world.talk()
    with pytest.raises(ProtocolError):
        world.call.core.join(world.call.core.caller)
