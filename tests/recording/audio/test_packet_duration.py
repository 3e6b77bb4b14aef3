"""The duration of a packet, compared with the samples that it decodes to."""

import pytest

from helpers.recording.reference import KINDS, Ear, payloads
from recording.audio.codecs import duration_us, opus_us


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_duration_of_a_packet_is_that_of_its_decoded_samples(kind):
    ear = Ear(kind)
    for payload in payloads(kind)[:50]:
        told = kind.codec.duration_us(payload)
        assert told == kind.ms * 1000
        assert len(ear.hear(payload)) * 1_000_000 == told * ear.rate


@pytest.mark.parametrize(
    ("payload", "us"),
    [
        (b"\x08", 20_000),  # SILK, one frame of 20 ms, as in a silence (DTX)
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
def test_the_duration_of_an_opus_packet_is_read_from_its_first_two_bytes(payload, us):
    assert opus_us(payload) == us


@pytest.mark.parametrize("name", ["PCMA", "G722", "opus", "L16", "G729", "GSM", "EVS", ""])
@pytest.mark.parametrize("size", [0, 1, 2, 500])
def test_the_duration_of_any_payload_is_at_most_one_second(name, size):
    for clock in (0, 1, 8000):
        assert 0 <= duration_us(name, clock, 0, bytes(size)) <= 1_000_000


def test_a_g729_silence_description_lasts_as_long_as_a_frame():
    assert duration_us("G729", 8000, 1, bytes(12)) == 20_000
