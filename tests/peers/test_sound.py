"""The helper that finds known speech in a recording, as other tests use it."""

from __future__ import annotations

import numpy as np


def test_speech_is_known_again_wherever_it_lies(harness):
    said = harness.sound.speech(2, 1)
    heard = np.concatenate([np.zeros(777), said, np.zeros(500)])
    place, alike = harness.sound.find(heard, said)
    assert place == 777
    assert alike > 0.99


def test_speech_is_known_again_though_a_clock_was_put_right_in_it(harness):
    said = harness.sound.speech(3, 2)
    heard = np.concatenate([said[:8000], said[8004:16_000], said[16_004:]])
    assert harness.sound.find(heard, said)[1] > 0.95


def test_speech_that_is_not_there_or_not_whole_is_not_known_again(harness):
    said, other = harness.sound.speech(3, 3), harness.sound.speech(3, 4)
    assert harness.sound.find(other, said)[1] < 0.3
    assert harness.sound.find(np.zeros(0), said)[1] == 0
    holed = np.concatenate([said[:8000], np.zeros(4000), said[12_000:]])
    assert harness.sound.find(holed, said)[1] < 0.95
