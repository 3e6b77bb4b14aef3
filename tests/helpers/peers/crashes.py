"""Many calls with media while processes are killed, and a check of their spools afterwards.

Each party's packets carry their own number; a packet that the other side heard was relayed.
So after a crash the test knows for each packet if it must be in the spool or must not.
"""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
import time
from itertools import pairwise
from pathlib import Path

import httpx2

from helpers.peers.waiting import PATIENCE_S
from recording.keys.keyring import load_boot_key
from recording.spool import PacketRecord, read_spool

FRAME_S = 0.02
SAMPLES = 160
NEVER = float("inf")


class Crowd:
    """Sends and receives RTP for every party of every call, from one port for each side."""

    def __init__(self):
        self._sockets = [_bound(host) for host in ("127.0.0.2", "127.0.0.3")]
        self.media = [each.getsockname()[1] for each in self._sockets]
        self.times = []
        """When each tick's packets began to leave (monotonic)."""
        self.gone = []
        """When the last of a tick's packets had left."""
        self._late_s = 0.0
        """How late a tick was at worst since the last look."""
        self.heard = []
        """(when, stream, tick) of what was relayed since the last look."""
        self._targets = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._listen, args=(s,)) for s in self._sockets]

    def begin(self, callers, advisors):
        """Start to send packets to these ports of the switch."""
        for side, ports in ((0, callers), (1, advisors)):
            self._targets += [(side, ("127.0.0.1", port)) for port in ports]
        self._threads.append(threading.Thread(target=self._speak))
        for thread in self._threads:
            thread.start()

    @property
    def streams(self):
        return len(self._targets)

    def end(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)
        for each in self._sockets:
            each.close()

    def _speak(self):
        words = random.Random(1).randbytes(SAMPLES)
        begin = time.monotonic()
        while not self._stopping.is_set():
            tick = len(self.times)
            wait = begin + tick * FRAME_S - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            else:
                self._late_s = max(self._late_s, -wait)
            self.times.append(time.monotonic())
            for stream, (side, target) in enumerate(self._targets):
                head = struct.pack("!BBHII", 0x80, 0, tick & 0xFFFF, tick * SAMPLES, stream + 1)
                self._sockets[side].sendto(head + words, target)
            self.gone.append(time.monotonic())

    def _listen(self, ear):
        ear.settimeout(0.2)
        while not self._stopping.is_set():
            try:
                data = ear.recv(2048)
            except TimeoutError:
                continue
            except OSError:
                return
            named = named_in(data)
            if named is not None:
                self.heard.append((time.monotonic(), *named))

    def late_s(self, until):
        """Return the longest delay of the machine (seconds) since `look_anew`: of a tick, of a
        relayed packet, or a time without any relayed packet.
        """
        heard = sorted((when, when - self.times[tick]) for when, _, tick in list(self.heard))
        silences = (then - one for one, then in pairwise([*(when for when, _ in heard), until]))
        return max([self._late_s, *(late for _, late in heard), *silences])

    def look_anew(self):
        """Clear the received packets and the measured delay of the machine."""
        self.heard.clear()
        self._late_s = 0.0

    def wait_all_heard(self, seconds=PATIENCE_S):
        """Wait until every stream is relayed again after this call."""
        self.heard.clear()
        limit = time.monotonic() + seconds
        while len({stream for _, stream, _ in list(self.heard)}) < self.streams:
            assert time.monotonic() < limit, self.streams
            time.sleep(0.02)


def named_in(data):
    """Stream and tick of one of the crowd's packets; None for others, such as RTCP."""
    if len(data) != 12 + SAMPLES:
        return None
    stamp, source = struct.unpack_from("!II", data, 4)
    return source - 1, stamp // SAMPLES


def _bound(host):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    one.bind((host, 0))
    return one


class Cashier:
    """Pauses and resumes calls at random, and notes when each was certainly or possibly paused."""

    def __init__(self, service, call_ids, seed):
        self._service, self._call_ids = service, call_ids
        self._random = random.Random(seed)
        self.surely: dict[str, list[list[float]]] = {call_id: [] for call_id in call_ids}
        """[from, to] between a pause that was confirmed and the asking for its end."""
        self.perhaps: dict[str, list[list[float]]] = {call_id: [] for call_id in call_ids}
        """[from, to] between the asking for a pause and the confirmation of its end."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def end(self):
        """Stop, and resume all calls."""
        self._stopping.set()
        self._thread.join(30)

    def _work(self):
        with self._service.sign_in("ceri") as client:
            while not self._stopping.wait(0.05):
                call_id = self._random.choice(self._call_ids)
                paused = bool(self.perhaps[call_id]) and self.perhaps[call_id][-1][1] == NEVER
                if not paused:
                    if self._random.random() < 0.2:  # so that a sixth of the calls is paused
                        self._pause(client, call_id)
                else:
                    self._resume(client, call_id)

    def _pause(self, client, call_id):
        self.perhaps[call_id].append([time.monotonic(), NEVER])
        if self._ask(client, "PUT", call_id) == "paused":
            self.surely[call_id].append([time.monotonic(), NEVER])

    def _resume(self, client, call_id):
        if self.surely[call_id] and self.surely[call_id][-1][1] == NEVER:
            self.surely[call_id][-1][1] = time.monotonic()
        if self._ask(client, "DELETE", call_id) == "recording":
            self.perhaps[call_id][-1][1] = time.monotonic()

    @staticmethod
    def _ask(client, method, call_id):
        """Return the recording's state after this request; empty if there was no answer."""
        try:
            reply = client.request(method, f"/api/v1/calls/{call_id}/payment")
        except httpx2.HTTPError:
            return ""
        return reply.json()["state"] if reply.status_code == 200 else ""


def within(moment, intervals, before=0.0, after=0.0):
    return any(begin - before <= moment <= end + after for begin, end in intervals)


class Spools:
    """The content of the calls' spools, read as the finaliser reads them."""

    def __init__(self, service):
        self.folder = service.state / "spool"
        self._runtime = service.runtime
        self._boot_key = load_boot_key(service.runtime / "boot.key")

    def newest(self):
        """Return the last spool of each call."""
        found: dict[str, tuple[int, Path]] = {}
        for path in self.folder.glob("*.spool"):
            call_id, life, _ = path.name.split(".")
            found[call_id] = max(found.get(call_id, (0, path)), (int(life), path))
        return {call_id: path for call_id, (_, path) in found.items()}

    def packets(self, path):
        """Return stream and tick of each packet in a spool, and whether the spool is damaged."""
        with self._read(path) as reader:
            kept = {named_in(r.data) for r in reader if isinstance(r, PacketRecord)}
            return kept - {None}, reader.damaged

    def _read(self, path):
        keys = self._runtime / "spool-keys"
        return read_spool(path, boot_key=self._boot_key, runtime_keys_folder=keys)

    def has_sound(self, call_id):
        """Return whether the last spool of a call holds a packet now."""
        with self._read(self.newest()[call_id]) as reader:
            return any(isinstance(record, PacketRecord) for record in reader)

    def kept(self, call_id):
        """Return how many packets of speech the last spool of a call holds now."""
        return len(self.packets(self.newest()[call_id])[0])


def ports_in(sipp):
    """Return every media port of the switch that a SIPp received in SDP."""
    found = re.findall(r"media (\d+)", (sipp.folder / "log").read_text())
    return [int(port) for port in found]
