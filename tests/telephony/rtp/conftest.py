"""SRTP by RFC 3711 and RFC 7714, to compare libsrtp with."""

import pytest

from helpers.srtp import Reference, derive, stream


@pytest.fixture
def reference():
    """Make the reference of a master key."""
    return Reference


@pytest.fixture
def key_derivation():
    return derive


@pytest.fixture
def keystream():
    return stream
