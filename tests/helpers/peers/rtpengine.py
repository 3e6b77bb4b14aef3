"""rtpengine: the media proxy of Kamailio, in userspace."""

from __future__ import annotations

import socket

from helpers.loopback import claim, free_port
from helpers.peers.kamailio import Daemon
from helpers.peers.programs import program


class Rtpengine(Daemon):
    """One media proxy on a host; `address` is the one that Kamailio uses, `ports` are for media."""

    def __init__(self, service, host):
        folder = service.folder / f"rtpengine-{host}"
        folder.mkdir()
        self._control = (host, free_port(host))
        self._media = claim(200)
        self.address = f"{host}:{self._control[1]}"
        self.ports = range(self._media.first, self._media.last + 1)
        super().__init__(
            folder,
            [
                *(program("rtpengine", "rtpengine-daemon"), "--foreground", "--log-stderr"),
                *("--config-file=none", "--table=-1", f"--interface={host}", "--num-threads=4"),
                f"--listen-ng={self.address}",
                f"--port-min={self._media.first}",
                f"--port-max={self._media.last}",
                *("--log-level=5", f"--pidfile={folder / 'pid'}"),
            ],
        )

    def wait_ready(self):
        """Wait until it answers a ping."""
        self.wait_for(self._answers)

    def _answers(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.1)
            try:
                probe.connect(self._control)
                probe.send(b"1 d7:command4:pinge")
                return b"4:pong" in probe.recv(512)
            except OSError:
                return False

    def end(self):
        super().end()
        self._media.close()
