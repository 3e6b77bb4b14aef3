"""The timeline, compared with a reference that knows when each packet was spoken.

Covers `recording/audio/timeline.py` and `recording/audio/stream_clock.py`.
"""

import random

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.reference import KINDS, Party, expected, offsets, silences
from helpers.recording.timeline import recorded

US = 1_000_000
SOME = settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each example is seconds of audio
)
STEP_MS = 20


def compare(parties, length_us, holds=(), *, put_right=0):
    """Compare each channel with the reference; return (track, second, ms late) of its sound."""
    rate, samples, counts = recorded(parties, length_us, holds)
    found = []
    for party in parties:
        heard, should = samples[:, party.track], expected(party, rate, length_us)
        lates = offsets(heard, should, rate, put_right=put_right)
        assert lates, "a party that said nothing shows nothing"
        found += [(party.track, at_s, late) for at_s, late in lates]
        worst = round(max(abs(late) for _, late in lates)) + 2
        assert not heard[silences(should, rate, worst)].any()
        sent = len(party.said)
        lost = sum(not said.arrived for said in party.said[1:-1])
        assert counts[party.track].received == sum(said.arrived for said in party.said)
        assert counts[party.track].undecoded == counts[party.track].late == 0
        assert lost - 50 <= counts[party.track].lost <= lost <= sent
    return found


def assert_in_step(found):
    """Check that speech of one instant is within 20 ms of each other on both channels."""
    lates = [late for _, _, late in found]
    assert max(lates) - min(lates) <= STEP_MS, found


seeds = st.integers(0, 1 << 30)
kinds = st.sampled_from(KINDS)
networks = st.fixed_dictionaries(
    {
        "jitter_us": st.integers(0, 15_000),
        "loss": st.sampled_from([0.0, 0.0, 0.02, 0.1]),
        "doubled": st.sampled_from([0.0, 0.05]),
        "ppm": st.integers(-200, 200),
    }
)


def pair(seed, one, other, network):
    dice = random.Random(seed)
    return [Party(track, dice, kind, **network) for track, kind in enumerate((one, other))]


@given(seed=seeds, one=kinds, other=kinds, network=networks)
@example(
    297, KINDS[4], KINDS[0], {"jitter_us": 8090, "loss": 0.1, "doubled": 0.05, "ppm": 147}
)  # its clock is corrected after five seconds
@SOME
def test_any_two_codecs_and_packet_times_stay_in_step(seed, one, other, network):
    parties = pair(seed, one, other, network)
    for party in parties:
        party.speak(6)
    assert_in_step(compare(parties, 7 * US, put_right=2))


@given(seed=seeds, one=kinds, other=kinds, network=networks, pauses=st.lists(st.floats(0.1, 9)))
@SOME
def test_silence_suppression_keeps_the_length_of_each_silence(seed, one, other, network, pauses):
    parties = pair(seed, one, other, network)
    for party in parties:
        party.speak(2)
        for seconds in pauses[:4]:
            party.wait(seconds)
            party.speak(1.5)
    length_us = round(max(party.at for party in parties)) + US
    # After each silence a clock that has drifted may be corrected, within a piece.
    assert_in_step(compare(parties, length_us, put_right=len(pauses[:4])))


@given(seed=seeds, one=kinds, then=kinds, network=networks, pause=st.sampled_from([0.0, 0.3, 4.0]))
@SOME
def test_a_change_of_codec_does_not_move_the_audio(seed, one, then, network, pause):
    parties = pair(seed, one, one, network)
    for party in parties:
        party.speak(3)
        party.wait(pause)
    parties[0].change(then)
    if then.codec.clock != one.codec.clock:
        parties[0].timestamp = parties[0].dice.randrange(1 << 32)
    for party in parties:
        party.speak(3)
    length_us = round(max(party.at for party in parties)) + US
    assert_in_step(compare(parties, length_us, put_right=2))


unheard = st.fixed_dictionaries(
    {
        "change": st.sampled_from(["ssrc", "timestamp", "sequence"]),
        "clock": st.sampled_from([0.0, 0.4, 1.0]),
        "seconds": st.floats(1, 30),
    }
)


@given(seed=seeds, one=kinds, other=kinds, network=networks, unheard=unheard)
@example(
    919,
    KINDS[16],
    KINDS[5],
    {"jitter_us": 616, "loss": 0.0, "doubled": 0.0, "ppm": -46},
    {"change": "timestamp", "clock": 0.0, "seconds": 27.058},
)  # its clock is corrected in the middle of a piece
@SOME
def test_speech_after_a_hold_is_in_step_even_if_the_stream_changed_meanwhile(
    seed, one, other, network, unheard
):
    parties = pair(seed, one, other, network)
    for party in parties:
        party.speak(3)
    hold = round(max(party.at for party in parties)) + 80_000
    parties[0].wait(unheard["seconds"], clock=unheard["clock"])
    parties[1].wait(unheard["seconds"])
    resume = round(min(party.at for party in parties)) - 20_000
    setattr(parties[0], unheard["change"], parties[0].dice.randrange(1 << 30))
    for party in parties:
        party.speak(3)
    length_us = round(max(party.at for party in parties)) + US
    # After five seconds of speech, half a millisecond of a piece may be corrected, up to twice.
    assert_in_step(compare(parties, length_us, [hold, resume], put_right=2))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_stalled_network_and_a_stray_packet_do_not_move_the_audio(kind):
    """Nothing arrives for 1.5 s and then all packets do, and one packet is 0.9 s late.

    The late packet is decoded separately, so a codec with state decodes it differently.
    """
    parties = pair(3, kind, kind, {"jitter_us": 2000})
    for party in parties:
        party.speak(8)
    stalled, stray = parties[0], parties[1].packets
    stalled.packets = [
        (max(at, 4_500_000) if at >= 3 * US else at, track, data)
        for at, track, data in stalled.packets
    ]
    at, track, data = stray[len(stray) // 2]
    stray[len(stray) // 2] = at + 900_000, track, data
    assert_in_step(compare(parties, 9 * US, put_right=1))


@given(seed=seeds, kind=kinds, held_s=st.floats(0.5, 9.4))
@SOME
def test_packets_delayed_for_seconds_are_placed_at_their_time(seed, kind, held_s):
    """All delayed packets arrive at once; after that the network is as before."""
    parties = pair(seed, kind, kind, {"jitter_us": 3000})
    for party in parties:
        party.speak(14)
    end_us = round((3 + held_s) * US)
    parties[0].packets = [
        (max(at, end_us) if at >= 3 * US else at, track, data)
        for at, track, data in parties[0].packets
    ]
    assert_in_step(compare(parties, 15 * US))


@given(
    seed=seeds,
    kind=kinds,
    network=networks,
    fold=st.sampled_from([0, 1 / 6, 1 / 2, 2, 3, 6]) | st.none(),
    pause=st.floats(0, 3),
)
@SOME
def test_timestamps_at_an_unexpected_rate_are_recognised(seed, kind, network, fold, pause):
    """Timestamps at 16,000 a second for G.722, 8000 for Opus, one a packet (None) or constant (0).

    The network stalls once. The clock may be corrected twice: after the stall, and when the
    timestamps' rate is known.
    """
    parties = pair(seed, kind, kind, network)
    for party in parties:
        party.speak(9)
    parties[0].packets = [
        (
            at if at < 4 * US else max(at, round((4 + pause) * US)),
            track,
            miscounted(data, kind, fold),
        )
        for at, track, data in parties[0].packets
    ]
    assert_in_step(compare(parties, 10 * US, put_right=2))


def miscounted(data, kind, fold):
    """Return the packet with a timestamp that counts `fold` times as fast."""
    stamp = int.from_bytes(data[4:8], "big")
    parted = (stamp - 17 * kind.ticks) // kind.ticks
    step = 1 if fold is None else round(kind.ticks * fold)
    stamp = parted * step
    return data[:4] + (stamp % 2**32).to_bytes(4, "big") + data[8:]


HOUR = [kind for kind in KINDS if str(kind) in {"PCMU-20ms", "PCMA-60ms", "G722-20ms", "opus-60ms"}]
HOUR += [kind for kind in KINDS if str(kind) in {"G729-20ms", "L16-8-20ms", "L16-stereo-10ms"}]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("kind", HOUR, ids=str)
def test_drifting_clocks_stay_in_step_for_an_hour_of_talk_and_silence(kind):
    """Both clocks drift by ±200 ppm; long silences leave few packets to judge them by."""
    dice = random.Random(5)
    parties = [
        Party(track, dice, kind, ppm=ppm, jitter_us=8_000) for track, ppm in enumerate((200, -200))
    ]
    spurt = 0
    while parties[0].at < 3590 * US:
        spurt += 1
        seconds = 0.7 if spurt % 3 else 4
        silence = 120 if spurt % 20 == 0 else dice.uniform(0.3, 30)
        for party in parties:
            party.speak(seconds)
            party.wait(silence)
    length_us = 3600 * US
    for party in parties:
        party.said = [said for said in party.said if said.at_us < length_us - US]
        party.packets = [packet for packet in party.packets if packet[0] < length_us]
    rate, samples, _ = recorded(parties, length_us)
    found = []
    for party in parties:
        should = expected(party, rate, length_us)
        found += offsets(samples[:, party.track], should, rate, put_right=10)
    lates = [late for _, late in found]
    assert len(found) > 3000
    assert max(lates) - min(lates) <= STEP_MS
