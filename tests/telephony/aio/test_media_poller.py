"""Media sockets are read when packets arrive, and hand each packet to their reader."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from telephony.aio.media_poller import MOST_QUEUED, MediaPoller


@pytest.fixture
async def poller():
    made = MediaPoller(time.monotonic)
    yield made
    made.close()


@pytest.fixture
def sock():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.bind(("127.0.0.1", 0))
        yield made


@pytest.fixture
def send(sock):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield lambda data=b"x": sender.sendto(data, sock.getsockname())


def reading(sock, read):
    """Return a reader that adds each packet's data to `read`."""
    return lambda _now: read.append(sock.recv(100))


async def test_each_packet_of_a_burst_reaches_the_reader(poller, sock, send, until):
    read: list[bytes] = []
    poller.watch(sock)
    poller.set_reader(sock, reading(sock, read))
    for number in range(5):
        send(b"%d" % number)
    await until(lambda: len(read) == 5)
    assert read == [b"0", b"1", b"2", b"3", b"4"]
    await asyncio.sleep(0.02)  # polling has ended; the next packet wakes the loop up again
    send(b"5")
    await until(lambda: len(read) == 6)


async def test_a_socket_is_not_read_after_forget(poller, sock, send):
    read: list[bytes] = []
    poller.watch(sock)
    poller.set_reader(sock, reading(sock, read))
    poller.forget(sock)
    send()
    await asyncio.sleep(0.02)
    poller.drain(sock, 0.0)
    assert read == []


async def test_a_socket_can_be_forgotten_twice(poller, sock):
    poller.watch(sock)
    poller.forget(sock)
    poller.forget(sock)


async def test_drain_reads_waiting_packets_up_to_a_limit(poller, sock, send):
    read: list[bytes] = []
    poller.watch(sock)
    poller.set_reader(sock, reading(sock, read))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for _ in range(MOST_QUEUED + 1):
        send()
    poller.drain(sock, 0.0)
    assert len(read) == MOST_QUEUED
    poller.drain(sock, 0.0)
    assert len(read) == MOST_QUEUED + 1
