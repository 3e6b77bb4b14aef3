"""DTMF tones made by sox, and what is left of them after a codec and a network."""

from __future__ import annotations

import struct
import subprocess
from functools import lru_cache

import av
import numpy as np

from helpers.recording.codecs import audio_context
from helpers.recording.timeline import played
from recording.audio.codecs import PayloadCodec
from recording.audio.dtmf import DtmfDetector
from recording.audio.timeline import Timeline

KEYS = "0123456789*#ABCD"
CARDS = (
    "4111111111111111",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "3530111333300000",
    "30569309025904",
    "2223003122003222",
    "4222222222222",
)
"""Numbers that card issuers and payment providers publish for tests."""
NOT_A_CARD = "4111111111111112"
"""A number of 16 digits whose check digit is wrong, and of which no part is right either."""
CODECS = {
    "PCMU": PayloadCodec("PCMU", 8000),
    "PCMA": PayloadCodec("PCMA", 8000),
    "G722": PayloadCodec("G722", 8000),
    "opus": PayloadCodec("opus", 48_000, 2),
}
_NUMBERS = {"PCMU": 0, "PCMA": 8, "G722": 9, "opus": 96}
_RATES = {"PCMU": 8000, "PCMA": 8000, "G722": 16_000, "opus": 48_000}


def sox(*arguments, stdin=b"") -> bytes:
    return subprocess.run(["sox", *arguments], input=stdin, capture_output=True, check=True).stdout


def raw(rate: int) -> list[str]:
    return ["-t", "raw", "-r", str(rate), "-e", "signed", "-b", "16", "-c", "1"]


@lru_cache(maxsize=4096)
def tone(key, ms, pause_ms, *, rate=8000, deviation=0.0, twist_db=0.0, level_db=-16.0):
    """Return one key's tone and the pause after it, as int16.

    `twist_db` is the level of the high tone against the low one; `level_db` is that of the louder
    tone against full scale; `deviation` is a fraction by which both frequencies are wrong.
    """
    row, column = divmod("123A456B789C*0#D".index(key), 4)
    low = (697, 770, 852, 941)[row] * (1 + deviation)
    high = (1209, 1336, 1477, 1633)[column] * (1 + deviation)
    louder = 10 ** (level_db / 20)
    quieter = louder * 10 ** (-abs(twist_db) / 20)
    volumes = (louder, quieter) if twist_db < 0 else (quieter, louder)
    data = sox(
        *("-D", "-r", str(rate), "-n", "-c", "2", *raw(rate)[:-2], "-c", "1", "-", "synth"),
        *(str(ms / 1000), "sine", str(low), "sine", str(high)),
        *("remix", f"1v{volumes[0]},2v{volumes[1]}", "pad", "0", str(pause_ms / 1000)),
    )
    return np.frombuffer(data, np.int16)


def keyed(keys, ms=100, pause_ms=100, **how):
    """Return the tones of several keys."""
    return np.concatenate([tone(key, ms, pause_ms, **how) for key in keys])


def silence(seconds, rate=8000):
    return np.zeros(round(seconds * rate), dtype=np.int16)


def presses(samples, rate=8000, block=None):
    """Return the key presses that the detector finds, with the samples given in blocks."""
    detector, found = DtmfDetector(rate), []
    block = block or rate
    for at in range(0, len(samples), block):
        found += detector.feed(samples[at : at + block])
    return found + detector.finish()


def heard(samples, rate=8000) -> str:
    """Return the keys of which the detector is sure."""
    found = presses(samples, rate)
    return "".join(KEYS[each.key] for each in found if not (each.continued or each.unsure))


def level(samples):
    """Return the root mean square of a sound; silence does not count."""
    loud = samples[samples != 0].astype(np.float64)
    return float(np.sqrt(np.mean(loud**2)))


def noise_below(samples, db, seed=1):
    """Return a sound with white noise that is so many dB weaker."""
    noise = np.random.default_rng(seed).normal(0, level(samples) / 10 ** (db / 20), len(samples))
    return (samples + noise).astype(np.int16)


def encoded(name: str, samples) -> list[bytes]:
    """Return the RTP payloads of 20 ms each; `samples` have the rate `_RATES[name]`."""
    rate = _RATES[name]
    if rate == 8000:
        law = "u-law" if name == "PCMU" else "a-law"
        out = ["-t", "raw", "-e", law, "-b", "8", "-"]
        data = sox("-D", *raw(rate), "-", *out, stdin=samples.tobytes())
        return [data[at : at + 160] for at in range(0, len(data) - 159, 160)]
    encoder = audio_context("g722" if name == "G722" else "libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, "mono", "s16"
    if name == "opus":
        encoder.bit_rate, encoder.options = 24_000, {"application": "voip"}
    payloads = []
    for at in range(0, len(samples) - rate // 50 + 1, rate // 50):
        block = samples[None, at : at + rate // 50]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, at
        payloads += [bytes(packet) for packet in encoder.encode(frame)]
    return payloads


def rate_of(name: str) -> int:
    """Return the sampling rate that a codec's encoder takes."""
    return _RATES[name]


def packets(name: str, samples, *, track=0, lost=0.0, seed=1):
    """Return the (arrival in µs, track, datagram) of a party that sends `samples` in this codec."""
    dice = np.random.default_rng(seed)
    step = 960 if name == "opus" else 160
    sent = []
    for index, payload in enumerate(encoded(name, samples)):
        head = (0x80, _NUMBERS[name], index & 0xFFFF, index * step, track + 1)
        if dice.random() >= lost:
            sent.append((index * 20_000, track, struct.pack("!BBHII", *head) + payload))
    return sent


def received(name: str, samples, *, lost=0.0, seed=1):
    """Return what a timeline has of `samples` after the codec, and its rate. `lost` is a share."""
    rate = 8000 if _RATES[name] == 8000 else 16_000
    timeline = Timeline(rate)
    timeline.set_payload_types(0, {96: CODECS["opus"]})
    length_us = len(samples) * 1_000_000 // _RATES[name] // 20_000 * 20_000
    whole = played(packets(name, samples, lost=lost, seed=seed), length_us, timeline)
    return whole[:, 0].copy(), rate
