"""Arrival times: what the kernel noted by the wall clock, on the monotonic clock."""

from __future__ import annotations

import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.aio.arrival import (
    ArrivalClock,
    StreamArrivals,
    dropped_at,
    latest_arrival,
    receive,
    stamp_arrivals,
)

WALL = 1_800_000_000.0
LATE_S = 0.08


class Clocks:
    """A monotonic clock and a wall clock that tests move."""

    def __init__(self):
        self.mono, self.wall = 1000.0, WALL
        self.away_s = 0.0
        """How long the process has no CPU before it reads the wall clock."""

    def made(self):
        return ArrivalClock(lambda: self.mono, self.read_wall)

    def read_wall(self):
        self.pass_s(self.away_s)
        return self.wall

    def pass_s(self, seconds):
        self.mono += seconds
        self.wall += seconds


@pytest.fixture
def pair():
    """A bound, non-blocking UDP socket, and one that sends to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        bound.setblocking(False)
        bound.bind(("127.0.0.1", 0))
        sender.connect(bound.getsockname())
        stamp_arrivals(bound)
        time.sleep(LATE_S)  # the kernel begins to note arrivals a moment after it is asked
        yield bound, sender


def test_a_wall_clock_time_becomes_the_same_instant_of_the_monotonic_clock():
    clocks = Clocks()
    clock = clocks.made()
    clocks.pass_s(10)
    assert clock.monotonic(WALL + 8) == pytest.approx(1008)


def test_no_arrival_is_in_the_future_or_before_the_earliest_possible_time():
    clocks = Clocks()
    clock = clocks.made()
    clocks.pass_s(10)
    assert clock.monotonic(WALL + 11) == 1010
    assert clock.monotonic(WALL + 3, since=1005) == 1005


@pytest.mark.parametrize("step_s", [-3600, -30, 30, 3600])
@pytest.mark.parametrize("before", [True, False])
def test_an_arrival_is_right_if_the_wall_clock_was_set_before_or_after_the_arrival(step_s, before):
    clocks = Clocks()
    clock = clocks.made()
    clocks.pass_s(100)
    noted = clocks.wall if before else clocks.wall + step_s
    clocks.wall += step_s
    clocks.pass_s(2)
    assert clock.monotonic(noted, since=1050) == pytest.approx(1100)


def test_an_old_step_of_the_wall_clock_does_not_move_later_arrivals():
    clocks = Clocks()
    clock = clocks.made()
    clocks.wall += 0.030
    clock.now()
    clocks.pass_s(10)
    assert clock.monotonic(clocks.wall - 0.050) == pytest.approx(1010 - 0.050)


@pytest.mark.parametrize("away_s", [0.000_1, 0.004, 2.0])
def test_an_arrival_is_right_if_the_process_is_suspended_between_reading_the_two_clocks(away_s):
    clocks = Clocks()
    clock = clocks.made()
    clocks.pass_s(10)
    clocks.away_s = away_s
    assert clock.monotonic(WALL + 7) == pytest.approx(1007, abs=2e-6)
    clocks.away_s = 0.0
    assert clock.monotonic(WALL + 7) == pytest.approx(1007, abs=2e-6)


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(-1e4, 1e4))
def test_a_converted_time_is_between_since_and_now(passed, ago, step):
    clocks = Clocks()
    clock = clocks.made()
    clocks.pass_s(passed)
    clocks.wall += step
    since = clocks.mono - 5
    assert since <= clock.monotonic(clocks.wall - ago, since) <= clocks.mono


def test_a_datagram_has_the_time_at_which_it_arrived(pair):
    bound, sender = pair
    clock, before = ArrivalClock(), time.monotonic()
    sender.send(b"hello")
    sent = time.monotonic()
    time.sleep(LATE_S)
    datagram = receive(bound, clock, before)
    assert datagram is not None
    assert (bytes(datagram.data), datagram.source) == (b"hello", sender.getsockname())
    assert before <= datagram.arrived <= sent + LATE_S / 2
    assert receive(bound, clock, before) is None


def test_an_icmp_error_for_a_sent_datagram_does_not_hide_a_received_datagram(pair):
    bound, sender = pair
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        nobody = gone.getsockname()
    sender.send(b"hello")
    bound.sendto(b"x", nobody)
    time.sleep(LATE_S)
    datagram = receive(bound, ArrivalClock(), 0.0)
    assert datagram is not None
    assert datagram.data == b"hello"


def test_dropped_datagrams_are_counted(pair):
    bound, sender = pair
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(50):
        sender.send(bytes(172))
    kept = 0
    while receive(bound, ArrivalClock(), 0.0) is not None:
        kept += 1
    assert 0 < kept < 50
    assert dropped_at(bound) == 50 - kept
    sender.send(b"next")
    datagram = receive(bound, ArrivalClock(), 0.0)
    assert datagram is not None
    assert datagram.dropped == 50 - kept


def test_latest_arrival_is_right_after_other_code_has_read_the_socket():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        bound.bind(("127.0.0.1", 0))
        clock = ArrivalClock()
        latest_arrival(bound, clock)
        time.sleep(LATE_S)
        for _ in range(2):
            sent = time.monotonic()
            sender.sendto(b"x", bound.getsockname())
            time.sleep(LATE_S)
            bound.recv(10)
            assert sent <= latest_arrival(bound, clock) + 0.001 <= sent + LATE_S / 2


@pytest.fixture
def connection():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with socket.create_connection(listening.getsockname()) as one:
            other, _ = listening.accept()
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with other:
                yield one, other


def test_data_of_a_connection_has_its_arrival_time_however_late_it_is_read(connection):
    one, other = connection
    arrivals = StreamArrivals(other)
    for wait_s in (0.0, LATE_S, 4 * LATE_S):
        one.send(b"x")
        sent = time.monotonic()
        time.sleep(wait_s)
        other.recv(10)
        arrived = arrivals.latest(time.monotonic(), 0.0)
        assert sent - 0.025 <= arrived <= sent + LATE_S / 2


def test_several_unread_segments_count_as_arrived_when_the_socket_was_last_empty(connection):
    one, other = connection
    arrivals = StreamArrivals(other)
    idle_at = time.monotonic()
    for _ in range(2):
        one.send(b"x")
        time.sleep(LATE_S)
    other.recv(10)
    assert arrivals.latest(time.monotonic(), idle_at) == idle_at


def test_data_of_a_socket_without_a_connection_counts_as_arriving_now():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert StreamArrivals(sock).latest(17.0, 3.0) == 17.0
