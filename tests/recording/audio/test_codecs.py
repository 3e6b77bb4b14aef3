"""Decoders, compared with the encoders of other projects."""

import subprocess

import av
import numpy as np
import pytest

from helpers.recording.codecs import audio_context, decoder_of
from recording.audio.codecs import STATIC, PayloadCodec, decoder_for
from telephony.sdp.codecs import STATIC_PAYLOADS


def tone(rate: int, seconds: float = 2.0, hertz: float = 440.0) -> np.ndarray:
    at = np.arange(int(rate * seconds)) / rate
    return (12_000 * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


def encoded(
    encoder: str, samples: np.ndarray, rate: int, frame: int, **options: str
) -> list[bytes]:
    context = audio_context(encoder, "w")
    context.sample_rate, context.layout, context.format = rate, "mono", "s16"
    context.options = options
    packets = []
    for at in range(0, len(samples) - frame + 1, frame):
        block = av.AudioFrame.from_ndarray(
            samples[None, at : at + frame], format="s16", layout="mono"
        )
        block.sample_rate, block.pts = rate, at
        packets += [bytes(packet) for packet in context.encode(block)]
    return packets


def loudest_hertz(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.peer
@pytest.mark.parametrize(("name", "sox"), [("PCMU", "u-law"), ("PCMA", "a-law")])
def test_g711_decodes_every_code_as_sox_does(name, sox):
    codes = bytes(range(256))
    command = ["sox", "-t", "raw", "-r", "8000", "-c", "1", "-e", sox, "-b", "8", "-"]
    command += ["-t", "raw", "-e", "signed", "-b", "16", "-L", "-"]
    made = subprocess.run(command, input=codes, capture_output=True, check=True).stdout
    ours = decoder_of(PayloadCodec(name, 8000)).decode(codes)
    assert np.array_equal(ours, np.frombuffer(made, dtype="<i2"))


def test_g722_decodes_to_16_khz():
    decoder = decoder_of(STATIC[9])
    packets = encoded("g722", tone(16_000), 16_000, 320)
    samples = np.concatenate([decoder.decode(packet) for packet in packets])
    assert decoder.rate == 16_000
    assert len(samples) == 320 * len(packets)
    assert loudest_hertz(samples, 16_000) == pytest.approx(440, abs=2)


def test_opus_decodes_to_48_khz():
    decoder = decoder_of(PayloadCodec("opus", 48_000, 2))
    packets = encoded("libopus", tone(48_000), 48_000, 960)
    pieces = [decoder.decode(packet) for packet in packets]
    assert decoder.rate == 48_000
    assert {len(piece) for piece in pieces} == {960}
    assert loudest_hertz(np.concatenate(pieces), 48_000) == pytest.approx(440, abs=2)
    assert np.abs(np.concatenate(pieces)).max() > 8000


def words_and_silences(rate: int, seed: int) -> np.ndarray:
    """Return noise in the band of speech, with two silences of some seconds."""
    count = 8 * rate
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / rate)
    spectrum[(hertz < 300) | (hertz > 3200)] = 0
    said = np.fft.irfft(spectrum, count)
    said[2 * rate : 4 * rate] = said[5 * rate : 6 * rate] = 0
    return (said / np.abs(said).max() * 20_000).astype(np.int16)


def idle(said, size):
    """Return for each packet whether it and the ten before it, which are still sent, are silent."""
    ends = range(size, len(said) + 1, size)
    return [end > 11 * size and not said[end - 11 * size : end].any() for end in ends]


def unsaid(packet):
    """Return a packet as long, whose frames have no octets (RFC 6716 sections 3.2.3 to 3.2.5)."""
    if packet[0] & 3 == 3:
        return bytes([packet[0], packet[1] & 0x3F])
    return bytes([packet[0] & ~3 | (packet[0] & 3 > 0)])


@pytest.mark.parametrize("ms", [20, 40, 60])
@pytest.mark.parametrize("bits", ["16000", "24000"])
def test_opus_speech_after_a_dtx_silence_keeps_its_level(ms, bits):
    """In a silence (DTX) a packet is one or two bytes; the next speech must keep its level."""
    said, size = words_and_silences(48_000, ms), 48 * ms
    told = {"application": "voip", "b": bits, "dtx": "1", "frame_duration": str(ms)}
    packets = encoded("libopus", said, 48_000, size, **told)
    if all(len(packet) > 2 for packet in packets):  # an encoder of FFmpeg's without DTX
        pairs = zip(packets, idle(said, size), strict=True)
        packets = [unsaid(packet) if at_rest else packet for packet, at_rest in pairs]
    assert sum(len(packet) <= 2 for packet in packets) * ms > 1000
    decoder = decoder_of(PayloadCodec("opus", 48_000, 2))
    heard = np.concatenate([decoder.decode(packet) for packet in packets])
    assert len(heard) == size * len(packets)
    loudest = np.abs(said).max()
    assert 0.5 * loudest < np.abs(heard).max() < 1.5 * loudest


def test_g729_decodes_ten_bytes_to_ten_milliseconds():
    decoder = decoder_of(STATIC[18])
    assert len(decoder.decode(bytes(20))) == 160
    assert len(decoder.decode(bytes(3))) == 0


@pytest.mark.parametrize(("name", "encoder"), [("PCMU", "pcm_mulaw"), ("PCMA", "pcm_alaw")])
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_g711_of_two_channels_is_mixed_to_one_at_any_rate(name, encoder, rate):
    codes = b"".join(encoded(encoder, tone(rate), rate, rate // 50))
    alone = decoder_of(PayloadCodec(name, rate)).decode(codes)
    decoder = decoder_of(PayloadCodec(name, rate, 2))
    other = bytes([0x55 ^ 0x80 if name == "PCMA" else 0x7F]) * len(codes)  # all but silence
    together = decoder.decode(b"".join(bytes(pair) for pair in zip(codes, other, strict=True)))
    assert decoder.rate == rate
    assert len(together) == len(alone) == len(codes)
    assert np.abs(together - alone / 2).max() <= 5


def test_static_payload_types_are_the_same_in_recording_and_signalling():
    told = {n: (c.name, c.clock, c.channels) for n, c in STATIC_PAYLOADS.items()}
    assert told == {n: (c.name, c.clock, c.channels) for n, c in STATIC.items()}


def test_l16_is_big_endian_and_mixed_to_one_channel():
    stereo = np.array([[100, 300], [-200, -400]], dtype=">i2").tobytes()
    assert decoder_of(PayloadCodec("L16", 8000, 2)).decode(stereo).tolist() == [200, -300]
    wide = decoder_of(PayloadCodec("L16", 44_100))
    assert wide.rate == 44_100
    assert len(wide.decode(bytes(2 * 441 + 1))) == 441


@pytest.mark.parametrize("clock", [0, 50, 4000, 8001, 191_999, 200_000, 2**31])
def test_l16_at_an_unsupported_rate_has_no_decoder(clock):
    assert decoder_for(PayloadCodec("L16", clock)) is None


def test_an_unknown_codec_has_no_decoder():
    assert decoder_for(PayloadCodec("EVS", 16_000)) is None


@pytest.mark.parametrize("codec", [*STATIC.values(), PayloadCodec("opus", 48_000, 2)], ids=str)
def test_decoding_random_bytes_raises_no_error(codec):
    decoder = decoder_for(codec)
    if decoder is not None:
        for size in (0, 1, 7, 33, 500):
            assert decoder.decode(np.random.default_rng(size).bytes(size)).dtype == np.int16
