"""SIPp over TCP and IPv6 against our SIP core; baresip and openssl over TCP and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from pathlib import Path

import pytest

from galwad.simulate.sound import speech
from helpers.loopback import free_port
from helpers.peers.agent import Agent, sipp
from helpers.peers.programs import Baresip, Caller
from helpers.peers.sound import save
from helpers.peers.waiting import PATIENCE_S
from net.tls import Tls, server_context
from telephony.phone import CallState, VoIPCall, VoIPPhone
from telephony.sip.events import Address

pytestmark = pytest.mark.peer

CALLS = 10


@pytest.fixture
async def agent():
    agent = Agent()
    yield agent
    agent.transport.close()
    await asyncio.sleep(0)


def words(scenario, transport, host, port=0):
    """Return SIPp's arguments; all calls use one connection. (SIPp's TLS fails on loopback.)"""
    mode = {"UDP": "u1", "TCP": "t1"}[transport]
    where = str(port or free_port(host))
    return ("-sn", scenario, "-t", mode, "-p", where, "-timeout", "20", "-m", str(CALLS))


EVERY = [("UDP", "::1"), ("TCP", "127.0.0.1"), ("TCP", "::1")]


@pytest.mark.parametrize(("transport", "host"), EVERY)
async def test_every_call_from_sipp_to_our_core_succeeds_on_each_transport(
    agent, tmp_path, transport, host
):
    at = await agent.transport.listen(Address(host, 0, transport))
    where = f"[{host}]:{at.port}" if ":" in host else f"{host}:{at.port}"
    process = await sipp(
        tmp_path, *words("uac", transport, host), "-r", "50", "-d", "50", where, host=host
    )
    assert await process.wait() == 0
    await agent.until(CALLS)
    assert agent.vias == {transport}
    assert agent.transport.faults == agent.transport.send_errors == 0
    assert not agent.transport.endpoint.dropped


@pytest.mark.parametrize(("transport", "host"), EVERY)
async def test_every_call_from_our_core_to_sipp_succeeds_on_each_transport(
    agent, tmp_path, transport, host
):
    await agent.transport.listen(Address(host, 0, transport))
    asked = words("uas", transport, host)
    peer = Address(host, int(asked[asked.index("-p") + 1]), transport)
    process = await sipp(tmp_path, *asked, host=host)
    try:
        await listening(peer)
        for _ in range(CALLS):
            agent.call(peer)
        await agent.until(CALLS)
        assert (agent.ended, agent.failed) == (CALLS, 0)
        assert agent.transport.faults == 0
        links = agent.transport.connections.all()
        assert len(links) == peer.reliable
    finally:
        process.kill()
        await process.wait()


async def listening(peer):
    """Wait until SIPp has its socket, without a connection to it; UDP is retransmitted anyway."""
    table = "/proc/net/tcp6" if ":" in peer.host else "/proc/net/tcp"
    listens = re.compile(rf":{peer.port:04X} [0-9A-F]+:0000 0A ")
    while (  # noqa: ASYNC110 - another program's socket tells nobody
        peer.reliable and listens.search(await asyncio.to_thread(read, table)) is None
    ):
        await asyncio.sleep(0.02)


def read(path):
    return Path(path).read_text(encoding="ascii")


async def test_an_invite_sent_with_openssl_over_tls_is_answered(agent, authority):
    tls = Tls(server_context(*authority.issue("galwad", "127.0.0.1")))
    at = await agent.transport.listen(Address("127.0.0.1", 0, "TLS"), tls=tls)
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-quiet", "-verify_return_error"),
        *("-CAfile", str(authority.path), "-connect", f"127.0.0.1:{at.port}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(
            b"INVITE sip:galwad@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS a;branch=z9hG4bKo\r\n"
            b"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: typed\r\nCSeq: 1 INVITE\r\n"
            b"Contact: <sip:a@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
        )
        async with asyncio.timeout(PATIENCE_S):
            assert await process.stdout.readline() == b"SIP/2.0 180 Ringing\r\n"
    finally:
        process.kill()
        await process.communicate()


@pytest.fixture
def secured(start, authority):
    """The switch, which listens on UDP, TCP and TLS."""
    certificate, key = authority.issue("switch", "127.0.0.1")
    service = start(
        "switch",
        listen=("tcp:127.0.0.1", "tls:127.0.0.1", "udp:[::1]", "tcp:[::1]"),
        media_listen='["127.0.0.1", "::1"]',
        more_sip=f'tls_certificate = "{certificate}"\ntls_key = "{key}"',
    )
    service.sip_password = "secret-301"
    return service


@pytest.fixture(params=["tcp", "tls"])
def advisor(request, secured, ended, authority):
    """baresip, registered as 301 over a connection."""
    said = secured.folder / "advisor.wav"
    save(said, speech(20, 31))
    phone = Baresip(secured.folder, secured, said, "301", way=request.param, ca=authority.path)
    ended(phone).wait_registered()
    return phone


def test_baresip_is_called_over_the_connection_of_its_registration(secured, talker, ended, advisor):
    mouth = talker("127.0.0.2")
    caller = ended(Caller(secured, "01970000300", media=mouth.port))
    advisor.wait("CALL_INCOMING")
    advisor.command("accept")
    advisor.wait("CALL_ESTABLISHED")
    mouth.wait_heard(10)
    advisor.command("hold")
    advisor.command("resume")
    caller.hang_up()
    advisor.wait("CALL_CLOSED")


def test_a_phone_whose_connection_is_closed_is_not_rung(secured, ended, advisor):
    advisor.process.kill()
    refused = Caller(secured, "01970000300", scenario="uac_refused", status=480)
    ended(refused).wait()


@pytest.mark.parametrize("way", ["udp", "tcp"])
async def test_a_phone_on_ipv6_talks_with_a_caller_on_ipv4(secured, talker, ended, *, ports, way):
    came = asyncio.Queue[VoIPCall]()
    phone = VoIPPhone(
        "::1",
        secured.ports[f"{way}:[::1]"],
        "301",
        "secret-301",
        my_ip="::1",
        rtp_ports=ports.pair,
        call_callback=came.put,
        transport=way,
    )
    async with phone:
        mouth = talker("127.0.0.2")
        caller = ended(Caller(secured, "01970000300", media=mouth.port))
        call = await asyncio.wait_for(came.get(), PATIENCE_S)
        assert call.request is not None
        assert b"c=IN IP6 ::1" in call.request.body
        await call.answer()
        await call.write_audio(bytes(2 * 8000 // 2))
        await asyncio.to_thread(mouth.wait_heard, 10)
        await asyncio.to_thread(caller.hang_up)
        await asyncio.wait_for(call.wait_for(CallState.ENDED), PATIENCE_S)


@pytest.mark.parametrize(("caller", "pbx"), [("TCP", "TCP"), ("UDP", "TCP"), ("TCP", "UDP")])
async def test_calls_between_different_transports_succeed(start, tmp_path, caller, pbx):
    service = start("switch", listen=("tcp:127.0.0.1",), pbx_way=f";transport={pbx.lower()}")
    (tmp_path / "pbx").mkdir()
    there = words("uas", pbx, "127.0.0.3", service.pbx_port)
    callee = await sipp(tmp_path / "pbx", *there, host="127.0.0.3")
    try:
        await listening(Address("127.0.0.3", service.pbx_port, pbx))
        port = service.ports["tcp:127.0.0.1"] if caller == "TCP" else service.sip[1]
        from_here = words("uac", caller, "127.0.0.2")
        calls = await sipp(
            tmp_path,
            *from_here,
            *("-s", "01970000200", "-r", "20", "-d", "100", f"127.0.0.1:{port}"),
            host="127.0.0.2",
        )
        assert await calls.wait() == 0
        await asyncio.to_thread(service.log.wait, "call.ended", CALLS)
    finally:
        callee.kill()
        await callee.wait()


class Cable:
    """A TCP connection to the switch that a test can cut."""

    def __init__(self, port):
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._ends = []
        self._carry(self._accept)

    def _carry(self, work, *ends):
        threading.Thread(target=work, args=ends, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                there = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [here, there]
                self._carry(self._pump, here, there)
                self._carry(self._pump, there, here)

    @staticmethod
    def _pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def cut(self):
        self._listening.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    close = cut


async def test_a_phone_that_reconnects_in_mid_call_receives_the_bye(
    secured, talker, ended, *, ports
):
    cable, came = ended(Cable(secured.ports["tcp:127.0.0.1"])), asyncio.Queue[VoIPCall]()
    phone = VoIPPhone(
        "127.0.0.1",
        cable.port,
        "301",
        "secret-301",
        my_ip="127.0.0.1",
        rtp_ports=ports.pair,
        call_callback=came.put,
        transport="tcp",
    )
    async with phone:
        mouth = talker("127.0.0.2")
        caller = ended(Caller(secured, "01970000300", media=mouth.port))
        call = await asyncio.wait_for(came.get(), PATIENCE_S)
        await call.answer()
        await asyncio.to_thread(mouth.wait_heard, 5)
        cable.cut()
        await asyncio.to_thread(caller.hang_up)
        await asyncio.wait_for(call.wait_for(CallState.ENDED), PATIENCE_S)
        assert call.status == 200
