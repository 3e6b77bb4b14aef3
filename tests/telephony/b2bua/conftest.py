"""The world of these tests, and what it is made of."""

import pytest

from helpers.b2bua.world import World


@pytest.fixture
def world():
    return World()
