"""Silence suppression, drifting clocks and a bad network: both channels stay in step.

The worst hours known: speech of less than a second between silences of up to two minutes, clocks
that are wrong by 300 and 400 ppm, and a network that loses, repeats, reorders and delays packets.

Covers `recording/audio/timeline.py` and `recording/audio/delay_envelope.py`.
"""

import random
from typing import Any

import pytest

from helpers.recording.marked import US, MarkedParty, worst_step_ms
from helpers.recording.timeline import played

STEP_MS = 20
HOUR_S = 3600
BAD = {"jitter_ms": 60, "loss": 0.1, "doubled": 0.05}
"""A network that loses one of ten packets, repeats one of twenty and delays each by up to 60 ms."""


def mixed(dice, number):
    """Return the seconds of speech and of silence: mostly short speech, and silences of minutes."""
    silence_s = 120 if number % 20 == 0 else dice.uniform(0.3, 30)
    return (0.7 if number % 3 else 4), silence_s


def conversation(dice, _):
    return 0.2 + dice.expovariate(1 / 1.5), 0.2 + dice.expovariate(1 / 2)


def rare(dice, _):
    """Return speech that is often shorter than the time for which first packets wait."""
    return dice.uniform(0.3, 1), dice.uniform(2, 60)


def syllables(dice, _):
    """Return silences that are all too short for a check of the clock."""
    return dice.uniform(0.2, 0.6), dice.uniform(0.3, 1.9)


def waiting(dice, _):
    """Return long speech and some silences of five minutes, as if the caller waits."""
    return dice.uniform(1, 20), dice.choice([1, 5, 30, 300])


NETWORKS: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "drift-600": ((300, -300), {}),
    "drift-600-noise": ((300, -300), {"noise": True}),
    "drift-600-60ms": ((300, -300), {"ms": 60}),
    "drift-400-bad": ((200, -200), BAD),
    "drift-800-bad": ((400, -400), BAD),
    "one-drifts-400-bad-noise": ((400, 0), {**BAD, "noise": True}),
}


def step_ms(seed, pattern, network, length_s):
    """Return by how many ms both channels are out of step at worst."""
    dice = random.Random(seed)
    ppm, quality = NETWORKS[network]
    parties = [MarkedParty(track, dice, each, **quality) for track, each in enumerate(ppm)]
    at_s, number = dice.uniform(0, 0.5), 0
    while at_s < length_s - 2:
        number += 1
        speech_s, silence_s = pattern(dice, number)
        for party in parties:
            party.speak(at_s, min(at_s + speech_s, length_s - 1))
        at_s += speech_s + silence_s
    packets = [packet for party in parties for packet in party.packets]
    samples = played(packets, length_s * US)
    found = [party.lates(samples[:, party.track]) for party in parties]
    for party, (seconds, _) in zip(parties, found, strict=True):
        assert len(seconds) > 0.99 * len(party.arrived)
    return worst_step_ms(found, length_s)


@pytest.mark.parametrize("network", ["drift-600", "drift-800-bad"])
@pytest.mark.parametrize("pattern", [mixed, rare, syllables, conversation])
def test_drifting_clocks_of_parties_with_long_silences_stay_in_step(pattern, network):
    assert step_ms(3, pattern, network, 480) <= STEP_MS


WORST_HOURS = [
    (rare, "one-drifts-400-bad-noise"),
    (waiting, "drift-800-bad"),
    (conversation, "drift-600"),
    (rare, "drift-600-60ms"),
    (syllables, "drift-600-noise"),
    (syllables, "drift-400-bad"),
    (mixed, "drift-800-bad"),
    (conversation, "drift-800-bad"),
]


# Each takes three to seven seconds of CPU time.
@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "network"), WORST_HOURS)
def test_drifting_clocks_stay_in_step_for_an_hour_of_the_worst_known_patterns(pattern, network):
    assert step_ms(1, pattern, network, HOUR_S) <= STEP_MS
