"""The world of these tests, and what it is made of."""

import pytest

from helpers.b2bua.phone import Reply, sdp
from helpers.b2bua.world import World


@pytest.fixture
def make_world():
    return World


@pytest.fixture
def world():
    return World()


@pytest.fixture
def reply():
    return Reply


@pytest.fixture
def make_sdp():
    return sdp
