"""The third-party programs that most tests drive: SIPp and baresip."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from helpers.loopback import claim, free_port
from helpers.peers.service import CALLER
from helpers.peers.sound import Talker
from helpers.peers.waiting import PATIENCE_S
from helpers.processes import Child

SCENARIOS = Path(__file__).resolve().parents[2] / "peers" / "sipp"


def program(name, package):
    """Return the path of a program; a missing one fails the run."""
    found = shutil.which(name)
    assert found, f"{name} is missing: apt-get install {package}"
    return found


class Sipp:
    """One SIPp with one of our scenarios; `media` is the RTP port that its SDP names."""

    def __init__(
        self,
        folder,
        scenario,
        host,
        *arguments,
        port=0,
        media=9,
        calls=1,
        delay=0,
        until_told=False,
        **keys,
    ):
        """`delay` is that of the scenario's <pause/>, in ms; without it, it lasts until `poke`.

        `keys` fill the scenario's [key] and __KEY__.
        """
        self.host, self.port = host, port or free_port(host)
        self.folder = Path(tempfile.mkdtemp(prefix=f"sipp-{host}-{self.port}-", dir=folder))
        self._logs = self.folder / "log"
        self._messages = self.folder / "messages"
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        for name, value in keys.items():
            text = text.replace(f"__{name.upper()}__", str(value))
        if until_told:
            text = text.replace("<pause/>", '<recv request="INFO"/>')
        (self.folder / "scenario.xml").write_text(text)
        command = [program("sipp", "sip-tester"), "-sf", "scenario.xml"]
        command += ["-i", host, "-p", str(self.port), "-m", str(calls), "-nostdin"]
        command += ["-trace_logs", "-log_file", str(self._logs)]
        command += ["-trace_msg", "-message_file", str(self._messages)]
        command += ["-trace_err", "-error_file", str(self.folder / "errors")]
        command += [
            "-timeout",
            str(3 * PATIENCE_S),
            "-timeout_error",
            "-d",
            str(delay),
            "-default_behaviors",
            "none",
        ]
        for name, value in {"media": media, "hops": 70, **keys}.items():
            command += ["-key", name, str(value)]
        self.process = Child(
            [*command, *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def logged(self, pattern, seconds=PATIENCE_S):
        """Wait for a line of the scenario's <log> and return its first group."""
        limit = time.monotonic() + seconds
        while True:
            text = self._logs.read_text() if self._logs.exists() else ""
            if found := re.search(pattern, text):
                return found[1] if found.groups() else found[0]
            goes_on = self.process.poll() is None and time.monotonic() < limit
            assert goes_on, f"SIPp did not log {pattern}: {self.trouble()}\n{self.messages()}"
            time.sleep(0.02)

    @property
    def media_target(self):
        """The address to which this party sends its RTP, from the switch's SDP."""
        return ("127.0.0.1", int(self.logged(r"media (\d+)")))

    def messages(self):
        """Return all messages that it has sent and received, as text."""
        return self._messages.read_text(errors="replace") if self._messages.exists() else ""

    def different(self, word):
        """Return how many different messages with this word it has sent and received.

        A retransmission, after half a second without an answer, is not counted.
        """
        found = re.split(r"(?m)^-{30,}.*\n.*message (?:sent|received).*\n", self.messages())
        return len({message.strip() for message in found if word in message})

    def poke(self, call_id, header=""):
        """Continue the scenario, perhaps with a parameter: send an INFO as only tests do."""
        text = (
            f"INFO sip:go@{self.host}:{self.port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.9:9;branch=z9hG4bKgo{time.monotonic_ns()}\r\n"
            "From: <sip:test@127.0.0.9>\r\nTo: <sip:go@127.0.0.9>\r\n"
            f"Call-ID: {call_id}\r\nCSeq: 1 INFO\r\n"
            + (f"{header}\r\n" if header else "")
            + "Content-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), (self.host, self.port))

    def trouble(self):
        """Return its error file, for an error message."""
        errors = self.folder / "errors"
        return errors.read_text() if errors.exists() else f"status {self.process.poll()}"

    def wait(self, seconds=PATIENCE_S):
        """Wait for its end; every call must have followed the scenario."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"SIPp goes on: {self.trouble()}\n{self.messages()}") from None
        assert status == 0, f"SIPp says {status}: {self.trouble()}\n{self.messages()}"

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Caller(Sipp):
    """SIPp as the trunk that brings a call: `uac.xml` or another scenario like it."""

    talker: Talker
    """The RTP of this party, where a test gives it one."""

    def __init__(
        self,
        service,
        called,
        *,
        scenario="uac",
        host="127.0.0.2",
        through=None,
        options=(),
        **keys,
    ):
        """`through` is the address for its datagrams, if not the switch's own.

        `options` are SIPp's own.
        """
        where = through or service.sip
        self.sip_call_id = f"caller-{time.monotonic_ns()}@peers"
        super().__init__(
            service.folder,
            scenario,
            host,
            *("-s", called, "-cid_str", self.sip_call_id),
            *options,
            f"{where[0]}:{where[1]}",
            **{"caller": CALLER, **keys},
        )

    def hang_up(self):
        """Let it send its BYE once it has the 200 to its INVITE, and wait for the end of its call.

        That 200 may arrive after the callee has received its ACK.
        """
        self.logged("media")
        self.poke(self.sip_call_id)
        self.wait()


class Callee(Sipp):
    """SIPp as the phone or PBX that answers: `uas.xml` or another scenario like it."""

    talker: Talker
    """The RTP of this party, where a test gives it one."""

    @property
    def sip_call_id(self):
        """The Call-ID of the leg that rings here."""
        return self.logged(r"call (\S+)")

    def go_on(self):
        """Let it continue from its pause."""
        self.poke(self.sip_call_id)

    def hang_up(self):
        self.go_on()
        self.wait()


def register(service, extension, contact_port, *, password="", status=200):
    """Register a phone of 127.0.0.1 by SIPp; the answer to the password must be `status`."""
    phone = Sipp(
        service.folder,
        "register",
        "127.0.0.1",
        f"{service.sip[0]}:{service.sip[1]}",
        extension=extension,
        contact_port=contact_port,
        password=password or f"secret-{extension}",
        status=status,
    )
    try:
        phone.wait()
    finally:
        phone.end()


BARESIP_CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip_port}
sip_trans_def udp
sip_cafile {ca}
sip_verify_server yes
audio_player aubridge,nobody
audio_source aufile,{said}
audio_alert aubridge,alert
ausrc_srate {microphone}
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports {rtp_ports}
rtcp_mux no
jitter_buffer_delay 1-3
net_interface 127.0.0.1
module_path /usr/lib/baresip/modules
module g711.so
module g722.so
module opus.so
module l16.so
module aufile.so
module aubridge.so
module uuid.so
module srtp.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
statmode_default off
"""


class Baresip:
    """baresip as an advisor's phone, driven by its ctrl_tcp module (JSON in netstrings)."""

    def __init__(
        self,
        folder,
        service,
        said,
        extension="201",
        *,
        extra="",
        way="udp",
        ca="",
        microphone=8000,
    ):
        """`way` is "udp", "tcp" or "tls"; `ca` a file with the trusted TLS certificates.

        `extra` are account parameters, each with a semicolon, and come before ours. `microphone` is
        the sampling rate of the file `said`.
        """
        self.folder = Path(folder) / f"baresip-{extension}"
        self.folder.mkdir()
        self.events = []
        self.replies = []
        self._changed = threading.Condition()
        self._token = 0
        control, self.rtp_ports = free_port(), claim(100)
        (self.folder / "config").write_text(
            BARESIP_CONFIG.format(
                sip_port=free_port("127.0.0.1"),
                control_port=control,
                rtp_ports=self.rtp_ports,
                folder=self.folder,
                said=said,
                ca=ca,
                microphone=microphone,
            )
        )
        port = service.ports.get(f"{way}:{service.sip[0]}", service.sip[1])
        (self.folder / "accounts").write_text(
            f"<sip:{extension}@{service.sip[0]}:{port};transport={way}>{extra}"
            f";auth_pass={service.sip_password};answermode=manual;regint=600"
            ";audio_codecs=pcmu\n"
        )
        (self.folder / "contacts").write_text("")
        with (self.folder / "output").open("wb") as output:
            self.process = Child(
                [program("baresip", "baresip-core"), "-s", "-f", str(self.folder)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._socket = self._connect(control)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _connect(self, port):
        limit = time.monotonic() + PATIENCE_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port))
            except ConnectionRefusedError:
                assert self.process.poll() is None, self.output()
                assert time.monotonic() < limit, self.output()
                time.sleep(0.05)

    def output(self):
        """What it printed."""
        return (self.folder / "output").read_text(errors="replace")

    def wait_registered(self):
        """Wait for the 200 to its REGISTER, which may arrive before we read its events."""
        limit = time.monotonic() + PATIENCE_S
        while not re.search(r"200 OK \(\w+\) \[1 binding\]", self.output()):
            assert time.monotonic() < limit, self.output()
            time.sleep(0.02)

    def _read(self):
        buffer = b""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            buffer += data
            while (colon := buffer.find(b":")) >= 0:
                length = int(buffer[:colon])
                if len(buffer) < colon + length + 2:
                    break
                message = json.loads(buffer[colon + 1 : colon + 1 + length])
                buffer = buffer[colon + length + 2 :]
                with self._changed:
                    (self.events if message.get("event") else self.replies).append(message)
                    self._changed.notify_all()

    def command(self, name, parameters=""):
        """Run one of its commands, and wait for the answer."""
        self._token += 1
        token = str(self._token)
        body = json.dumps({"command": name, "params": parameters, "token": token}).encode()
        self._socket.sendall(b"%d:%s," % (len(body), body))
        with self._changed:
            assert self._changed.wait_for(
                lambda: any(reply.get("token") == token for reply in self.replies), PATIENCE_S
            ), self.output()
        return next(reply for reply in self.replies if reply.get("token") == token)

    def wait(self, kind, count=1, seconds=PATIENCE_S):
        """Wait for the count-th event of this type."""

        def found():
            return [event for event in self.events if event["type"] == kind]

        with self._changed:
            there = self._changed.wait_for(lambda: len(found()) >= count, seconds)
        seen = [event["type"] for event in self.events]
        assert there, f"baresip saw no {kind}, but {seen}\n{self.output()[-2000:]}"
        return found()[count - 1]

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._socket.close()
        self._reader.join(2)
        self.rtp_ports.close()
