"""The family of a host, and the network in which a client's address is counted."""

from __future__ import annotations

import pytest

from net.addresses import areas_of, host_of_family, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_a_network_is_an_ipv4_address_or_an_ipv6_prefix_of_64_bits(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("address", "areas"),
    [
        ("192.0.2.7", ("192.0.2.7",) * 3),
        ("::ffff:192.0.2.7", ("192.0.2.7",) * 3),
        ("2001:db8:1:2::3", ("2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:2::/64")),
        ("", ("", "", "")),
    ],
)
def test_the_areas_of_an_ipv6_address_are_its_prefixes_of_32_48_and_64_bits(address, areas):
    assert areas_of(address) == areas


@pytest.mark.parametrize(
    ("hosts", "address", "found"),
    [
        (None, "192.0.2.1", None),
        (("192.0.2.9", "2001:db8::9"), "0.0.0.0", "192.0.2.9"),
        (("192.0.2.9", "2001:db8::9"), "::", "2001:db8::9"),
        (("192.0.2.9",), "::", None),
        (("sip.example.com",), "::", "sip.example.com"),
        (("sip.example.com", "2001:db8::9"), "::", "2001:db8::9"),
    ],
)
def test_the_host_of_the_same_address_family_is_chosen(hosts, address, found):
    assert host_of_family(hosts, address) == found
