"""A codec at the rate of the track: joined to the packet before, or started again."""

import weakref

import numpy as np
import pytest

from helpers.recording.codecs import stream_decoder_of
from recording.audio.codecs import PayloadCodec
from recording.audio.stream_decoder import StreamDecoder, StreamDecoders

LINEAR = PayloadCodec("L16", 44_100)
LOUD = np.full(441, 12_000, dtype=">i2").tobytes()


def test_a_packet_that_follows_without_a_break_continues_the_resampling_filter():
    voice = stream_decoder_of(LINEAR, 16_000)
    voice.samples(LOUD, follows=False)
    joined = voice.samples(LOUD, follows=True)
    assert np.abs(joined - 12_000).max() < 100


def test_a_packet_after_a_break_contains_no_sound_from_before_it():
    voice = stream_decoder_of(LINEAR, 16_000)
    voice.samples(LOUD, follows=False)
    assert voice.samples(bytes(882), follows=True).any()
    voice.samples(LOUD, follows=True)
    assert not voice.samples(bytes(882), follows=False).any()


@pytest.mark.parametrize("stretch", [-8, 0, 8])
@pytest.mark.parametrize("codec", [LINEAR, PayloadCodec("L16", 16_000)], ids=str)
def test_a_stretch_changes_the_number_of_samples_and_keeps_the_sound(codec, stretch):
    voice = stream_decoder_of(codec, 16_000)
    ramp = np.linspace(-8000, 8000, codec.clock // 50).astype(">i2").tobytes()
    plain = stream_decoder_of(codec, 16_000).samples(ramp, follows=False)
    made = voice.samples(ramp, follows=False, stretch=stretch)
    assert len(made) == len(plain) + stretch
    middle = slice(len(made) // 3, 2 * len(made) // 3)
    assert (
        np.abs(
            made[middle]
            - np.interp(
                np.arange(len(made)) * len(plain) / len(made), np.arange(len(plain)), plain
            )[middle]
        ).max()
        < 2
    )


def test_a_decoder_is_stateless_only_for_a_stateless_codec_at_a_simple_ratio():
    pcma, g722 = PayloadCodec("PCMA", 8000), PayloadCodec("G722", 8000)
    for rate, scale in ((8000, 1), (16_000, 2)):
        decoder = stream_decoder_of(pcma, rate)
        assert (decoder.stateless, decoder.scale) == (True, scale)
    assert not stream_decoder_of(g722, 16_000).stateless
    assert not stream_decoder_of(LINEAR, 16_000).stateless
    assert StreamDecoder.of(PayloadCodec("EVS", 16_000), 16_000) is None


def test_a_peer_that_keeps_changing_codecs_uses_bounded_memory():
    voices = StreamDecoders(8000)
    codecs = [PayloadCodec("PCMA", 8000, 1, f"mode={n}") for n in range(100)]
    made = [weakref.ref(voices.of(codec)) for codec in codecs]
    assert sum(voice() is not None for voice in made) < 20
    assert voices.of(codecs[-1]) is made[-1]()
    assert voices.of(PayloadCodec("EVS", 16_000)) is None
