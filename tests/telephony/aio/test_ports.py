"""Pairs of ports for RTP and RTCP: taken, skipped and given back."""

import socket

import pytest

from telephony.aio.ports import PortPool, connected_socket
from telephony.errors import NoPortsError


@pytest.fixture
def first(ports):
    """The lowest of a hundred ports that no other test uses; an even number."""
    return ports.first


@pytest.fixture
def taken(first):
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held.bind(("127.0.0.1", first + 1))
    yield held
    held.close()


def test_rtp_gets_an_even_port_and_rtcp_the_next_port(first):
    pool = PortPool("127.0.0.1", first + 1, first + 9)
    assert pool.size == 4
    pairs = [pool.take() for _ in range(4)]
    assert sorted(pair.port for pair in pairs) == [first + 2, first + 4, first + 6, first + 8]
    assert all(pair.rtcp.getsockname()[1] == pair.port + 1 for pair in pairs)
    for pair in pairs:
        pool.give_back(pair)
    assert pool.free == 4


def test_a_port_in_use_by_another_program_is_skipped_and_tried_again_later(first, taken):
    pool = PortPool("127.0.0.1", first, first + 3)
    pair = pool.take()
    assert pair.port == first + 2
    with pytest.raises(NoPortsError):
        pool.take()
    taken.close()
    other = pool.take()
    assert other.port == first
    pool.give_back(pair)
    pool.give_back(other)


def test_the_last_pairs_are_reserved_for_urgent_calls(first):
    pool = PortPool("127.0.0.1", first, first + 7, reserved=2)
    assert pool.free == 2
    taken = [pool.take(), pool.take()]
    assert pool.free == 0
    with pytest.raises(NoPortsError):
        pool.take()
    taken += [pool.take(urgent=True), pool.take(urgent=True)]
    with pytest.raises(NoPortsError):
        pool.take(urgent=True)
    pool.give_back(taken.pop())
    with pytest.raises(NoPortsError):
        pool.take()
    for pair in taken:
        pool.give_back(pair)
    assert pool.free == 2


def test_a_released_pair_is_taken_again_last(first):
    pool = PortPool("127.0.0.1", first, first + 7)
    first = pool.take()
    pool.give_back(first)
    pairs = [pool.take() for _ in range(4)]
    assert pairs[-1].port == first.port
    for pair in pairs:
        pool.give_back(pair)


def test_a_pool_on_another_machines_address_raises_the_no_ports_error():
    with pytest.raises(NoPortsError):
        PortPool("192.0.2.1", 10_000, 10_001).take()


def test_a_connected_socket_gets_only_its_peers_packets(first):
    pool = PortPool("127.0.0.1", first, first + 9)
    pair = pool.take()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        peer.bind(("127.0.0.1", 0))
        with connected_socket(pair.rtp, peer.getsockname()) as twin:
            peer.sendto(b"mine", ("127.0.0.1", pair.port))
            other.sendto(b"another's", ("127.0.0.1", pair.port))
            assert (twin.recv(99), pair.rtp.recv(99)) == (b"mine", b"another's")
            twin.send(b"back")
            assert peer.recvfrom(99) == (b"back", ("127.0.0.1", pair.port))
    pool.give_back(pair)


def test_a_port_with_a_connected_socket_cannot_be_bound_by_others(first):
    pool = PortPool("127.0.0.1", first + 10, first + 19)
    pair = pool.take()
    with (
        connected_socket(pair.rtp, ("127.0.0.1", first + 19)),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", pair.port))
    pool.give_back(pair)


def test_a_pair_from_before_a_restart_can_be_taken_again_unless_in_use(first):
    pool = PortPool("127.0.0.1", first + 20, first + 27)
    pair = pool.take_again(first + 22)
    assert pair.port == first + 22
    assert pool.free == pool.size - 1
    for port in (first + 22, first + 23, first + 100):
        with pytest.raises(NoPortsError):
            pool.take_again(port)
    pool.give_back(pair)
    assert pool.free == pool.size


def test_an_old_pair_in_use_by_another_program_stays_in_the_pool(first, taken):
    pool = PortPool("127.0.0.1", first, first + 3)
    with pytest.raises(NoPortsError):
        pool.take_again(first)
    taken.close()
    pool.give_back(pool.take_again(first))
    assert pool.free == pool.size


@pytest.mark.parametrize(
    ("bound", "host", "owned"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "198.51.100.9", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "127.0.0.2", True),
        ("0.0.0.0", "192.0.2.1", False),
    ],
)
def test_a_pool_owns_the_ports_of_its_range_at_its_own_addresses(first, bound, host, owned):
    pool = PortPool(bound, first, first + 3, advertise="198.51.100.9")
    assert [pool.owns(host, first + port) for port in (-1, 0, 1, 3, 4)] == [
        False,
        owned,
        owned,
        owned,
        False,
    ]
