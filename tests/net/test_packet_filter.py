"""The kernel filter that drops packets of a flood, and the choice of its sources."""

from __future__ import annotations

import contextlib
import socket
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net.packet_filter import (
    MOST_FLOODING,
    MOST_KNOWN,
    THINNING_S,
    Thinning,
    ThinningLimits,
    attach_filter,
    program,
)

ESTABLISHED = b"\x01"
"""The state of an open connection, the first byte of Linux's `struct tcp_info`."""


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["4", "6"])
def place(request):
    family, host = request.param
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.bind((host, 0))
        yield family, host, made


def came(place):
    """Send a datagram over loopback, which delivers at once; return whether it was accepted."""
    family, host, made = place
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.bind((host, 0))
        sender.sendto(b"x" * 500, made.getsockname()[:2])
    try:
        return len(made.recv(2000)) == 500
    except BlockingIOError:
        return False


def own(place):
    return ip_network("127.0.0.1" if place[0] == socket.AF_INET else "::/64")


def test_only_a_sample_of_a_flooding_source_is_accepted_until_the_flood_ends(place):
    assert came(place)
    attach_filter(place[2], [own(place)])
    assert 0 < sum(came(place) for _ in range(1600)) < 250  # 100 on average
    attach_filter(place[2], [])
    assert all(came(place) for _ in range(300))


@pytest.mark.parametrize("position", [0, 1, MOST_FLOODING - 1])
def test_each_flooding_source_of_the_largest_filter_is_thinned(place, position):
    flooding = many(place, MOST_FLOODING - 1)
    flooding.insert(position, own(place))
    for known in (None, many(place, MOST_KNOWN)):
        attach_filter(place[2], flooding, known)
        assert 0 < sum(came(place) for _ in range(1600)) < 250


def many(place, count):
    pattern = "2001:db8:{0:x}:{1:x}::/64" if place[0] == socket.AF_INET6 else "10.{0:d}.{1:d}.2"
    return [ip_network(pattern.format(number >> 8, number & 255)) for number in range(count)]


def test_other_sources_are_accepted_beside_the_largest_filter(place):
    attach_filter(
        place[2], many(place, 2 * MOST_FLOODING), [*many(place, MOST_KNOWN - 1), own(place)]
    )
    assert came(place)
    flooding, known = many(place, 2 * MOST_FLOODING), many(place, MOST_KNOWN)
    assert len(program(flooding, known, versions=[own(place).version])) <= 4096
    assert len(program(flooding, known, versions=[4, 6])) <= 4096


def test_only_a_sample_of_unknown_sources_is_accepted_beside_known_ones(place):
    attach_filter(place[2], [], many(place, 1))
    assert 0 < sum(came(place) for _ in range(3000)) < 300  # 47 on average
    attach_filter(place[2], [], [*many(place, 1), own(place)])
    assert all(came(place) for _ in range(300))


def test_a_very_large_network_can_be_known(place):
    wide = "::/3" if place[0] == socket.AF_INET6 else "127.0.0.0/9"
    attach_filter(place[2], [], [ip_network(wide)])
    assert all(came(place) for _ in range(300))


def test_a_source_both_flooding_and_known_is_thinned(place):
    attach_filter(place[2], [own(place)], [own(place)])
    assert 0 < sum(came(place) for _ in range(1600)) < 250


def test_with_too_many_known_networks_every_source_is_accepted(place):
    attach_filter(place[2], [], many(place, MOST_KNOWN + 1))
    assert all(came(place) for _ in range(300))


def test_flooding_networks_of_the_other_ip_family_have_no_effect(place):
    attach_filter(
        place[2], [ip_network("2001:db8::/64" if place[0] == socket.AF_INET else "192.0.2.1")]
    )
    assert all(came(place) for _ in range(300))


def test_after_removing_the_filter_twice_packets_are_still_accepted(place):
    attach_filter(place[2], [])
    attach_filter(place[2], [])
    assert came(place)


@pytest.fixture(params=["127.0.0.1", "::1", "::"])
def listener(request):
    """A listening TCP socket for IPv4, for IPv6, or for both."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, request.param != "::")
        made.bind((request.param, 0))
        made.listen(1000)
        yield made


@pytest.fixture
def connected():
    """Connect this number of times to a listener; return the connections that were made at once.

    The loopback delivers at once, so a connection whose first packet was not dropped is complete.
    """
    with contextlib.ExitStack() as stack:

        def connected(listener, host, count):
            port, made = listener.getsockname()[1], []
            for _ in range(count):
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                client = stack.enter_context(socket.socket(family))
                client.setblocking(False)
                client.connect_ex((host, port))
                if client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == ESTABLISHED:
                    made.append(client)
            return made

        yield connected


def hosts_of(listener):
    """Return the loopback addresses to which the listener listens."""
    host = listener.getsockname()[0]
    return ["127.0.0.1", "::1"] if host == "::" else [host]


def network_of(host):
    return ip_network("127.0.0.0/8" if host == "127.0.0.1" else "::/64")


def test_only_a_sample_of_the_new_connections_of_a_flooding_source_is_accepted(listener, connected):
    for host in hosts_of(listener):
        attach_filter(listener, [network_of(host)])
        assert 0 < len(connected(listener, host, 320)) < 70  # 20 on average
        attach_filter(listener, [])
        assert len(connected(listener, host, 50)) == 50


def test_new_connections_of_known_sources_are_accepted_and_others_thinned(listener, connected):
    for host in hosts_of(listener):
        attach_filter(listener, [], [network_of(host)])
        assert len(connected(listener, host, 50)) == 50
        attach_filter(listener, [], [ip_network("192.0.2.0/24"), ip_network("2001:db8::/64")])
        assert len(connected(listener, host, 320)) < 30  # 5 on average


def test_a_connection_that_exists_is_not_affected_by_the_filter(listener, connected):
    for host in hosts_of(listener):
        (client,) = connected(listener, host, 1)
        attach_filter(listener, [network_of(host)], [])
        served, _ = listener.accept()
        with served:
            for number in range(200):
                client.send(b"%d" % number)
                assert served.recv(10) == b"%d" % number
                served.send(b"ok")
                client.setblocking(True)
                assert client.recv(10) == b"ok"
        attach_filter(listener, [])


LIMITS = ThinningLimits(stranger=100, known=500, strangers=200, few=10)
STRANGER, OFFICE = "203.0.113.66", "198.51.100.7"
KNOWN = (ip_network(OFFICE),)


class Kernel:
    """Records each filter that is set."""

    def __init__(self):
        self.filters = []

    def __call__(self, thinned, known):
        self.filters.append((thinned, known))


@pytest.fixture
def kernel():
    return Kernel()


@pytest.fixture
def thinning(kernel):
    return Thinning(LIMITS, known=lambda now: KNOWN, set_filter=kernel)


def test_a_stranger_is_thinned_from_its_limit_until_the_thinning_time_ends(thinning, kernel):
    for _ in range(99):
        thinning.count_stranger(STRANGER, 5.0)
    assert kernel.filters == []
    thinning.count_stranger(STRANGER, 5.5)
    assert kernel.filters == [((ip_network(STRANGER),), None)]
    thinning.sweep(5.0 + THINNING_S)
    assert len(kernel.filters) == 1
    thinning.sweep(6.0 + THINNING_S)
    assert kernel.filters[1:] == [((), None)]


def test_a_stranger_that_sends_as_much_over_more_than_a_second_is_not_thinned(thinning, kernel):
    for second in range(10):
        for number in range(50):
            thinning.count_stranger(STRANGER, second + 0.02 * number)
        thinning.sweep(second + 1.0)
    assert kernel.filters == []


def test_a_known_source_above_its_own_limit_is_thinned_and_strangers_are_not(thinning, kernel):
    for _ in range(499):
        thinning.count_known(OFFICE, 5.0)
    assert kernel.filters == []
    thinning.count_known(OFFICE, 5.0)
    assert kernel.filters == [((ip_network(OFFICE),), None)]


def test_many_strangers_that_send_little_are_all_thinned_but_known_networks_are_not(
    thinning, kernel
):
    for number in range(200):
        thinning.count_stranger(f"203.0.113.{number % 100}", 5.0)
    assert kernel.filters == [((), KNOWN)]
    thinning.sweep(6.0 + THINNING_S)
    assert kernel.filters[1:] == [((), None)]


def test_few_strangers_in_each_second_are_not_thinned(thinning, kernel):
    for second in range(20):
        for number in range(199):
            thinning.count_stranger(f"203.0.113.{number}", float(second))
        thinning.sweep(float(second))
    assert kernel.filters == []


def test_a_single_large_source_does_not_make_other_strangers_thinned(thinning, kernel):
    for _ in range(10_000):
        thinning.count_stranger(STRANGER, 5.0)
    assert kernel.filters == [((ip_network(STRANGER),), None)]


def test_the_latest_source_is_the_first_in_the_filter(thinning, kernel):
    for source in (STRANGER, "203.0.113.67"):
        for _ in range(100):
            thinning.count_stranger(source, 5.0)
    assert kernel.filters[-1] == ((ip_network("203.0.113.67"), ip_network(STRANGER)), None)


def test_a_flood_that_goes_on_is_thinned_again_after_the_end_of_thinning(thinning, kernel):
    for second in range(30):
        for _ in range(100):
            thinning.count_stranger(STRANGER, float(second))
        thinning.sweep(second + 0.9)
    assert kernel.filters == [((ip_network(STRANGER),), None)]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 3)), max_size=400))
def test_after_a_flood_of_any_kind_the_filter_is_removed(packets):
    kernel, now = Kernel(), 0.0
    limits = ThinningLimits(stranger=3, known=5, strangers=4, few=2)
    thinning = Thinning(limits, known=lambda now: KNOWN, set_filter=kernel)
    for number, is_known, pause in packets:
        now += pause
        count = thinning.count_known if is_known else thinning.count_stranger
        count(f"203.0.113.{number}", now)
    thinning.sweep(now + THINNING_S + 0.1)
    assert kernel.filters[-1:] in ([], [((), None)])
