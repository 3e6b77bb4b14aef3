"""Two trunks, of which the first is silent: by SRV records of a name server, or as a list."""

from __future__ import annotations

import os
import socket

import pytest

from helpers.examples import long_after
from helpers.loopback import free_port
from helpers.name_server import NameServer
from helpers.peers.programs import Callee, Caller
from helpers.root import as_root

pytestmark = pytest.mark.peer

NAME_SERVER, SILENT, GOOD = "127.0.0.54", "127.0.0.5", "127.0.0.4"
LINE = "01970000400"
ROUTE = """
[[routes]]
called = "{line}"
target = {target}
"""


@pytest.fixture
def silent():
    """A trunk that receives all requests and sends nothing."""
    trunk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    trunk.bind((SILENT, free_port(SILENT)))
    trunk.setblocking(False)
    yield trunk
    trunk.close()


def invites(trunk):
    """Return the Call-IDs of the INVITEs that the trunk has received since the last call."""
    found: list[bytes] = []
    while True:
        try:
            data = trunk.recv(65535)
        except BlockingIOError:
            return found
        if data.startswith(b"INVITE "):
            found.append(data.partition(b"\r\nCall-ID: ")[2].partition(b"\r\n")[0])


@pytest.fixture
def names():
    """The zone of a name server at NAME_SERVER, which the switch asks."""
    if os.geteuid() != 0:
        as_root("sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=53")
    server = NameServer({}, NAME_SERVER, 53)
    yield server.zone
    server.end()


@pytest.mark.parametrize("way", long_after(1, ["srv", "addresses", "list"]))
def test_the_second_trunk_gets_the_calls_that_the_first_trunk_does_not_answer(
    start, ended, names, silent, way
):
    port, good = silent.getsockname()[1], free_port(GOOD)
    names["one.trunk.example.", "A"], names["two.trunk.example.", "A"] = SILENT, GOOD
    names["_sip._udp.trunk.example.", "SRV"] = (
        f"1 1 {port} one.trunk.example.\n2 1 {good} two.trunk.example."
    )
    target = {
        "srv": '"sip:trunk.example"',
        "addresses": f'["sip:one.trunk.example:{port}", "sip:two.trunk.example:{good}"]',
        "list": f'["sip:700@{SILENT}:{port}", "sip:800@{GOOD}:{good}"]',
    }[way]
    switch = start("switch", name_server=NAME_SERVER, more=ROUTE.format(line=LINE, target=target))
    answering = ended(Callee(switch.folder, "uas", GOOD, port=good, calls=2))
    first = ended(Caller(switch, LINE))
    first.hang_up()
    tries = invites(silent)
    assert (len(tries), len(set(tries))) == (4, 1)
    second = ended(Caller(switch, LINE))
    second.hang_up()
    assert set(invites(silent)) <= set(tries)
    answering.wait()
    called = "800" if way == "list" else LINE
    assert f"INVITE sip:{called}@" in answering.messages()
