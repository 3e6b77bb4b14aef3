"""The time limits of an HTTP connection's phases, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from galwad.host.connections import acceptor
from galwad.host.connections.protocol import ConnectionPhase, PhaseLimits
from helpers.certificates import Authority
from helpers.desk import WAIT_S, changed, until

SHORT_S = 0.3
DRIP_S = 0.02


@pytest.fixture
async def limited(running):
    """Start the desk again with these limits; those that are not named are long."""

    async def limited(**limits):
        await running.stop()
        usual = PhaseLimits(head=60, body=60, stalled=60, closing=60, idle=60)
        running.limits = replace(usual, **limits)
        await running.start()
        return running

    return limited


async def connect(running):
    return await asyncio.open_connection("127.0.0.1", running.server.port)


async def is_closed(reader, seconds=WAIT_S):
    """Return whether the desk ends the connection within this time."""
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(65536):
                continue
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


async def drip(writer, data):
    """Send one byte after another, until the desk has closed the connection."""
    for byte in data * 10_000:
        if writer.is_closing():
            return
        writer.write(bytes([byte]))
        await asyncio.sleep(DRIP_S)


@pytest.mark.parametrize(
    ("limit", "begin", "rest"),
    [
        ("head", b"", b""),
        ("head", b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
        ("body", b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n", b" "),
    ],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_connection_is_closed_if_a_slowly_sent_request_is_not_complete_in_time(
    limited, limit, begin, rest
):
    running = await limited(**{limit: SHORT_S})
    reader, writer = await connect(running)
    writer.write(begin)
    dripping = asyncio.create_task(drip(writer, rest))
    assert await is_closed(reader)
    dripping.cancel()
    writer.close()
    await until(lambda: sum(running.desk.host.places.counts().values()) == 0)


async def test_an_idle_connection_of_a_stranger_is_closed_and_a_signed_in_persons_is_kept(limited):
    running = await limited(idle=SHORT_S)
    sian = await running.page("sian")
    head = "GET /api/v1/me HTTP/1.1\r\nHost: x\r\n{}\r\n"
    strange, signed_in = await connect(running), await connect(running)
    strange[1].write(head.format("").encode())
    cookie = f"Cookie: galwad={sian.http.cookies['galwad']}\r\n"
    signed_in[1].write(head.format(cookie).encode())
    assert b" 401 " in await strange[0].readline()
    assert b" 200 " in await signed_in[0].readline()
    assert await is_closed(strange[0])
    assert not await is_closed(signed_in[0], SHORT_S)
    for _, writer in (strange, signed_in):
        writer.close()


@pytest.mark.parametrize("last", ["", "Connection: close\r\n"], ids=["kept", "closing"])
async def test_a_client_that_does_not_read_the_answer_is_disconnected(limited, last):
    running = await limited(stalled=SHORT_S, closing=SHORT_S)
    head = "GET /static/style.css HTTP/1.1\r\nHost: x\r\n{}\r\n"
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, ("127.0.0.1", running.server.port))
        await until(lambda: running.desk.host.places.counts()["stranger"] == 1)
        requests = head.format("") * 400 + head.format(last)
        sending = asyncio.create_task(loop.sock_sendall(deaf, requests.encode()))
        await until(lambda: running.desk.host.places.counts()["stranger"] == 0)
        sending.cancel()


async def test_an_unfinished_tls_handshake_is_closed_in_time(running, tmp_path, monkeypatch):
    monkeypatch.setattr(acceptor, "_HANDSHAKE_S", SHORT_S)
    certificate, key = Authority(tmp_path, "authority").issue("desk", "127.0.0.1")
    await running.stop()
    running.settings = changed(
        running.settings, desk={"tls_certificate": certificate, "tls_key": key}
    )
    await running.start()
    reader, writer = await connect(running)
    writer.write(b"\x16\x03\x01\x02\x00\x01")
    assert await is_closed(reader)
    writer.close()
    await until(lambda: sum(running.desk.host.places.counts().values()) == 0)


def test_only_an_answer_that_the_client_reads_has_no_time_limit():
    limits = PhaseLimits()
    unlimited = [phase for phase in ConnectionPhase if limits.of(phase, signed_in=False) is None]
    assert unlimited == [ConnectionPhase.ANSWER]
