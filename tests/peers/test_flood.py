"""Floods of junk, of strangers' INVITEs and of connections, beside a call in progress."""

from __future__ import annotations

import contextlib
import itertools
import queue
import re
import socket
import threading
from collections import Counter

import pytest

from galwad.simulate.sound import speech
from helpers.peers import benchmarks
from helpers.peers.programs import Callee, register
from helpers.peers.sound import Chorus
from helpers.peers.waiting import PATIENCE_S, wait_until
from helpers.sip_messages import request_of, response_of
from telephony.sip.ua.auth import DigestClient, parse_digest

pytestmark = pytest.mark.peer

FLOODER = "127.0.0.66"
CROWD = [f"127.7.0.{number}" for number in range(1, 251)]


def invite(number, host):
    return (
        f"INVITE sip:{number}@galwad SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{number};rport\r\n"
        f"From: <sip:a@{host}>;tag={number}\r\nTo: <sip:{number}@galwad>\r\n"
        f"Call-ID: {number}@{host}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:a@{host}>\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class TcpTrunk:
    """A trunk at 127.0.0.2 with one TCP connection, on which it has a call and sends a flood."""

    def __init__(self, connection):
        self._connection = connection
        self._lock = threading.Lock()
        self._messages = queue.Queue[str]()
        self.hurry = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        buffer = b""
        with contextlib.suppress(OSError):
            while data := self._connection.recv(65536):
                buffer += data
                while found := re.search(rb"(?s)\A.*?Content-Length: (\d+)\r\n\r\n", buffer):
                    end = found.end() + int(found[1])
                    self._messages.put(buffer[:end].decode())
                    buffer = buffer[end:]

    def wait_for(self, text):
        """Return the next message with this text; the messages before it are dropped."""
        while True:
            message = self._messages.get(timeout=60)
            if text in message:
                return message

    def send(self, method, called, *, to_tag="", cseq=1, body=""):
        """Send a request of the call."""
        tag = f";tag={to_tag}" if to_tag else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{method} sip:{called}@galwad SIP/2.0\r\n"
            f"Via: SIP/2.0/TCP 127.0.0.2:5060;branch=z9hG4bK{method}{cseq}\r\n"
            f"From: <sip:a@127.0.0.2>;tag=trunk\r\nTo: <sip:{called}@galwad>{tag}\r\n"
            f"Call-ID: live@127.0.0.2\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:a@127.0.0.2:5060;transport=tcp>\r\n{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        with self._lock:
            self._connection.sendall(text.encode())

    def call(self, called, port):
        """Place a call; return the To tag of its dialog."""
        sdp = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
        self.send("INVITE", called, body=sdp)
        to_tag = response_of(self.wait_for("SIP/2.0 200 ").encode()).to.tag
        self.send("ACK", called, to_tag=to_tag)
        return to_tag

    def flood(self, count):
        """Send INVITEs for further calls to a number that does not exist."""
        for number in range(count):
            if self.hurry.is_set():
                return
            data = invite(number, "127.0.0.2").replace(b"/UDP", b"/TCP")
            with self._lock:
                self._connection.sendall(data)


class RawPhone:
    """A phone that registers over its own socket, and reads the responses later."""

    def __init__(self, made, transport):
        self._made, self._transport = made, transport
        self._numbers = itertools.count(1)
        self._buffer = b""

    def send(self, extension, more=""):
        """Send a REGISTER."""
        self._made.sendall(self._register(extension, more))

    def _register(self, extension, more):
        """Return a REGISTER."""
        number = next(self._numbers)
        host, port = self._made.getsockname()
        return (
            f"REGISTER sip:galwad SIP/2.0\r\n"
            f"Via: SIP/2.0/{self._transport} {host}:{port};branch=z9hG4bK{port}x{number};rport\r\n"
            f"From: <sip:{extension}@galwad>;tag={port}\r\nTo: <sip:{extension}@galwad>\r\n"
            f"Call-ID: {port}@{host}\r\nCSeq: {number} REGISTER\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:{extension}@{host}:{port}>\r\nExpires: 300\r\n{more}"
            "Content-Length: 0\r\n\r\n"
        ).encode()

    def read(self):
        """Return the next response."""
        while b"\r\n\r\n" not in self._buffer:
            data = self._made.recv(65536)
            if not data:
                raise ConnectionResetError
            self._buffer += data
        end = self._buffer.index(b"\r\n\r\n") + 4
        data, self._buffer = self._buffer[:end], self._buffer[end:]
        return response_of(data)

    def ask(self, extension, more=""):
        """Return the response to a REGISTER. Like a phone, send it again until there is one."""
        text = self._register(extension, more)
        request = request_of(text)
        for _ in range(30):
            self._made.sendall(text)
            self._made.settimeout(2 if self._transport == "UDP" else 60)
            with contextlib.suppress(TimeoutError):
                while True:
                    response = self.read()
                    if response.cseq == request.cseq:
                        return response
        raise AssertionError("the switch did not respond")

    def register(self, extension, password):
        """Register with a password; return the status of the response."""
        challenge = self.ask(extension)
        if challenge.status != 401:
            return challenge.status
        return self.ask(extension, self._credentials(extension, password, challenge)).status

    @staticmethod
    def _credentials(extension, password, challenge):
        request = request_of(
            b"REGISTER sip:galwad SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
            b"From: <sip:x@h>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n\r\n"
        )
        found = DigestClient(extension, password).answer(request, challenge, "cnonce")
        assert found is not None
        return "{}: {}\r\n".format(*found)

    def statuses(self):
        """Return how many responses with each status have arrived and were not read yet."""
        found = Counter[int]()
        self._made.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while True:
                found[self.read().status] += 1
        return found


@pytest.fixture
def raw_phone(from_host):
    """Makes a phone: `raw_phone(switch, host, "UDP" or "TCP")`."""

    def raw_phone(switch, host, transport):
        kind = socket.SOCK_DGRAM if transport == "UDP" else socket.SOCK_STREAM
        made = from_host(host, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        port = switch.sip[1] if transport == "UDP" else switch.ports["tcp:127.0.0.1"]
        made.connect(("127.0.0.1", port))
        return RawPhone(made, transport)

    return raw_phone


@pytest.fixture
def from_host():
    with contextlib.ExitStack() as stack:

        def make(host, kind=socket.SOCK_DGRAM):
            made = stack.enter_context(socket.socket(socket.AF_INET, kind))
            made.bind((host, 0))
            return made

        yield make


@pytest.fixture
def talking(service, place_call):
    """A call whose parties speak for six seconds; returns at its end whether each heard all."""
    call, chorus = place_call(), Chorus()
    chorus.say("caller", call.caller, speech(6, 1), call.from_caller)
    chorus.say("advisor", call.advisor, speech(6, 2), call.from_advisor)

    def heard_all():
        chorus.wait()
        ways = (call.caller, call.advisor), (call.advisor, call.caller)
        for mouth, ear in ways:
            ear.wait_heard(mouth.sent)
        call.hang_up()
        return all(
            len({sequence for _, _, sequence, _ in ear.heard}) == mouth.sent >= 300
            for mouth, ear in ways
        )

    return heard_all


def test_a_flooding_source_is_thinned_and_a_call_in_progress_loses_nothing(
    service, talking, from_host
):
    made = from_host(FLOODER)
    for number in range(10_000):
        made.sendto(invite(number, FLOODER), service.sip)
    service.log.wait("source.thinned", source=FLOODER)
    made.setblocking(False)
    answers = 0
    with contextlib.suppress(BlockingIOError):
        while made.recv(4096):
            answers += 1
    assert 0 < answers <= 200
    assert talking()
    assert service.log.events("source.banned") == []


def test_a_phone_can_register_during_a_flood_of_junk_from_many_addresses(switch, from_host):
    crowd = [from_host(host) for host in CROWD]
    for number, made in zip(range(10_000), itertools.cycle(crowd), strict=False):
        data = b"\xff" * 400 if number % 2 else invite(number, made.getsockname()[0])
        made.sendto(data, switch.sip)
    register(switch, "301", 9)
    register(switch, "302", 9)


def test_a_trunk_can_connect_beside_many_connections_with_unfinished_messages(start, from_host):
    switch = start("switch", listen=("tcp:127.0.0.1",))
    port = switch.ports["tcp:127.0.0.1"]
    half = b"INVITE sip:x SIP/2.0\r\n" + b"X: y\r\n" * 10_000
    kept = []
    for host in (FLOODER, *CROWD):
        for _ in range(2):
            made = from_host(host, socket.SOCK_STREAM)
            with contextlib.suppress(ConnectionError):
                made.connect(("127.0.0.1", port))
                made.send(half)
            kept.append(made)
    trunk = from_host("127.0.0.2", socket.SOCK_STREAM)
    trunk.settimeout(PATIENCE_S)
    trunk.connect(("127.0.0.1", port))
    asked = invite(1, "127.0.0.2").replace(b"INVITE", b"OPTIONS").replace(b"/UDP", b"/TCP")
    trunk.sendall(asked)
    assert trunk.recv(4096).startswith(b"SIP/2.0 200 ")


def guesses(phone, extension, count):
    """Send REGISTERs of `extension` with wrong passwords and a nonce that the switch has made."""
    nonce = parse_digest(phone.ask(extension).headers.get("WWW-Authenticate"))["nonce"]
    for number in range(count):
        phone.send(
            extension,
            f'Authorization: Digest username="{extension}", realm="galwad", nonce="{nonce}",'
            f' uri="sip:galwad", response="{number:032x}", algorithm=MD5\r\n',
        )


def test_a_phone_can_register_from_an_address_that_a_flood_of_garbage_forges(switch, from_host):
    made = from_host("127.0.0.1")
    for number in range(500):
        made.sendto(b"\xff" * 100, switch.sip)
        made.sendto(invite(number, "127.0.0.1"), switch.sip)
    register(switch, "301", 9)
    assert switch.log.events("source.banned") == []


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_a_phone_can_register_from_the_address_of_a_banned_guesser(start, raw_phone, transport):
    switch = start("switch", listen=("tcp:127.0.0.1",))
    guesses(raw_phone(switch, "127.0.0.1", transport), "301", 15)
    banned = switch.log.wait("source.banned", source="127.0.0.1")
    assert (banned["reason"], banned["seconds"]) == ("credentials", 60)
    assert raw_phone(switch, "127.0.0.1", transport).register("302", "secret-302") == 200
    register(switch, "301", 9)


def test_a_phone_can_register_while_its_neighbour_guesses_its_password(switch, raw_phone):
    phone, neighbour = (raw_phone(switch, "127.0.0.1", "UDP") for _ in range(2))
    assert phone.register("301", "secret-301") == 200
    flood = threading.Thread(target=guesses, args=(neighbour, "301", 20_000))
    flood.start()
    alarm = switch.log.wait("alarm", kind="phone.passwords_guessed")
    assert alarm["detail"] == "from 127.0.0.1"
    for _ in range(3):
        assert phone.register("301", "secret-301") == 200
    flood.join()
    statuses = neighbour.statuses()
    assert 20 <= statuses[401] <= 60
    assert statuses[200] == 0
    assert phone.register("301", "secret-301") == 200
    assert raw_phone(switch, "127.0.0.1", "UDP").register("301", "secret-301") == 200


@pytest.mark.long
@pytest.mark.parametrize("name", ["known t", "trunk tcp"])
def test_a_flood_over_connections_costs_calls_in_progress_no_packet(tmp_path, name):
    arguments = {"--only": name, "--calls": 5, "--seconds": 2, "--idle": 1}
    figures = benchmarks.run(tmp_path, "flood.py", *itertools.chain(*arguments.items()))
    for flood in figures["floods"]:
        assert flood["rtp_sent"] > 0
        assert flood["pauses"] > 0
        assert (flood["lost"], flood["failed"], flood["faults"]) == (0, 0, 0)


def is_taken(host, port):
    """Return whether a program has bound this UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def test_a_trunk_can_end_a_call_on_the_connection_that_it_floods(start, from_host, talker, ended):
    service = start("switch", listen=("tcp:127.0.0.1",), more_sip="trunk_rate = 10")
    advisor, mouth = talker("127.0.0.3"), talker("127.0.0.2")
    callee = ended(
        Callee(service.folder, "uas", "127.0.0.3", port=service.pbx_port, media=advisor.port)
    )
    wait_until(lambda: is_taken("127.0.0.3", service.pbx_port), what="SIPp")
    made = from_host("127.0.0.2", socket.SOCK_STREAM)
    made.connect(("127.0.0.1", service.ports["tcp:127.0.0.1"]))
    trunk = TcpTrunk(made)
    to_tag = trunk.call("01970000200", mouth.port)
    flooding = threading.Thread(target=trunk.flood, args=(5000,))
    flooding.start()
    trunk.wait_for("SIP/2.0 503 ")
    trunk.send("BYE", "01970000200", to_tag=to_tag, cseq=2)
    assert trunk.wait_for("CSeq: 2 BYE").startswith("SIP/2.0 200 ")
    trunk.hurry.set()
    flooding.join()
    callee.wait()
