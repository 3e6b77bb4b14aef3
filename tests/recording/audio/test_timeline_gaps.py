"""A stream after a gap continues where it arrives, whatever its timestamps did meanwhile.

Covers `recording/audio/stream_clock.py`.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.codecs import decoder_of
from helpers.recording.timeline import rtp, speech
from recording.audio.codecs import PayloadCodec
from recording.audio.timeline import Timeline

US = 1_000_000
FRAME = 160
FRAME_US = 20_000
SOME = settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
DECODERS = {
    0: decoder_of(PayloadCodec("PCMU", 8000)),
    8: decoder_of(PayloadCodec("PCMA", 8000)),
}


@dataclass
class Spurt:
    """Speech of one party, and the silence of its stream before it."""

    frames: int
    silence: int
    """Frames of silence before the speech."""
    gap: bool
    """True if the silence was a gap, in which nothing was recorded."""
    clock: int
    """Frames by which the timestamps continued in the silence."""
    numbers: int = 0
    """Sequence numbers that are skipped."""
    ssrc: int = 1
    kind: int = 8


class Sender:
    """A sender of spurts that keeps the time of each as the reference."""

    def __init__(self, track, seed, jitter_ms=0):
        self.track = track
        self.dice = random.Random(seed)
        self.jitter_us = jitter_ms * 1000
        self.packets = []
        self.words = []
        """(sent at, samples)."""
        self.gaps = []
        self.at_us = 0
        self._sequences = defaultdict(lambda: self.dice.randrange(1 << 16))
        self._timestamp = self.dice.randrange(1 << 32)

    def speak(self, spurt):
        start = self.at_us
        self.at_us += spurt.silence * FRAME_US
        if spurt.gap:
            # a pause outlasts what was on its way when it began
            self.gaps.append((start + self.jitter_us, self.at_us))
        self._timestamp += spurt.clock * FRAME
        sequence = self._sequences[spurt.ssrc] + spurt.numbers
        voice = speech(spurt.frames // 50 + 1, self.dice.randrange(1 << 30))[: spurt.frames * FRAME]
        self.words.append((self.at_us, DECODERS[spurt.kind].decode(voice)))
        for index in range(spurt.frames):
            payload = voice[index * FRAME : (index + 1) * FRAME]
            data = rtp(sequence, self._timestamp, payload, kind=spurt.kind, ssrc=spurt.ssrc)
            late = self.dice.randint(0, self.jitter_us)
            self.packets.append((self.at_us + late, self.track, data))
            sequence += 1
            self._timestamp += FRAME
            self.at_us += FRAME_US
        self._sequences[spurt.ssrc] = sequence


def record(senders, length_us):
    """Record packets and gaps in order of time, as the finaliser does."""
    timeline = Timeline(8000)
    told = 0
    blocks: list = []
    gaps = {edge for sender in senders for edge in sender.gaps}
    steps: list[tuple[int, int, Callable[[], None]]] = []
    steps += [(begin, 0, partial(timeline.begin_gap, begin)) for begin, _ in gaps]
    steps += [(end, 1, partial(timeline.end_gap, end)) for _, end in gaps]
    for sender in senders:
        for at, track, data in sender.packets:
            steps.append((at, 2, partial(timeline.packet, track, at, data)))
    for at, _, step in sorted(steps, key=lambda each: each[:2]):
        step()
        if at > told + 500_000:
            told = at
            timeline.advance(at)
            blocks += timeline.blocks()
    timeline.finish(length_us)
    samples = np.concatenate([*blocks, *timeline.blocks()])
    assert len(samples) == length_us * 8000 // US
    return timeline, samples


def after(jitter_ms, words, at_us):
    """Return the first words, without those spoken before the gap's end by the sender's clock.

    An anchor may be wrong by one packet; after a second, drift may be corrected by half a
    millisecond.
    """
    cut_ms = jitter_ms + 20
    return words[cut_ms * 8 : 40 * FRAME], at_us + cut_ms * 1000


def where(samples, words, around_us, within_ms=400):
    """Return by how many ms the words are later than sent; fail if they are not there whole."""
    margin = within_ms * 8
    start = around_us * 8000 // US
    pad = np.concatenate([np.zeros(margin, np.int16), samples, np.zeros(margin, np.int16)])
    window = pad[start : start + len(words) + 2 * margin]
    for at in np.flatnonzero(window[: 2 * margin + 1] == words[0]):
        if np.array_equal(window[at : at + len(words)], words):
            return (at - margin) / 8
    raise AssertionError("the words are not there, or not whole")


spurts_around_gaps = st.lists(
    st.builds(
        Spurt,
        frames=st.integers(30, 120),
        silence=st.integers(5, 400),
        gap=st.just(value=True),
        clock=st.integers(0, 400) | st.integers(-5000, 1 << 24),
        numbers=st.integers(0, 400) | st.integers(-90, 0) | st.integers(0, 1 << 15),
        ssrc=st.sampled_from([1, 1, 1, 2]),
        kind=st.sampled_from([8, 8, 0]),
    ),
    min_size=1,
    max_size=4,
)


@given(spurts=spurts_around_gaps, seed=st.integers(0, 9999), jitter_ms=st.integers(0, 60))
@SOME
def test_speech_after_a_gap_is_placed_by_its_arrival_within_jitter_and_one_packet(
    spurts, seed, jitter_ms
):
    sender = Sender(0, seed, jitter_ms)
    sender.speak(Spurt(100, 0, gap=False, clock=0))
    for spurt in spurts:
        sender.speak(spurt)
    timeline, samples = record([sender], sender.at_us + US)
    for at_us, words in sender.words[1:]:
        assert -20.2 <= where(samples[:, 0], *after(jitter_ms, words, at_us)) <= jitter_ms + 20.2
    for begin, end in sender.gaps:
        assert not samples[begin * 8 // 1000 + 8 : end * 8 // 1000, 0].any()
    assert timeline.counts[0].lost == 0


@given(
    silence=st.integers(5, 1500),
    still=st.lists(st.floats(0, 1), min_size=2, max_size=2),
    seed=st.integers(0, 9999),
    jitter_ms=st.integers(0, 15),
)
@SOME
def test_both_channels_stay_in_step_after_a_gap(silence, still, seed, jitter_ms):
    """In a payment pause, one phone's timestamps continue, and another's stop or run slowly."""
    senders = [Sender(track, seed + track, jitter_ms) for track in (0, 1)]
    for sender, part in zip(senders, still, strict=True):
        sender.speak(Spurt(150, 0, gap=False, clock=0))
        sender.speak(Spurt(150, silence, gap=True, clock=round(silence * (1 - part))))
    _, samples = record(senders, senders[0].at_us + US)
    offsets = [
        where(samples[:, sender.track], *after(jitter_ms, words, at_us))
        for sender in senders
        for at_us, words in sender.words[1:]
    ]
    assert max(offsets) - min(offsets) <= 20 + jitter_ms
    assert all(offset >= -20.2 for offset in offsets)


@given(
    spurts=st.lists(
        st.builds(
            Spurt,
            frames=st.integers(60, 150),
            silence=st.integers(30, 300),
            gap=st.just(value=False),
            clock=st.just(None) | st.just(0) | st.integers(0, 1 << 24),
            ssrc=st.integers(1, 3),
            kind=st.sampled_from([0, 8]),
        ),
        min_size=1,
        max_size=4,
    ),
    seed=st.integers(0, 9999),
)
@SOME
def test_a_silence_outside_a_gap_keeps_its_length(spurts, seed):
    """Silence suppression, a hold, another SSRC, another codec, a clock that jumps."""
    sender = Sender(0, seed)
    sender.speak(Spurt(100, 0, gap=False, clock=0))
    for spurt in spurts:
        spurt.clock = spurt.silence if spurt.clock is None else spurt.clock
        if abs(spurt.clock - spurt.silence) <= 3:
            spurt.clock = spurt.silence  # 60 ms and less may be jitter of the network
        sender.speak(spurt)
    timeline, samples = record([sender], sender.at_us)
    expected = np.zeros(len(samples), np.int16)
    for at_us, words in sender.words:
        expected[at_us * 8 // 1000 :][: len(words)] = words
    assert np.array_equal(samples[:, 0], expected)
    assert timeline.counts[0].lost == 0


def test_speech_across_a_gap_is_cut_exactly_at_its_edges():
    """The timestamps continue, as most do: neither anchor moves by a sample."""
    sender = Sender(0, 7)
    sender.speak(Spurt(100, 0, gap=False, clock=0))
    sender.speak(Spurt(100, 333, gap=True, clock=333))
    _, samples = record([sender], sender.at_us)
    (first, before), (second, after) = sender.words
    assert first == 0
    assert np.array_equal(samples[:16_000, 0], before)
    assert np.array_equal(samples[second * 8 // 1000 :, 0], after)


def test_a_network_that_stalls_and_catches_up_does_not_move_the_audio():
    """Nothing arrives for 1.8 seconds, then all packets arrive at once."""
    sender = Sender(0, 3)
    sender.speak(Spurt(400, 0, gap=False, clock=0))
    sender.packets = [
        (max(at, 3_800_000) if at >= 2_000_000 else at, track, data)
        for at, track, data in sender.packets
    ]
    _, samples = record([sender], sender.at_us)
    assert np.array_equal(samples[:, 0], sender.words[0][1])


def test_a_call_that_ends_while_the_network_catches_up_keeps_its_last_words_in_place():
    """Nothing arrives for 0.9 seconds, then packets arrive quickly until the call ends."""
    sender = Sender(0, 5)
    sender.speak(Spurt(130, 0, gap=False, clock=0))
    sender.packets = [
        (2_900_000 + (at - 2_000_000) // 10 if at >= 2_000_000 else at, track, data)
        for at, track, data in sender.packets
    ]
    _, samples = record([sender], 2_960_000)
    words = sender.words[0][1]
    assert np.array_equal(samples[: len(words), 0], words)
    assert not samples[len(words) :, 0].any()


def test_one_wild_timestamp_does_not_move_other_packets():
    sender = Sender(0, 4)
    sender.speak(Spurt(300, 0, gap=False, clock=0))
    at, track, data = sender.packets[150]
    wild = int.from_bytes(data[4:8], "big") + 90_000_000
    sender.packets[150] = at, track, data[:4] + wild.to_bytes(5, "big")[1:] + data[8:]
    _, samples = record([sender], sender.at_us)
    words = sender.words[0][1]
    assert np.array_equal(samples[: 150 * FRAME, 0], words[: 150 * FRAME])
    assert np.array_equal(samples[151 * FRAME :, 0], words[151 * FRAME :])


@given(seed=st.integers(0, 9999), presses=st.lists(st.integers(1, 30), min_size=1, max_size=5))
@SOME
def test_withheld_key_presses_are_not_counted_as_lost(seed, presses):
    dice = random.Random(seed)
    sender = Sender(0, seed)
    sender.speak(Spurt(400, 0, gap=False, clock=0))
    places = sorted(dice.sample(range(20, 380), len(presses)))
    packets, shift = [], 0
    for index, (at, track, data) in enumerate(sender.packets):
        number = int.from_bytes(data[2:4], "big")
        if index in places:
            for _ in range(presses[places.index(index)]):
                head = b"\x80\x65" + ((number + shift) & 0xFFFF).to_bytes(2, "big") + data[4:12]
                packets.append((at, track, head))
                shift += 1
        packets.append(
            (at, track, data[:2] + ((number + shift) & 0xFFFF).to_bytes(2, "big") + data[4:])
        )
    lost = dice.randrange(30, 370)
    del packets[lost]
    sender.packets = packets
    timeline, samples = record([sender], sender.at_us)
    count = timeline.counts[0]
    assert count.lost == 1
    assert count.received + count.withheld == 399 + sum(presses)
    assert sum(count.codecs.values()) == count.received
    missing = samples[:, 0] != sender.words[0][1]
    assert missing.sum() <= FRAME


def test_packets_missing_at_gaps_do_not_count_as_lost_and_one_missing_between_does():
    sender = Sender(0, 5)
    for _ in range(3):
        sender.speak(Spurt(100, 100, gap=True, clock=100, numbers=100))
    del sender.packets[150]
    timeline, _ = record([sender], sender.at_us)
    assert timeline.counts[0].lost == 1
    assert timeline.counts[0].received == 299
    assert all(left < right for left, right in pairwise(end for _, end in sender.gaps))
