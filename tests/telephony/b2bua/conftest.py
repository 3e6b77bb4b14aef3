"""The fixture `world`: three phones and a switch on a network without sockets."""

import pytest

from helpers.b2bua.world import World


@pytest.fixture
def world():
    return World()
