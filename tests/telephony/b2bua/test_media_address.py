"""The addresses to which a peer may direct media."""

import pytest

from telephony.b2bua.leg_media import check_media_address
from telephony.errors import SdpParseError

OWN, PEER = "192.0.2.9", "192.0.2.10"


@pytest.mark.parametrize(
    "host",
    [
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "0.1.2.3",
        "127.0.0.1",
        "::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:255.255.255.255",
    ],
)
def test_loopback_and_non_unicast_media_addresses_are_refused(host):
    with pytest.raises(SdpParseError) as caught:
        check_media_address(host, PEER, OWN)
    assert caught.value.status == 488


@pytest.mark.parametrize("host", ["198.51.100.7", "10.0.0.1", "2001:db8::7", "0.0.0.0", "::"])
def test_a_unicast_address_and_the_address_of_a_hold_are_allowed(host):
    check_media_address(host, PEER, OWN)


@pytest.mark.parametrize("signalling_host", ["127.0.0.5", "::1", OWN])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_peer_on_this_machine_may_name_loopback(host, signalling_host):
    check_media_address(host, signalling_host, OWN)


def test_a_peer_whose_signalling_address_is_not_known_may_not_name_loopback():
    with pytest.raises(SdpParseError):
        check_media_address("127.0.0.1", "", OWN)
