"""pyVoIP 1.6.8 as a phone: a program that reads its commands as lines."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from helpers.loopback import claim, free_port
from helpers.peers.waiting import PATIENCE_S

HERE = Path(__file__).parent


class PyVoip:
    """pyVoIP 1.6.8 in its own process; it reads commands and prints events."""

    def __init__(self, folder, service, extension="201"):
        self.lines = []
        self.rtp_ports = claim(100)
        self._changed = threading.Condition()
        self._errors = (Path(folder) / f"pyvoip-{extension}.errors").open("w+")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-u", str(HERE / "pyvoip_phone.py")),
                *(service.sip[0], str(service.sip[1]), extension, service.sip_password),
                *map(str, (free_port(), *self.rtp_ports.pair)),
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
