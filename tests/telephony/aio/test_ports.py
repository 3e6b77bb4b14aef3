import socket

import pytest

from telephony.aio.ports import PortPool, connected_twin
from telephony.errors import NoPortsError


@pytest.fixture
def taken():
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held.bind(("127.0.0.1", 44_301))
    yield held
    held.close()


def test_rtp_is_even_and_rtcp_the_next():
    pool = PortPool("127.0.0.1", 44_201, 44_209)
    assert pool.size == 4
    pairs = [pool.take() for _ in range(4)]
    assert sorted(pair.port for pair in pairs) == [44_202, 44_204, 44_206, 44_208]
    assert all(pair.rtcp.getsockname()[1] == pair.port + 1 for pair in pairs)
    for pair in pairs:
        pool.give_back(pair)
    assert pool.free == 4


def test_a_port_that_another_program_holds_is_passed_over_and_tried_again(taken):
    pool = PortPool("127.0.0.1", 44_300, 44_303)
    pair = pool.take()
    assert pair.port == 44_302
    with pytest.raises(NoPortsError):
        pool.take()
    taken.close()
    other = pool.take()
    assert other.port == 44_300
    pool.give_back(pair)
    pool.give_back(other)


def test_a_freed_pair_is_the_last_to_be_taken_again():
    pool = PortPool("127.0.0.1", 44_400, 44_407)
    first = pool.take()
    pool.give_back(first)
    pairs = [pool.take() for _ in range(4)]
    assert pairs[-1].port == first.port
    for pair in pairs:
        pool.give_back(pair)


def test_an_address_that_is_not_ours_has_no_ports():
    with pytest.raises(NoPortsError):
        PortPool("192.0.2.1", 44_500, 44_501).take()


def test_a_twin_takes_what_its_peer_sends_and_leaves_the_rest():
    pool = PortPool("127.0.0.1", 44_700, 44_709)
    pair = pool.take()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        peer.bind(("127.0.0.1", 0))
        with connected_twin(pair.rtp, peer.getsockname()) as twin:
            peer.sendto(b"mine", ("127.0.0.1", pair.port))
            other.sendto(b"another's", ("127.0.0.1", pair.port))
            assert (twin.recv(99), pair.rtp.recv(99)) == (b"mine", b"another's")
            twin.send(b"back")
            assert peer.recvfrom(99) == (b"back", ("127.0.0.1", pair.port))
    pool.give_back(pair)


def test_a_port_with_a_twin_is_still_refused_to_others():
    pool = PortPool("127.0.0.1", 44_710, 44_719)
    pair = pool.take()
    with (
        connected_twin(pair.rtp, ("127.0.0.1", 44_719)),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", pair.port))
    pool.give_back(pair)


def test_a_pair_of_before_a_restart_is_taken_again_unless_it_is_in_use():
    pool = PortPool("127.0.0.1", 44_320, 44_327)
    pair = pool.take_again(44_322)
    assert pair.port == 44_322
    assert pool.free == pool.size - 1
    for port in (44_322, 44_323, 44_400):
        with pytest.raises(NoPortsError):
            pool.take_again(port)
    pool.give_back(pair)
    assert pool.free == pool.size


def test_a_pair_of_before_that_another_program_holds_stays_in_the_pool(taken):
    pool = PortPool("127.0.0.1", 44_300, 44_303)
    with pytest.raises(NoPortsError):
        pool.take_again(44_300)
    taken.close()
    pool.give_back(pool.take_again(44_300))
    assert pool.free == pool.size
