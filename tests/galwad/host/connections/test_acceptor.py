"""Attacks on the desk's listener, against the real process with few file descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys

import httpx2
import pytest

from galwad.administration import Administration
from galwad.host.connections.acceptor import Acceptor
from galwad.host.connections.places import PlaceLimits, Places
from galwad.people.user import User
from helpers.desk import PASSWORD, WAIT_S, FakeSwitch, until
from helpers.loopback import free_port

CALL = "20261125-101500-aaaaaaaa"
ESTABLISHED = b"\x01"
"""The state of an open connection, the first byte of Linux's `struct tcp_info`."""
FILES = 1024
START_S = 120.0
STRANGERS = [f"127.66.0.{number}" for number in range(1, 5)]
LONG = pytest.mark.long
HALF = b"POST /api/v1/login HTTP/1.1\r\nHost: desk\r\nContent-Length: 200\r\n\r\n{"
SETTINGS = """
[node]
state = "{folder}/state"
runtime = "{folder}/run"
[sip]
listen = ["udp:127.0.0.1:0"]
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
[desk]
listen = "127.0.0.1:{port}"
"""


def limit_of(soft, hard, wanted):
    """Return what `connection_limit` says in a process with these limits, and its soft limit."""
    program = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from galwad.host.connections.acceptor import connection_limit\n"
        f"print(connection_limit({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return tuple(map(int, done.stdout.split()[-2:]))


def test_a_soft_limit_of_files_is_raised_as_far_as_the_connections_need():
    assert limit_of(1024, 16384, 4096) == (4096, 6400)
    assert limit_of(16384, 16384, 4096) == (4096, 16384)


def test_with_few_files_a_third_of_the_files_beyond_the_reserve_is_left_for_other_use():
    assert limit_of(FILES, FILES, 4096) == (512, FILES)
    assert limit_of(300, 300, 4096) == (64, 300)


@pytest.fixture
def desk_log(tmp_path):
    """The file to which the desk writes its log."""
    return tmp_path / "desk.log"


@pytest.fixture
async def desk(tmp_path, desk_log):
    """The desk as a process with few file descriptors, a switch with sian's call, and its port."""
    port = free_port()
    (tmp_path / "run").mkdir()
    (tmp_path / "galwad.toml").write_text(SETTINGS.format(folder=tmp_path, port=port))
    administration = Administration(tmp_path / "state" / "desk" / "galwad.db", "galwad")
    async with administration.users() as users:
        await users.add(User("sian", "advisor", extension="201"), PASSWORD)
    switch = FakeSwitch(tmp_path / "run" / "switch.sock")
    await switch.start()
    switch.ring(CALL)
    switch.answer(CALL, "201", "sian")
    with desk_log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("prlimit", f"--nofile={FILES}:{FILES}"),
            *(sys.executable, "-m", "galwad", "serve", "--only", "desk"),
            *("--config", str(tmp_path / "galwad.toml")),
            stderr=log,
        )
    try:
        await until(lambda: b"desk.ready" in desk_log.read_bytes(), START_S)
        yield port
    finally:
        process.terminate()
        await process.wait()
        await switch.stop()
    assert process.returncode == 0
    assert b"Traceback" not in desk_log.read_bytes()


@pytest.fixture
def crowd():
    """Open this number of connections from each of these addresses; they send `data`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    with contextlib.ExitStack() as stack:

        async def crowd(port, hosts, count, data=b""):
            loop = asyncio.get_running_loop()

            async def one(host):
                made = stack.enter_context(socket.socket())
                made.setblocking(False)
                made.bind((host, 0))
                with contextlib.suppress(OSError):
                    await asyncio.wait_for(loop.sock_connect(made, ("127.0.0.1", port)), 1)
                    if data:
                        made.send(data)

            async with asyncio.TaskGroup() as group:
                for number in range(count * len(hosts)):
                    group.create_task(one(hosts[number % len(hosts)]))

        yield crowd
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.asynccontextmanager
async def signed_in(port):
    url = f"http://127.0.0.1:{port}"
    async with httpx2.AsyncClient(base_url=url, headers={"Origin": url}, timeout=WAIT_S) as client:
        login = {"user": "sian", "password": PASSWORD}
        assert (await client.post("/api/v1/login", json=login)).status_code == 200
        yield client


async def new_connection_pauses(client):
    """Return whether a pause and a resume work, each over a connection of its own."""
    path, close = f"/api/v1/calls/{CALL}/payment", {"Connection": "close"}
    states = [
        (await client.request(method, path, headers=close)).json()["state"]
        for method in ("PUT", "DELETE")
    ]
    return states == ["paused", "recording"]


# Thousands of connections take five seconds of CPU time.
@pytest.mark.parametrize(
    ("hosts", "data"),
    [
        pytest.param(STRANGERS, HALF, id="from elsewhere, half-sent"),
        pytest.param(["127.0.0.1"], b"", id="from the advisor's address, bare", marks=LONG),
        pytest.param(STRANGERS, b"", id="from elsewhere, bare", marks=LONG),
        pytest.param(["127.0.0.1"], HALF, id="from the advisor's address, half-sent", marks=LONG),
    ],
)
async def test_an_advisor_can_pause_over_a_new_connection_while_strangers_hold_all_others(
    desk, crowd, hosts, data
):
    async with signed_in(desk) as client, client.stream("GET", "/api/v1/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: snapshot"
        for _ in range(5):
            await crowd(desk, hosts, FILES * 6 // 5 // len(hosts), data)
            assert await new_connection_pauses(client)
        async with asyncio.timeout(WAIT_S):
            while '"recording":"paused"' not in (await anext(lines)):
                continue


@pytest.mark.long
async def test_an_advisor_can_sign_in_from_a_new_address_while_strangers_hold_their_places(
    desk, crowd
):
    await crowd(desk, [f"127.67.0.{number}" for number in range(1, 65)], 8, HALF)
    await asyncio.sleep(2)  # the strangers' rate has recovered; their connections stay
    async with signed_in(desk) as client:
        assert await new_connection_pauses(client)


@pytest.mark.long
async def test_the_kernel_drops_most_new_connections_of_a_flood_but_none_of_a_known_network(
    desk, desk_log, crowd
):
    async with signed_in(desk) as client:
        strangers = [f"127.67.1.{number}" for number in range(1, 201)]
        for _ in range(5):
            await crowd(desk, strangers, 20)
            if b"strangers.thinned" in desk_log.read_bytes():
                break
        assert b"strangers.thinned" in desk_log.read_bytes()
        assert connections_at_once(desk, strangers * 2) < 60  # one in 64 on average
        assert connections_at_once(desk, ["127.0.0.1"] * 50) == 50
        assert await new_connection_pauses(client)


def connections_at_once(port, hosts):
    """Connect from each of these addresses; return how many connections the kernel accepted.

    The loopback delivers at once, so a connection whose first packet was not dropped is complete.
    """
    accepted = 0
    for host in hosts:
        with socket.socket() as made:
            made.setblocking(False)
            made.bind((host, 0))
            made.connect_ex(("127.0.0.1", port))
            accepted += made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == ESTABLISHED
    return accepted


async def test_an_unexpected_error_at_one_connection_does_not_end_accepting():
    class FaultyPlaces(Places):
        faults = 1

        def arrive(self, network, now, close):
            if self.faults:
                self.faults -= 1
                raise RuntimeError("a bug")
            return super().arrive(network, now, close)

    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    listener = socket.create_server(("127.0.0.1", 0))
    acceptor = Acceptor(listener, FaultyPlaces(PlaceLimits.within(8)), Greeting, None)
    acceptor.start()
    try:
        received = [await first_byte(listener.getsockname()) for _ in range(2)]
        assert received == [b"", b"x"]
    finally:
        acceptor.close()
        await acceptor.wait_closed()
    assert len(reported) == 1


async def first_byte(address):
    """Connect, and return the first byte that is received; b"" if the connection ends."""
    loop = asyncio.get_running_loop()
    with socket.socket() as made:
        made.setblocking(False)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(WAIT_S):
                await loop.sock_connect(made, address)
                return await loop.sock_recv(made, 1)
    return b""


class Greeting(asyncio.Protocol):
    """Sends one byte over each connection, and closes it."""

    def __init__(self, place):
        self._place = place

    def connection_made(self, transport):
        transport.write(b"x")
        transport.close()
