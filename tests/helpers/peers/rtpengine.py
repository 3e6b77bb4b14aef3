"""rtpengine: the media proxy of Kamailio, in userspace."""

from __future__ import annotations

import socket


def start(daemon, programs, service, host):
    """Start it on this host; `address` is where Kamailio finds it.

    `daemon` makes a program in the foreground of a folder and a command.
    """
    folder = service.folder / f"rtpengine-{host}"
    folder.mkdir()
    port, media = programs.free_port(host), programs.claim(200)
    engine = daemon(
        folder,
        [
            *(programs.program("rtpengine", "rtpengine-daemon"), "--foreground", "--log-stderr"),
            *("--config-file=none", "--table=-1", f"--interface={host}", "--num-threads=1"),
            *(
                f"--listen-ng={host}:{port}",
                f"--port-min={media.first}",
                f"--port-max={media.last}",
            ),
            *("--log-level=5", f"--pidfile={folder / 'pid'}"),
        ],
    )
    end = engine.end

    def end_and_free():
        end()
        media.close()

    engine.end = end_and_free
    engine.address = f"{host}:{port}"
    engine.ports = range(media.first, media.last + 1)

    def answers():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.1)
            try:
                probe.connect((host, port))
                probe.send(b"1 d7:command4:pinge")
                return b"4:pong" in probe.recv(512)
            except OSError:
                return False

    engine.wait_ready = lambda: engine.wait_for(answers)
    return engine
