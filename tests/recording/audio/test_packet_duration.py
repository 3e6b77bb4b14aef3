"""The duration of a packet, compared with the samples that it decodes to."""

import pytest

from helpers.recording.reference import KINDS, Ear, payloads
from recording.audio.packet_duration import duration_us, opus_us


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_packet_lasts_as_long_as_what_it_decodes_to(kind):
    ear = Ear(kind)
    for payload in payloads(kind)[:50]:
        told = kind.codec.duration_us(payload)
        assert told == kind.ms * 1000
        assert len(ear.hear(payload)) * 1_000_000 == told * ear.rate


@pytest.mark.parametrize(
    ("payload", "us"),
    [
        (b"\x08", 20_000),  # SILK, one frame of 20 ms: what is sent in a silence (DTX)
        (b"\x19", 120_000),  # SILK, two frames of 60 ms
        (b"\x60", 10_000),  # hybrid
        (b"\x80", 2_500),  # CELT
        (b"\x83\x03", 7_500),  # CELT, three frames
        (b"\xfb\x06", 120_000),  # six frames of 20 ms
        (b"\xfb\x3f", 120_000),  # more than a packet may hold
        (b"\xfb", 20_000),  # its second byte is missing
        (b"\x83\x00", 2_500),
    ],
)
def test_an_opus_packet_says_in_two_bytes_how_long_it_is(payload, us):
    assert opus_us(payload) == us


@pytest.mark.parametrize("name", ["PCMA", "G722", "opus", "L16", "G729", "GSM", "EVS", ""])
@pytest.mark.parametrize("size", [0, 1, 2, 500])
def test_whatever_it_is_it_has_some_length(name, size):
    for clock in (0, 1, 8000):
        assert 0 <= duration_us(name, clock, 0, bytes(size)) <= 1_000_000


def test_a_silence_description_counts_as_a_frame_of_g729():
    assert duration_us("G729", 8000, 1, bytes(12)) == 20_000
