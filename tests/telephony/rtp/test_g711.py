"""G.711, and the ringing tone: its cadence and its samples."""

import struct

import pytest

from telephony.rtp import g711
from telephony.rtp.g711 import CYCLE_PACKETS, RINGING, is_sounding, to_pcma, to_pcmu


def test_the_ringing_tone_has_the_cadence_of_the_united_kingdom():
    sounding = [is_sounding(packet) for packet in range(CYCLE_PACKETS)]
    assert sounding == [True] * 20 + [False] * 10 + [True] * 20 + [False] * 100
    assert is_sounding(CYCLE_PACKETS)


@pytest.mark.parametrize(
    ("sample", "pcmu", "pcma"),
    [
        (0, 0xFF, 0xD5),
        (-1, 0x7F, 0x55),
        (1000, 0xCE, 0xFA),
        (-1000, 0x4E, 0x7A),
        (32_767, 0x80, 0xAA),
    ],
)
def test_samples_are_encoded_as_g711(sample, pcmu, pcma):
    assert (to_pcmu(sample), to_pcma(sample)) == (pcmu, pcma)


def test_each_tone_packet_is_20_ms_and_starts_at_the_level_of_silence():
    for tone, silence in RINGING.values():
        assert (len(tone), len(silence)) == (160, 160)
        assert tone[0] == silence[0]


@pytest.mark.parametrize(("law", "encoder"), [("pcma", to_pcma), ("pcmu", to_pcmu)])
def test_g711_agrees_with_the_formula_and_round_trips(law, encoder):
    encoded = g711.encode(struct.pack("<65536h", *range(-32_768, 32_768)), law)
    assert encoded == bytes(map(encoder, range(-32_768, 32_768)))
    again = encoded.replace(b"\x7f", b"\xff") if law == "pcmu" else encoded
    assert g711.encode(g711.decode(encoded, law), law) == again
