"""The helper that finds known speech in a recording, as other tests use it."""

from __future__ import annotations

import numpy as np

from helpers.peers.sound import find, speech


def test_speech_is_known_again_wherever_it_lies():
    said = speech(2, 1)
    heard = np.concatenate([np.zeros(777), said, np.zeros(500)])
    place, alike = find(heard, said)
    assert place == 777
    assert alike > 0.99


def test_speech_is_known_again_though_a_clock_was_put_right_in_it():
    said = speech(3, 2)
    heard = np.concatenate([said[:8000], said[8004:16_000], said[16_004:]])
    assert find(heard, said)[1] > 0.95


def test_speech_that_is_not_there_or_not_whole_is_not_known_again():
    said, other = speech(3, 3), speech(3, 4)
    assert find(other, said)[1] < 0.3
    assert find(np.zeros(0), said)[1] == 0
    holed = np.concatenate([said[:8000], np.zeros(4000), said[12_000:]])
    assert find(holed, said)[1] < 0.95
