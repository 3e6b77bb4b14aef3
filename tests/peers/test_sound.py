"""The helper that finds known speech in a recording, as other tests use it."""

from __future__ import annotations

import numpy as np

from galwad.simulate.sound import speech
from helpers.peers.sound import find


def test_speech_is_found_at_any_place_in_a_recording():
    said = speech(2, 1)
    heard = np.concatenate([np.zeros(777), said, np.zeros(500)])
    place, alike = find(heard, said)
    assert place == 777
    assert alike > 0.99


def test_speech_with_a_clock_correction_is_found():
    said = speech(3, 2)
    heard = np.concatenate([said[:8000], said[8004:16_000], said[16_004:]])
    assert find(heard, said)[1] > 0.95


def test_absent_or_incomplete_speech_is_not_found():
    said, other = speech(3, 3), speech(3, 4)
    assert find(other, said)[1] < 0.3
    assert find(np.zeros(0), said)[1] == 0
    holed = np.concatenate([said[:8000], np.zeros(4000), said[12_000:]])
    assert find(holed, said)[1] < 0.95
