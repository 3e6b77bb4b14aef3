"""Media sockets are read when packets arrive, and hand each packet to their reader.

Covers `telephony/aio/media_backlog.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from telephony.aio.arrival import stamp_arrivals
from telephony.aio.media_backlog import MOST_AT_ONCE, MediaBacklog
from telephony.aio.media_poller import MediaPoller

LATE_S = 0.05


@pytest.fixture
async def poller():
    made = MediaPoller(time.monotonic)
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="module")
def arrivals_are_noted():
    """Let the kernel note arrivals all the time. It begins a moment after the first request."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        stamp_arrivals(sock)
        time.sleep(0.1)
        yield


@pytest.fixture
def bound():
    """Return a function that binds a new socket, with enough space for thousands of packets."""
    with contextlib.ExitStack() as stack:

        def bind():
            made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            made.bind(("127.0.0.1", 0))
            return made

        yield bind


@pytest.fixture
def sock(bound):
    return bound()


@pytest.fixture
def send(sock):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield lambda data=b"x", to=sock: sender.sendto(data, to.getsockname())


def occupy(seconds):
    """Do work that lasts for some seconds, without returning to the event loop."""
    time.sleep(seconds)


class Recording:
    """A reader that notes each packet, its arrival, and reported losses."""

    def __init__(self, sock, taken=None):
        self.sock = sock
        self.taken = [] if taken is None else taken
        self.arrivals = []
        self.losses = []

    def read(self, now):
        self.handle(self.sock.recv(100), ("", 0), now)

    def handle(self, data, _source, arrived):
        self.taken.append(bytes(data))
        self.arrivals.append(arrived)

    def lost(self, count, since, until):
        self.losses.append((count, since, until))


async def test_each_packet_of_a_burst_reaches_the_reader(poller, sock, send, until):
    reader = Recording(sock)
    poller.watch(sock, reader)
    for number in range(5):
        send(b"%d" % number)
    await until(lambda: len(reader.taken) == 5)
    assert reader.taken == [b"0", b"1", b"2", b"3", b"4"]
    await asyncio.sleep(0.02)  # polling has ended; the next packet wakes the loop up again
    send(b"5")
    await until(lambda: len(reader.taken) == 6)


async def test_a_socket_is_not_read_after_forget(poller, sock, send):
    reader = Recording(sock)
    poller.watch(sock, reader)
    poller.forget(sock)
    send()
    await asyncio.sleep(0.02)
    poller.drain(sock)
    assert reader.taken == []


async def test_a_socket_can_be_forgotten_twice(poller, sock):
    poller.watch(sock, Recording(sock))
    poller.forget(sock)
    poller.forget(sock)


async def test_drain_handles_every_packet_that_has_arrived(poller, sock, send):
    reader = Recording(sock)
    poller.watch(sock, reader)
    for number in range(3 * MOST_AT_ONCE):
        send(b"%d" % number)
    poller.drain(sock)
    assert reader.taken == [b"%d" % number for number in range(3 * MOST_AT_ONCE)]


async def test_discarded_packets_reach_no_reader_and_later_packets_do(poller, sock, send, until):
    reader = Recording(sock)
    poller.watch(sock, reader)
    send(b"early")
    poller.discard(sock)
    send(b"late")
    await until(lambda: reader.taken)
    assert reader.taken == [b"late"]


async def test_the_arrival_of_a_packet_is_when_it_came_not_when_it_is_read(
    poller, sock, send, until
):
    reader = Recording(sock)
    poller.watch(sock, reader)
    sent = []
    for _ in range(4):
        sent.append(time.monotonic())
        send()
        time.sleep(LATE_S)  # noqa: ASYNC251 - the event loop stands still, as in a real stall
    await until(lambda: len(reader.taken) == 4)
    late = [arrived - at for arrived, at in zip(reader.arrivals, sent, strict=True)]
    assert all(0 <= each < LATE_S / 2 for each in late), late


async def test_waiting_packets_of_several_sockets_are_handled_in_order_of_arrival(
    poller, bound, send, until
):
    taken: list[bytes] = []
    sockets = [bound() for _ in range(3)]
    for each in sockets:
        poller.watch(each, Recording(each, taken))
    expected = []
    for number in range(60):  # the first socket gets five times as many packets as the others
        to = sockets[0] if number % 7 < 5 else sockets[number % 7 - 4]
        expected.append(b"%d" % number)
        send(expected[-1], to)
    await until(lambda: len(taken) == 60)
    assert taken == expected


async def test_drain_handles_the_packets_of_several_sockets_in_order_of_arrival(
    poller, bound, send
):
    taken: list[bytes] = []
    one, other, third = bound(), bound(), bound()
    for each in (one, other, third):
        poller.watch(each, Recording(each, taken))
    for number, to in enumerate((one, one, other, third, one, other)):
        send(b"%d" % number, to)
    poller.drain(other, one)
    assert taken == [b"0", b"1", b"2", b"4", b"5"]


async def test_a_drain_checks_queues_at_most_twice_for_each_packet_and_socket(
    poller, bound, send, monkeypatch
):
    """A switch that ends drains the sockets of all its calls at once."""
    sockets, taken = [bound() for _ in range(60)], list[bytes]()
    for sock in sockets:
        poller.watch(sock, Recording(sock, taken), hold=True)
    for number in range(10):
        for sock in sockets:
            send(b"%d" % number, sock)
    looks, expect = list[int](), MediaBacklog._expect

    def counted(number, queue, waiting):
        looks.append(number)
        expect(number, queue, waiting)

    monkeypatch.setattr(MediaBacklog, "_expect", staticmethod(counted))
    poller.drain(*sockets)
    assert len(taken) == 600
    assert taken == sorted(taken)
    assert len(looks) <= 2 * (600 + 60)


async def test_keep_up_handles_waiting_packets_during_long_work(poller, sock, send):
    reader = Recording(sock)
    poller.watch(sock, reader)
    send(b"1")
    assert reader.taken == []
    occupy(LATE_S)
    poller.keep_up()
    assert reader.taken == [b"1"]


async def test_a_reader_that_does_other_work_causes_no_nested_reading(poller, bound, send):
    one, other = bound(), bound()
    taken: list[bytes] = []

    class Working(Recording):
        def handle(self, data, source, arrived):
            occupy(LATE_S)
            poller.keep_up()
            super().handle(data, source, arrived)

    poller.watch(one, Working(one, taken))
    poller.watch(other, Recording(other, taken))
    for number, to in enumerate((one, other, one, other)):
        send(b"%d" % number, to)
    poller.drain(one, other)
    assert taken == [b"0", b"1", b"2", b"3"]


async def test_waiting_s_is_the_wait_of_the_oldest_packet_read_but_not_handled(poller, bound, send):
    one, other = bound(), bound()
    taken: list[bytes] = []
    waits: list[float] = []

    class Slow(Recording):
        def handle(self, data, source, arrived):
            waits.append(poller.waiting_s)
            super().handle(data, source, arrived)

    poller.watch(one, Slow(one, taken), hold=True)
    poller.watch(other, Recording(other, taken), hold=True)
    assert poller.waiting_s == 0.0
    send(b"1", one)
    send(b"2", one)
    await asyncio.sleep(LATE_S)
    poller.drain(one)
    assert waits[0] >= LATE_S
    assert waits[1] == 0.0
    assert poller.waiting_s == 0.0


async def test_a_packet_that_a_drain_has_read_but_not_handled_is_handled_soon(
    poller, sock, send, until
):
    """The packet arrived after the drain had begun."""

    class Sending(Recording):
        def handle(self, data, source, arrived):
            super().handle(data, source, arrived)
            if data == b"0":
                time.sleep(0.001)
                send(b"1")

    reader = Sending(sock)
    poller.watch(sock, reader)
    send(b"0")
    send(b"00")
    poller.drain(sock)
    assert reader.taken == [b"0", b"00"]
    await until(lambda: reader.taken == [b"0", b"00", b"1"])


async def test_a_drain_while_the_poller_polls_starts_no_further_polling(bound, send, monkeypatch):
    """A second timer would poll every 2 ms as well, for as long as packets arrive."""
    now = time.monotonic()
    poller = MediaPoller(lambda: now)
    busy, other = bound(), bound()
    for sock in (busy, other):
        poller.watch(sock, Recording(sock))
    for _ in range(MOST_AT_ONCE + 10):
        send(to=busy)
    timers = []
    loop = asyncio.get_running_loop()
    later = loop.call_later

    def call_later(*call):
        timers.append(call)
        return later(*call)

    monkeypatch.setattr(loop, "call_later", call_later)
    poller._ready()
    await asyncio.sleep(0)
    assert len(timers) == 1  # ten packets are left, so it polls
    poller.drain(other)
    await asyncio.sleep(0)
    assert len(timers) == 1
    poller.close()


async def test_held_packets_are_handled_once_they_are_released(poller, sock, send, until):
    reader = Recording(sock)
    poller.watch(sock, reader, hold=True)
    at = time.monotonic()
    send(b"held")
    await asyncio.sleep(LATE_S)
    assert reader.taken == []
    poller.release(sock)
    await until(lambda: reader.taken == [b"held"])
    assert 0 <= reader.arrivals[0] - at < LATE_S / 2
    send(b"later")
    await until(lambda: reader.taken == [b"held", b"later"])


async def test_a_drain_from_within_a_reader_handles_each_packet_once(poller, sock, send):
    class Draining(Recording):
        def handle(self, data, source, arrived):
            super().handle(data, source, arrived)
            if data == b"1":
                poller.drain(sock)

    reader = Draining(sock)
    poller.watch(sock, reader)
    for number in range(5):
        send(b"%d" % number)
    poller.drain(sock)
    assert reader.taken == [b"0", b"1", b"2", b"3", b"4"]


async def test_packets_that_the_kernel_drops_are_reported_before_the_next_packet(
    poller, sock, send, until
):
    reader = Recording(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    poller.watch(sock, reader)
    before = time.monotonic()
    for _ in range(100):
        send()
    time.sleep(LATE_S)  # noqa: ASYNC251 - the event loop stands still
    poller.drain(sock)
    kept = len(reader.taken)
    assert 0 < kept < 100
    ((count, since, until_s),) = reader.losses
    assert count == 100 - kept
    assert since <= before
    assert until_s >= reader.arrivals[-1] + LATE_S / 2
    send(b"next")
    await until(lambda: reader.taken[-1] == b"next")
    assert len(reader.losses) == 1


async def test_a_loss_in_the_middle_of_a_queue_ends_at_the_arrival_of_the_next_packet(
    poller, sock, send
):
    reader = Recording(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    poller.watch(sock, reader)
    for _ in range(100):
        send()
    time.sleep(LATE_S)  # noqa: ASYNC251 - the event loop stands still
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # space for one more packet
    send(b"after")
    poller.drain(sock)
    assert reader.taken[-1] == b"after"
    ((count, _, until_s),) = reader.losses
    assert until_s == reader.arrivals[-1]
    assert count == 100 - (len(reader.taken) - 1)


async def test_a_loss_is_reported_after_the_packets_of_other_sockets_that_arrived_before(
    poller, bound, send, until
):
    handled: list[bytes] = []

    class Losing(Recording):
        def lost(self, count, since, until):
            self.taken.append(b"lost")

    small, other = bound(), bound()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    poller.watch(small, Losing(small, handled))
    poller.watch(other, Losing(other, handled))
    for _ in range(100):
        send(b"x", small)
    for _ in range(3):
        send(b"y", other)
    time.sleep(LATE_S)  # noqa: ASYNC251 - the event loop stands still
    await until(lambda: b"lost" in handled)
    kept = handled.count(b"x")
    assert 0 < kept < 100
    assert handled == [b"x"] * kept + [b"y"] * 3 + [b"lost"]


async def test_setting_the_wall_clock_does_not_move_an_arrival(sock, send, until):
    step = 0.0
    poller = MediaPoller(time.monotonic, lambda: time.time() + step)
    reader = Recording(sock)
    poller.watch(sock, reader)
    await asyncio.sleep(0.02)
    at = time.monotonic()
    send()
    time.sleep(LATE_S)  # noqa: ASYNC251 - the event loop stands still
    step = 3600.0  # as if the clock had been set after the packet's arrival
    await until(lambda: reader.taken)
    assert 0 <= reader.arrivals[0] - at < LATE_S / 2
    poller.close()


async def test_an_error_of_one_reader_does_not_stop_the_others(poller, bound, send, until):
    class Broken(Recording):
        def read(self, now):
            self.sock.recv(100)
            raise ValueError("a bug")

        def handle(self, data, source, arrived):
            raise ValueError("a bug")

    bad, good = bound(), bound()
    reader = Recording(good)
    poller.watch(bad, Broken(bad))
    poller.watch(good, reader)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    for _ in range(3):
        send(b"x", bad)
        send(b"y", good)
        await asyncio.sleep(0.03)
    await until(lambda: len(reader.taken) == 3)
