"""Known sounds, and a party that sends and receives them by RTP (RFC 3550) in G.711 µ-law.

The speech is that of `galwad simulate`: noise with the rhythm of speech, different for each seed.
"""

from __future__ import annotations

import random
import shutil
import socket
import struct
import subprocess
import threading
import time
import wave

import numpy as np

from galwad.simulate import sound
from galwad.simulate.sound import RATE, from_pcm, to_pcm
from helpers.peers.waiting import PATIENCE_S
from telephony.rtp import g711

FRAME = 160
FRAME_S = 0.02
_SILENCE = b"\xff" * FRAME


def spoken(text, voice="en-gb"):
    """Return this text as espeak-ng speaks it, as int16 at 8 kHz."""
    for program in ("espeak-ng", "sox"):
        assert shutil.which(program), f"{program} is missing: apt-get install {program}"
    speaking = ["espeak-ng", "-v", voice, "-s", "150", "--stdout", text]
    sound = subprocess.run(speaking, capture_output=True, check=True, timeout=PATIENCE_S).stdout
    raw = ["-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", str(RATE), "-"]
    convert = ["sox", "-D", "-t", "wav", "--ignore-length", "-", *raw]
    data = subprocess.run(
        convert, input=sound, capture_output=True, check=True, timeout=PATIENCE_S
    ).stdout
    samples = np.frombuffer(data, np.int16)
    return samples[: len(samples) // FRAME * FRAME]


def ulaw(samples):
    """Encode int16 samples (ITU-T G.711)."""
    return g711.encode(to_pcm(samples), "pcmu")


def from_ulaw(data):
    """Decode µ-law octets to int16 samples."""
    return from_pcm(g711.decode(data, "pcmu"))


def save(path, samples):
    """Write a mono WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


_NTP_S = 3_900_000_000
"""The time of a talker's clock in seconds since 1900, when the monotonic clock is at 0."""
SURE = 0.95
PIECE, SLACK = 2000, 160
"""Samples: what is compared by itself, and how far it may lie from where it belongs."""


def find(heard, said):
    """Return where `said` begins in `heard` (samples), and their correlation there (0 to 1).

    If it is not sure, pieces of `said` may lie apart, as after corrections of the clock.
    """
    start, alike = sound.find(heard, said)
    return start, alike if alike > SURE else max(alike, _alike_in_pieces(heard, said, start))


def _alike_in_pieces(heard, said, start):
    """Return the correlation despite clock corrections of half a millisecond at a time."""
    said = said.astype(np.float64)
    heard = np.concatenate([heard.astype(np.float64), np.zeros(len(said) + SLACK)])
    alike, energy = 0.0, float(said @ said)
    for at in range(0, len(said), PIECE):
        piece = said[at : at + PIECE]
        places = range(max(start + at - SLACK, 0), start + at + SLACK + 1)
        best = max(
            sound.correlation(heard[place : place + PIECE][: len(piece)], piece) for place in places
        )
        alike += best * float(piece @ piece) / energy
    return alike


class Talker:
    """One party's RTP socket: sends sound in real time, and keeps the packets that it receives."""

    def __init__(self, host="127.0.0.1"):
        self.host = host
        self.heard = []
        """(arrival on the monotonic clock, payload type, sequence number, payload)."""
        self.sent = 0
        self._socket = _even_port(host)
        self.port = self._socket.getsockname()[1]
        self.ssrc = random.getrandbits(32)
        self._sequence = random.getrandbits(15)
        self._timestamp = random.getrandbits(31)
        self._fell_silent = 0.0
        self.holds_its_clock = False
        """Its timestamps stand still while it says nothing, as some gateways' do."""
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def close(self):
        self._closed.set()
        self._socket.close()
        self._ear.join(2)

    def _listen(self):
        self._socket.settimeout(0.1)
        while not self._closed.is_set():
            try:
                data = self._socket.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                return
            data = self.opened(data)
            with self._changed:
                sequence = struct.unpack_from("!H", data, 2)[0]
                self.heard.append((time.monotonic(), data[1] & 0x7F, sequence, data[12:]))
                self._changed.notify_all()

    def opened(self, data):
        """Return the content of a packet; a talker with SRTP overrides this."""
        return data

    def wait_heard(self, count, seconds=PATIENCE_S):
        """Wait until this number of packets has arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.heard) >= count, seconds), (
                f"{len(self.heard)} of {count} packets"
            )

    def audio(self, payload_type=0):
        """Return all received sound in order of arrival."""
        return from_ulaw(b"".join(p for _, kind, _, p in self.heard if kind == payload_type))

    def packet(self, payload, payload_type=0, marker=0, timestamp=None):
        header = struct.pack(
            "!BBHII",
            0x80,
            marker << 7 | payload_type,
            self._sequence & 0xFFFF,
            (self._timestamp if timestamp is None else timestamp) & 0xFFFFFFFF,
            self.ssrc,
        )
        self._sequence += 1
        self.sent += 1
        return self.sealed(header + payload)

    def sealed(self, data):
        """Return a packet as it is sent; a talker with SRTP overrides this."""
        return data

    def say(self, samples, to, before_frame=None, late_s=0.0):
        """Send sound in real time, and return when (monotonic) the first packet left.

        With `late_s`, each packet leaves so many seconds late, as if the network delayed it.
        The timestamps continue in the silence after earlier words, as a phone's do, unless
        it `holds_its_clock`. If the machine sent the last words late, silence follows until it
        is on time again: otherwise nothing shows when they were sent.
        """
        data = ulaw(samples)
        start = self._end_silence()
        for index in range(len(samples) // FRAME):
            _until(start + late_s + index * FRAME_S)
            if before_frame is not None:
                before_frame(index)
            self._send(data[index * FRAME : (index + 1) * FRAME], to)
        index = len(samples) // FRAME
        while time.monotonic() > start + late_s + index * FRAME_S:
            self._send(_SILENCE, to)
            index += 1
        self._fell_silent = start + index * FRAME_S
        return start + late_s

    def _end_silence(self):
        """Return when the next packet is due, and advance the timestamps by the silence before it.

        The packet is not due before the end of the packet that was sent last.
        """
        start = max(time.monotonic(), self._fell_silent)
        if self._fell_silent and not self.holds_its_clock:
            self._timestamp += round((start - self._fell_silent) * RATE)
        return start

    def _send(self, frame, to, payload_type=0, ticks=FRAME):
        self._socket.sendto(self.packet(frame, payload_type), to)
        self._timestamp += ticks

    def say_payloads(self, payloads, to, payload_type, ticks, frame_s=FRAME_S):
        """Send payloads in real time, and return when (monotonic) the first left.

        `ticks` is the timestamp step of each. If the machine sent the last ones late, the first
        are sent again until it is on time, for the same reason as in `say`.
        """
        start, index = time.monotonic(), 0
        while index < len(payloads) or time.monotonic() > start + index * frame_s:
            _until(start + index * frame_s)
            self._send(payloads[index % len(payloads)], to, payload_type, ticks)
            index += 1
        return start

    def dial(self, digits, to, payload_type=101):
        """Press keys in real time: RFC 4733 events of 100 ms, each ended three times."""
        start = self._end_silence()
        for digit in digits:
            event, begun = "0123456789*#".index(digit), self._timestamp
            for index in range(8):
                _until(start + index * FRAME_S)
                end = 0x80 if index >= 5 else 0
                duration = min(index + 1, 5) * FRAME
                body = struct.pack("!BBH", event, end | 10, duration)
                data = self.packet(body, payload_type, int(index == 0), begun)
                self._socket.sendto(data, to)
            self._timestamp += 8 * FRAME
            start += 8 * FRAME_S
        _until(start)
        self._fell_silent = start

    def begin_stream(self):
        """Use a new SSRC, and timestamps that continue nothing."""
        self.ssrc, self._timestamp = random.getrandbits(32), random.getrandbits(31)
        self._fell_silent = 0.0

    def report(self, to):
        """Send an RTCP sender report to the port after the one for RTP (RFC 3550 section 6.4.1)."""
        now = time.monotonic()
        timestamp = self._timestamp + round((now - self._fell_silent) * RATE)
        ntp = int((now + _NTP_S) * (1 << 32))
        counts = self.sent, self.sent * FRAME
        fields = self.ssrc, ntp, timestamp & 0xFFFFFFFF, *counts
        report = struct.pack("!BBHIQIII", 0x80, 200, 6, *fields)
        self._socket.sendto(self.sealed(report), (to[0], to[1] + 1))

    def throw(self, data, to):
        """Send octets that are no RTP."""
        self._socket.sendto(data, to)


class Chorus:
    """Several talkers that speak at the same time, each in its own thread."""

    def __init__(self):
        self._threads = []
        self.started = {}

    def say(self, name, talker, samples, to):
        def speak():
            self.started[name] = talker.say(samples, to)

        thread = threading.Thread(target=speak, daemon=True)
        self._threads.append(thread)
        thread.start()
        return self

    def wait(self):
        for thread in self._threads:
            thread.join(60)


def _until(moment):
    wait = moment - time.monotonic()
    if wait > 0:
        time.sleep(wait)


def _even_port(host):
    while True:
        candidate = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        candidate.bind((host, 0))
        if candidate.getsockname()[1] % 2 == 0:
            return candidate
        candidate.close()
