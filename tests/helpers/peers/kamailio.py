"""Kamailio: the proxy in front of the switch and behind it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from helpers.loopback import free_port
from helpers.peers.programs import program
from helpers.peers.waiting import PATIENCE_S
from helpers.processes import Child

CONFIG = Path(__file__).resolve().parents[2] / "peers" / "kamailio" / "kamailio.cfg"


class Daemon:
    """A program in the foreground that writes its output to its own file."""

    def __init__(self, folder, command, environment=None):
        self.folder = Path(folder)
        self._output = (self.folder / "output").open("w+")
        self.process = Child(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def output(self):
        """Return what it printed."""
        return (self.folder / "output").read_text(errors="replace")

    def wait_for(self, ready):
        """Poll until it is ready; it must not end before."""
        limit = time.monotonic() + PATIENCE_S
        while not ready():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < limit, self.output()
            time.sleep(0.02)

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # with its children, in its own session
            self.process.wait()
        self._output.close()


class Kamailio(Daemon):
    """One proxy; `role` is CARRIER, REGISTRAR or EDGE (see kamailio.cfg).

    It has the attributes that the phones of programs.py read from a service: address and password.
    """

    def __init__(self, service, role, host, *, port=0, way="udp", **words):
        """`way` is the transport to the switch; `words` replace __WORD__ in kamailio.cfg."""
        folder = service.folder / f"kamailio-{host}"
        folder.mkdir()
        self.sip = (host, port or free_port(host))
        self.tls_port = free_port(host)
        self.ports = {f"tcp:{host}": self.sip[1], f"tls:{host}": self.tls_port}
        self.sip_password = "secret-600"
        switch = (
            service.sip[0],
            service.sip[1] if way == "udp" else service.ports[f"{way}:127.0.0.1"],
        )
        known = {
            "role": role,
            "more": "",
            "host": host,
            "port": self.sip[1],
            "tls_port": self.tls_port,
            "switch": f"{switch[0]}:{switch[1]};transport={way}",
            "switch_host": switch[0],
            "switch_port": switch[1],
        }
        text = CONFIG.read_text()
        for name, value in {**known, **words}.items():
            text = text.replace(f"__{name.upper()}__", str(value))
        (folder / "kamailio.cfg").write_text(text)
        # -DD: in the foreground, with its children; the memory is what a handful of calls need.
        options = ("-DD", "-E", "-m", "32", "-M", "4", "-Y", str(folder), "-w", str(folder))
        command = [program("kamailio", "kamailio"), "-f", str(folder / "kamailio.cfg"), *options]
        super().__init__(folder, command)

    def wait_ready(self):
        """Wait until it answers."""
        self.wait_for(self._answers)

    def _answers(self):
        """Return whether it answers a request with no hop left, which it does by itself."""
        text = (
            f"OPTIONS sip:{self.sip[0]}:{self.sip[1]} SIP/2.0\r\n"
            "Via: SIP/2.0/UDP {0}:{1};branch=z9hG4bKready\r\nFrom: <sip:a@b>;tag=1\r\n"
            "To: <sip:c@d>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 0\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((self.sip[0], 0))
            probe.settimeout(0.1)
            try:
                probe.connect(self.sip)
                probe.send(text.format(*probe.getsockname()).encode())
                return b" 483 " in probe.recv(4096)
            except OSError:
                return False
