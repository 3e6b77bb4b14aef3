"""G.722 and Opus: passed through unchanged, recorded at 16 kHz, one party on each channel."""

from __future__ import annotations

import av
import numpy as np
import pytest

from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee, Caller
from helpers.peers.sound import find
from helpers.recording.codecs import audio_context

pytestmark = pytest.mark.peer

WIDE = 16_000
FRAME = 320
"""Samples of a packet: 20 ms."""
CODECS = {
    "G722": {"pt": 9, "codec": "G722/8000", "encoder": "g722", "ticks": 160},
    "Opus": {"pt": 111, "codec": "opus/48000/2", "encoder": "libopus", "ticks": 960},
}


def sweep(seconds, low, high):
    """Return a rising tone as int16 at 16 kHz, whose shape a lossy codec keeps."""
    at = np.arange(int(seconds * WIDE)) / WIDE
    phase = 2 * np.pi * (low * at + (high - low) * at**2 / (2 * seconds))
    return (12_000 * np.sin(phase)).astype(np.int16)


def encoded(samples, encoder):
    """Return payloads of 20 ms each, by FFmpeg's encoder."""
    context = audio_context(encoder, "w")
    context.sample_rate, context.format, context.layout = WIDE, "s16", "mono"
    payloads = []
    for start in range(0, len(samples) - FRAME + 1, FRAME):
        frame = av.AudioFrame.from_ndarray(
            samples[None, start : start + FRAME], format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = WIDE, start
        payloads += [bytes(packet) for packet in context.encode(frame)]
    return payloads


@pytest.mark.parametrize("name", CODECS)
def test_wideband_audio_is_passed_through_unchanged_and_recorded_at_16_khz(
    service, talker, ended, name
):
    facts = CODECS[name]
    keys = {"pt": facts["pt"], "codec": facts["codec"]}
    caller, advisor = talker("127.0.0.2"), talker("127.0.0.3")
    callee_sip = ended(
        Callee(
            service.folder,
            "uas_codec",
            "127.0.0.3",
            port=service.pbx_port,
            media=advisor.port,
            **keys,
        )
    )
    caller_sip = ended(
        Caller(service, "01970000200", scenario="uac_codec", media=caller.port, **keys)
    )
    asked, answered = sweep(2, 300, 6_000), sweep(2, 5_000, 400)
    spoken = []
    for who, sip, said in ((caller, caller_sip, asked), (advisor, callee_sip, answered)):
        payloads = encoded(said, facts["encoder"])
        who.say_payloads(payloads, sip.media_target, facts["pt"], facts["ticks"])
        spoken.append(payloads)
    advisor.wait_heard(caller.sent)
    caller.wait_heard(advisor.sent)
    for heard, payloads in ((advisor.heard, spoken[0]), (caller.heard, spoken[1])):
        passed = [payload for _, kind, _, payload in heard if kind == facts["pt"]]
        assert passed[: len(payloads)] == payloads[: len(passed)]
    caller_sip.hang_up()
    callee_sip.wait()
    recording = Recording(service, service.call_id(), rate=WIDE)
    assert find(recording.caller, asked[: -WIDE // 10])[1] > 0.95
    assert find(recording.advisor, answered[: -WIDE // 10])[1] > 0.95
    assert recording.adds_up()
    codecs = [set(track["codecs"]) for track in recording.manifest["tracks"]]
    assert all(any(name.lower() in codec.lower() for codec in track) for track in codecs)
