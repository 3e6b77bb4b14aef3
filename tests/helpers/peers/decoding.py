"""A capture of a test's traffic, which tshark must decode without an error or a warning."""

from __future__ import annotations

import signal
import socket
import subprocess
import time

from helpers.loopback import free_port
from helpers.peers.programs import program
from helpers.peers.waiting import PATIENCE_S
from helpers.processes import Child

FIELDS = ("frame.number", "udp.srcport", "udp.dstport", "tcp.srcport", "tcp.dstport")
SAID = ("frame.protocols", "_ws.malformed", "_ws.expert.severity", "_ws.expert.message")
WARNING = 0x600000
"""Severities: PI_WARN and PI_ERROR of Wireshark's epan/proto.h; below are notes and chats."""
PROTOCOLS = ("sip", "sdp", "rtp", "rtcp", "srtp", "srtcp")


class Capture:
    """A capture on the loopback of these SIP ports and this range of media ports."""

    def __init__(self, folder, sip_ports, media):
        """`media` is the switch's first and last media port."""
        self._sip, self._media = list(sip_ports), range(media[0], media[1] + 1)
        self.file = folder / "capture.pcapng"
        self._log = (folder / "capture.log").open("w+")
        self._mark = free_port("127.0.0.1")
        ports = " or ".join(f"port {port}" for port in [self._mark, *self._sip])
        filter_ = f"{ports} or udp portrange {media[0]}-{media[1]}"
        self._process = Child(
            (
                *(program("dumpcap", "tshark"), "-q", "-i", "lo"),
                *("-f", filter_, "-w", str(self.file)),
            ),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._wait_mark(b"galwad capture begins")

    def _wait_mark(self, text):
        """Send our own packet until it is in the file: then all earlier packets are there too."""
        limit = time.monotonic() + PATIENCE_S
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not self.file.exists() or text not in self.file.read_bytes():
                assert self._process.poll() is None, self._said()
                assert time.monotonic() < limit, self._said()
                sender.sendto(text, ("127.0.0.1", self._mark))
                time.sleep(0.05)

    def _said(self):
        self._log.seek(0)
        return self._log.read()

    def end(self):
        if self._process.poll() is None:
            self._wait_mark(b"galwad capture ends")
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_S)
            self._log.close()

    def rows(self, *fields, only=""):
        """Return these fields of each frame, as text; `only` is a display filter."""
        self.end()
        command = [program("tshark", "tshark"), "-r", str(self.file), "-T", "fields"]
        command += [word for field in fields for word in ("-e", field)]
        command += [word for port in self._sip for word in ("-d", f"udp.port=={port},sip")]
        command += [word for port in self._sip for word in ("-d", f"tcp.port=={port},sip")]
        command += ["-Y", only] if only else []
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return [row.split("\t") for row in done.stdout.splitlines()]

    def faults(self):
        """Return each malformed frame, and each with a warning in SIP, SDP, RTP or RTCP."""
        found = []
        for row in self.rows(*FIELDS, *SAID, only="_ws.expert || _ws.malformed"):
            number, *ports, protocols, malformed, severities, messages = row
            known = set(protocols.split(":")) & set(PROTOCOLS)
            if "sip" in known and not {int(port) for port in ports if port} & set(self._sip):
                continue  # of another test, which used one of our media ports for its SIP
            worst = max((int(text) for text in severities.split(",") if text), default=0)
            if known and (malformed or worst >= WARNING):
                found.append((number, *filter(None, ports), protocols, messages))
        return found

    def judge(self):
        """Assert that the capture has no fault and is not empty."""
        seen = {word for row in self.rows("frame.protocols") for word in row[0].split(":")}
        assert "sip" in seen, seen
        assert self.faults() == []
        return seen
