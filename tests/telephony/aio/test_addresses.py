"""The address at which others reach a socket of the switch."""

from ipaddress import ip_address

import pytest

from telephony.aio.addresses import reachable_host


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7", "127.0.0.1"])
def test_an_address_is_reached_by_itself(host):
    assert reachable_host(host) == host


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_a_wildcard_is_never_told_to_others(wildcard):
    address = ip_address(reachable_host(wildcard))
    assert not address.is_unspecified
    assert address.version == ip_address(wildcard).version
