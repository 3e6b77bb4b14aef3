"""rtpengine in userspace, set up by its ng protocol to relay (and record) the same calls."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from _common import PATIENCE_S, answers, daemon, free_port
from _rtp import HOST

FIRST_PORT, LAST_PORT = 30_000, 44_999
_META = "rtpengine-meta-"
SDP = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


def bencode(value: object) -> bytes:
    """Encode text, whole numbers, lists and dicts for ng."""
    match value:
        case str():
            data = value.encode()
            return b"%d:%b" % (len(data), data)
        case int():
            return b"i%de" % value
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            pairs = (bencode(key) + bencode(value[key]) for key in sorted(value))
            return b"d" + b"".join(pairs) + b"e"
    raise TypeError


def bdecode(data: bytes, at: int = 0) -> tuple[object, int]:
    """Return the value that begins at `at`, and the position after it."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind not in {b"l", b"d"}:
        colon = data.index(b":", at)
        end = colon + 1 + int(data[at:colon])
        return data[colon + 1 : end].decode(), end
    items, at = [], at + 1
    while data[at : at + 1] != b"e":
        item, at = bdecode(data, at)
        items.append(item)
    return items if kind == b"l" else dict(zip(items[::2], items[1::2], strict=True)), at + 1


class Engine:
    """A running rtpengine."""

    def __init__(self, pid: int, port: int, folder: Path) -> None:
        self.pid = pid
        self._folder = folder
        self._calls = self._asked = 0
        self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.settimeout(5.0)
        self._link.connect((HOST, port))

    def call(self, sink: int, *, record: bool) -> list[int]:
        """Set up a call with both parties at `sink`; return the two ports that they send to."""
        self._calls += 1
        call = {"call-id": f"call{self._calls}", "from-tag": "a", "flags": ["trust-address"]}
        said = {"sdp": SDP.format(host=HOST, port=sink), "replace": ["origin"], "ICE": "remove"}
        offer = self._ask({"command": "offer", **call, **said})
        answer = self._ask({"command": "answer", "to-tag": "b", **call, **said})
        if record:
            self._ask({"command": "start recording", "call-id": call["call-id"]})
        return [_port_in(offer), _port_in(answer)]

    def hang_up(self) -> list[float]:
        """End every call; return, for each, the seconds until its recording is complete.

        It is complete when its metadata file exists, which is written last.
        """
        asked: dict[str, float] = {}
        for number in range(1, self._calls + 1):
            asked[f"call{number}"] = time.perf_counter()
            self._ask({"command": "delete", "call-id": f"call{number}", "delete-delay": 0})
        took: dict[str, float] = {}
        until = time.perf_counter() + PATIENCE_S
        while len(took) < len(asked):
            if time.perf_counter() > until:
                raise SystemExit("rtpengine: not every recording was completed")
            for file in (self._folder / "metadata").iterdir():
                name = file.name.removeprefix(_META).partition("-")[0]
                took.setdefault(name, time.perf_counter() - asked[name])
            time.sleep(0.005)
        return list(took.values())

    @property
    def recorded(self) -> int:
        """The size of all recorded packets in bytes."""
        return sum(file.stat().st_size for file in (self._folder / "pcaps").iterdir())

    def _ask(self, command: dict[str, object]) -> dict[str, object]:
        self._asked += 1
        self._link.send(b"galwad%d " % self._asked + bencode(command))
        answer, _ = bdecode(self._link.recv(65536).partition(b" ")[2])
        if not isinstance(answer, dict) or answer.get("result") != "ok":
            raise SystemExit(f"rtpengine: {answer}")
        return answer


def _port_in(answer: dict[str, object]) -> int:
    return int(str(answer["sdp"]).partition("m=audio ")[2].split()[0])


@contextlib.contextmanager
def rtpengine(
    program: str, folder: Path, first: int = FIRST_PORT, last: int = LAST_PORT
) -> Iterator[Engine]:
    """Start rtpengine without its kernel module, on these ports; it records to pcap in `folder`."""
    port = free_port(HOST)
    (folder / "recorded").mkdir()
    command = [
        *(program, "--foreground", "--log-stderr", "--log-level=3", "--config-file=none"),
        *("--table=-1", f"--interface={HOST}", f"--listen-ng={HOST}:{port}", "--num-threads=1"),
        *(f"--port-min={first}", f"--port-max={last}", f"--pidfile={folder / 'pid'}"),
        *(f"--recording-dir={folder / 'recorded'}", "--recording-method=pcap"),
    ]
    ping = answers(HOST, port, b"1 d7:command4:pinge", b"4:pong")
    with daemon(command, folder / "log", ping) as process:
        yield Engine(process.pid, port, folder / "recorded")
