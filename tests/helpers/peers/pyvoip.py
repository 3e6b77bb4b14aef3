"""Phones on libraries of others, each a program in its own process that prints events as lines."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from helpers.loopback import claim, free_port
from helpers.peers.waiting import PATIENCE_S
from helpers.processes import Child

HERE = Path(__file__).parent
SAW = np.tile((np.arange(64, 192, 8) - 128) << 8, 50).astype(np.int16)
"""A tenth of a second of the sawtooth that the programs in Python send."""


class ProgramPhone:
    """A phone that is a program: `COMMAND`, with the account and its ports as arguments."""

    COMMAND: tuple[str, ...]

    def __init__(self, folder, service, *arguments, extension="201"):
        """`arguments` are further ones of the program."""
        self.lines = []
        self.rtp_ports = claim(100)
        self._changed = threading.Condition()
        self._errors = (Path(folder) / f"phone-{extension}.errors").open("w+")
        self.process = Child(
            [
                *self.COMMAND,
                *(service.sip[0], str(service.sip[1]), extension, service.sip_password),
                *map(str, (free_port(), *self.rtp_ports.pair, *arguments)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.strip())
                self._changed.notify_all()

    def tell(self, command):
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def wait(self, word, seconds=PATIENCE_S):
        """Wait for a line that begins with this word, and return the rest of the line."""

        def found():
            return next((line for line in self.lines if line.split(" ")[0] == word), None)

        with self._changed:
            there = self._changed.wait_for(lambda: found() is not None, seconds)
        self._errors.flush()
        assert there, f"{self.lines}\n{Path(self._errors.name).read_text()[-2000:]}"
        return found().partition(" ")[2]

    def end(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(2)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self._errors.close()
        self.rtp_ports.close()


class PyVoip(ProgramPhone):
    """pyVoIP 1.6.8, which also reads commands."""

    COMMAND = (sys.executable, "-u", str(HERE / "pyvoip_phone.py"), "pyVoIP")


class RfcVoip(PyVoip):
    """rfcvoip, the maintained successor of pyVoIP."""

    COMMAND = (sys.executable, "-u", str(HERE / "pyvoip_phone.py"), "rfcvoip")


class NetSip(ProgramPhone):
    """Net::SIP, a library for Perl."""

    COMMAND = ("perl", str(HERE / "net_sip_phone.pl"))


class AioSipUa(ProgramPhone):
    """aiosipua, a SIP library for asyncio, with the RTP of aiortp."""

    COMMAND = (sys.executable, "-u", str(HERE / "aiosipua_phone.py"))
