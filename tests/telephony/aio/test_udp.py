"""The address at which others reach a socket of the switch."""

from ipaddress import ip_address

import pytest

from telephony.aio.udp import reachable_host


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7", "127.0.0.1"])
def test_a_concrete_address_is_reachable_at_itself(host):
    assert reachable_host(host) == host


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_the_reachable_address_of_a_wildcard_is_a_concrete_one(wildcard):
    address = ip_address(reachable_host(wildcard))
    assert not address.is_unspecified
    assert address.version == ip_address(wildcard).version
