"""Linphone as a phone: its daemon, driven by lines over its own socket."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from helpers.loopback import free_port
from helpers.peers.programs import program
from helpers.peers.waiting import PATIENCE_S
from helpers.processes import Child

UNKNOWN = b"Status: Error\nReason: Unknown command.\n"

CONFIG = """\
[sip]
sip_port={udp}
sip_tcp_port={tcp}
sip_tls_port={tls}
guess_hostname=0
register_only_when_network_is_up=0
use_ipv6=0
root_ca={ca}
session_expires_enabled=1
session_expires_value=1800
session_expires_refresher=uac
media_encryption={encryption}
media_encryption_mandatory={insists}

[net]
nat_policy_ref=here

[nat_policy_0]
ref=here
protocols={protocols}

[rtp]
audio_rtp_port={media}
rtcp_mux={ice}

[video]
enabled=0
capture=0
display=0

[sound]
echocancellation=0
"""


class Linphone:
    """One phone; its calls have the numbers 1, 2, … in the order in which they began."""

    def __init__(self, service, extension, *, way="udp", ca="", srtp=False, ice=False):
        """Start the phone, which registers with the service; `way` is "udp", "tcp" or "tls".

        `ca` is a file with the trusted TLS certificates; with `srtp` it requires SRTP; with `ice`
        it offers ICE and rtcp-mux.
        """
        self.folder = Path(service.folder) / f"linphone-{extension}"
        for name in (".local/share/linphone", ".config/linphone"):
            (self.folder / name).mkdir(parents=True)
        ports = dict.fromkeys(("udp", "tcp", "tls"), 0) | {way: free_port("127.0.0.1")}
        text = CONFIG.format(
            **ports,
            media=free_port("127.0.0.1"),
            ca=ca,
            encryption="srtp" if srtp else "none",
            insists=int(srtp),
            ice=int(ice),
            protocols="ice" if ice else "",
        )
        (self.folder / "rc").write_text(text)
        self.sip_port = ports[way]
        self._output = (self.folder / "output").open("w")
        self._pipe_folder = tempfile.TemporaryDirectory(prefix="linphone-")
        # The path of a Unix socket has at most 107 bytes, and a test's folder can be longer.
        self._pipe = str(Path(self._pipe_folder.name) / "pipe")
        self.process = Child(
            [
                *(program("linphone-daemon", "linphone-cli"), "--disable-stats-events"),
                *("--config", "rc", "--pipe", self._pipe, "--log", "log"),
            ],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        port = service.ports.get(f"{way}:{service.sip[0]}", service.sip[1])
        self.server = f"{service.sip[0]}:{port}"
        self._account = (
            f"sip:{extension}@{service.sip[0]} sip:{self.server};transport={way}"
            f" {service.sip_password}"
        )

    def register(self):
        """Connect to the daemon and register the phone."""
        self._connect()
        self.do("audio-codec-disable ALL")
        self.do("audio-codec-enable PCMU/8000/1")
        self.do(f"register {self._account}")
        self.wait("register-status 1", "LinphoneRegistrationOk")

    def _connect(self):
        limit = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._socket.connect(self._pipe)
            except OSError:
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < limit, self.log()
                time.sleep(0.05)
            else:
                return

    def log(self):
        """Return the end of its log, for an error message."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def ask(self, command):
        """Run a command and return its answer with the status.

        Nothing marks the end of an answer, so an unknown command follows, whose error marks it.
        """
        self._socket.sendall(command.encode() + b"\n")
        said = self._socket.recv(65536)
        self._socket.sendall(b"that-is-all\n")
        while not said.endswith(UNKNOWN):
            said += self._socket.recv(65536)
        return said.removesuffix(UNKNOWN).decode(errors="replace")

    def do(self, command):
        """Run a command that must succeed, and return its answer."""
        said = self.ask(command)
        assert said.startswith("Status: Ok"), f"{command}: {said}\n{self.log()}"
        return said

    def wait(self, command, word):
        """Repeat the command until the answer has this word."""
        limit = time.monotonic() + PATIENCE_S
        while word not in (said := self.ask(command)):
            assert time.monotonic() < limit, f"{said}\n{self.log()}"
            time.sleep(0.02)

    def wait_call(self, state, number=1):
        """Wait until this call is in this state, such as "StreamsRunning"."""
        self.wait(f"call-status {number}", f"LinphoneCall{state}")

    def wait_gone(self, number=1):
        """Wait until this call is over."""
        self.wait(f"call-status {number}", "No call with such id")

    def end(self):
        self.process.kill()
        self.process.wait()
        self._socket.close()
        self._output.close()
        self._pipe_folder.cleanup()
