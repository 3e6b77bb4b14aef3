"""Card numbers that are keyed outside a pause are silenced before they reach the encoder."""

import gc
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.tones import (
    CARDS,
    NOT_A_CARD,
    heard,
    keyed,
    level,
    noise_below,
    presses,
    raw,
    silence,
    sox,
    tone,
)
from recording.audio.captured_card import (
    AFTER_CARD_S,
    DIGIT_GAP_S,
    GROUP_GAP_S,
    LONGEST_RUN_S,
    CardFilter,
    is_card_number,
)


class Filtered:
    """The result of a filter: both channels, the silenced spans in seconds, the most held bytes."""

    def __init__(self, left, right=None, *, rate=8000, edges=(), erased=(), near=0.0, block=None):
        room = np.full(len(left), 9, np.int16)
        sound = np.stack([left, room if right is None else right], axis=1).astype(np.int16)
        self.before = sound.copy()
        self.held = 0
        cards = CardFilter(rate, near)
        for edge in edges:
            cards.mark_pause_edge(int(edge * rate))
        for edge in erased:
            cards.mark_pause_edge(int(edge * rate), begins_erased=True)
        blocks: list[np.ndarray] = []
        released = 0
        for at in range(0, len(sound), block or rate):
            cards.feed(sound[at : at + (block or rate)])
            new = [*cards.blocks()]
            blocks += new
            self.held = max(self.held, cards.held_bytes)
            released += sum(map(len, new))
            assert released == cards.released
        cards.finish()
        self.after = np.concatenate([*blocks, *cards.blocks()])
        self.samples = [*cards.captured, *cards.near_pause]
        self.spans = [(start / rate, end / rate) for start, end in self.samples]
        self.near_pause = cards.near_pause
        self.rate = rate

    @property
    def untouched(self) -> bool:
        """True if no sample outside the silenced spans was changed, and all in them are zero."""
        expected = self.before.copy()
        for start, end in self.samples:
            expected[start:end] = 0
        return len(self.after) == len(self.before) and bool((self.after == expected).all())

    def left(self) -> str:
        """Return the keys that are still in the left channel."""
        return heard(self.after[:, 0].copy(), self.rate)


def between(*parts, rate=8000):
    """Return sounds, and silences whose seconds are given as numbers, one after another."""
    return np.concatenate(
        [silence(part, rate) if isinstance(part, int | float) else part for part in parts]
    )


@pytest.mark.parametrize("rate", [8000, 16_000])
@pytest.mark.parametrize("number", CARDS)
def test_a_published_test_card_is_silenced_in_both_channels(number, rate):
    result = Filtered(between(20, keyed(number, rate=rate), 20, rate=rate), rate=rate)
    ((start, end),) = result.spans
    assert 19.5 < start <= 19.8
    assert 20 + 0.2 * len(number) < end < 20 + 0.2 * len(number) + 0.5
    assert result.untouched
    assert not result.left()


@pytest.mark.parametrize("number", [NOT_A_CARD, "0" * 16, "4111", "0123456789", "411111111111"])
def test_digits_that_are_not_a_card_number_are_not_silenced(number):
    result = Filtered(between(5, keyed(number), 20))
    assert not result.spans
    assert result.left() == number
    assert result.untouched


def test_a_card_in_the_other_channel_is_silenced_in_both():
    right = between(3, keyed(CARDS[0]), 15)
    left = np.random.default_rng(1).integers(-3000, 3000, len(right)).astype(np.int16)
    result = Filtered(left, right)
    assert len(result.spans) == 1
    assert result.untouched
    assert not heard(result.after[:, 1].copy())


def test_a_card_keyed_in_groups_with_long_pauses_is_silenced_as_one_run():
    groups = [keyed(CARDS[0][at : at + 4]) for at in range(0, 16, 4)]
    parts = [part for group in groups for part in (group, DIGIT_GAP_S - 0.5)]
    result = Filtered(between(2, *parts, 12))
    assert len(result.spans) == 1
    assert not result.left()


@pytest.mark.parametrize("number", CARDS)
@pytest.mark.parametrize("gap", [DIGIT_GAP_S + 1, GROUP_GAP_S - 1])
def test_a_card_keyed_with_long_pauses_is_silenced_only_in_its_groups(number, gap):
    groups = [number[at : at + 4] for at in range(0, len(number), 4)]
    parts = [part for group in groups for part in (keyed(group), gap)]
    result = Filtered(between(2, *parts, 12))
    assert len(result.spans) == len(groups)
    assert sum(end - start for start, end in result.spans) < 0.2 * len(number) + 0.6 * len(groups)
    assert not result.left()
    assert result.untouched


def test_digits_with_a_pause_longer_than_the_limit_are_not_one_number():
    halves = keyed(CARDS[0][:8]), keyed(CARDS[0][8:])
    result = Filtered(between(2, halves[0], GROUP_GAP_S + 1, halves[1], 12))
    assert result.left() == CARDS[0]


def test_a_card_number_across_a_long_pause_is_not_found_in_the_middle_of_a_group():
    assert is_card_number(bytes(map(int, CARDS[0])))
    keys = keyed("93" + CARDS[0][:8]), DIGIT_GAP_S + 1, keyed(CARDS[0][8:])
    assert Filtered(between(2, *keys, 12)).left() == "93" + CARDS[0]


@pytest.mark.parametrize("number", CARDS)
def test_a_card_keyed_with_tones_and_pauses_of_30_ms_is_silenced(number):
    assert Filtered(between(1, keyed(number, 30, 30), 12)).spans


@pytest.mark.parametrize("number", CARDS)
def test_a_card_in_noise_that_is_3_db_weaker_is_silenced(number):
    sound = noise_below(between(1, keyed(number, 90, 90), 2), 3, seed=len(number))
    ((start, end),) = Filtered(sound).spans
    assert start < 1
    assert end > 1 + 0.18 * len(number) - 0.09


@pytest.mark.parametrize("number", CARDS)
def test_a_card_under_speech_of_the_same_party_is_silenced(number):
    """The speech is 3 dB weaker than the tones, as a loud voice beside the phone's keys."""
    tones = between(1, keyed(number, 90, 90), 2)
    voice = spoken(len(tones))
    sound = tones + voice * (level(tones) / level(voice) / 10 ** (3 / 20))
    assert Filtered(sound.astype(np.int16)).spans


def spoken(length):
    command = ["espeak-ng", "-v", "en-gb", "--stdout", "Wait, I have to turn the card over. " * 4]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    data = sox("-D", "-t", "wav", "-", *raw(8000), "-", stdin=wav)
    return np.frombuffer(data, np.int16)[:length]


def test_an_unsure_digit_after_a_card_is_not_silenced():
    sound = between(1, keyed(CARDS[0]), 5, keyed("7"), 12)
    assert len(Filtered(sound).spans) == 1
    assert Filtered(sound).spans[0][1] > 9
    noisy = sound.copy()
    noisy[9 * 8000 :] = noise_below(sound[9 * 8000 :], 1)
    assert any(press.unsure for press in presses(noisy))
    assert Filtered(noisy).spans[0][1] < 5


@pytest.mark.parametrize("before", ["1", "*71", "12345", "1234567890" * 3])
@pytest.mark.parametrize("after", ["", "#", "1225", "#1225#123#"])
def test_the_run_of_digits_around_a_card_is_silenced_except_the_start_of_a_long_run(before, after):
    result = Filtered(between(4, keyed(before + CARDS[0] + after), 15))
    left = result.left()
    assert not left or (len(before) > 19 and before.startswith(left))
    assert len(left) <= max(0, len(before) - 3)
    assert result.untouched


def test_a_card_number_keyed_with_stars_and_hashes_inside_is_silenced():
    assert not Filtered(between(1, keyed("4111*1111#1111*1111"), 12)).left()


@pytest.mark.parametrize("gap", [DIGIT_GAP_S + 5, 70, AFTER_CARD_S - 5])
def test_the_security_code_that_follows_a_card_is_silenced(gap):
    parts = keyed(CARDS[0]), gap, keyed("123"), AFTER_CARD_S + 5, keyed("789")
    result = Filtered(between(1, *parts, 12))
    assert result.left() == "789"
    assert len(result.spans) == 2


def test_a_security_code_after_an_unsure_digit_is_silenced():
    code = noise_below(keyed("9"), 1), 1, keyed("123")
    sound = between(1, keyed(CARDS[0]), GROUP_GAP_S + 5, *code, 12)
    assert [press.unsure for press in presses(sound)][-4:] == [True, False, False, False]
    assert not Filtered(sound).left()


def test_the_security_code_that_precedes_a_card_is_silenced():
    result = Filtered(between(1, keyed("123"), GROUP_GAP_S - 5, keyed(CARDS[0]), 12))
    assert not result.left()
    assert len(result.spans) == 2


def test_a_digit_that_begins_in_the_margin_of_the_digit_before_is_found():
    for shift in range(0, 200, 20):
        result = Filtered(between(1 + shift / 1000, keyed(CARDS[0] + "99"), 12))
        assert not result.left()
        assert len(result.spans) == 1


def test_held_back_audio_is_two_seconds_without_digits_and_limited_with_digits():
    speech = np.random.default_rng(2).integers(-9000, 9000, 120 * 8000).astype(np.int16)
    second = 8000 * 4
    assert Filtered(speech).held <= 2 * second
    noisy = noise_below(np.tile(between(keyed("5"), 4), 10), 1)
    assert sum(press.unsure for press in presses(noisy)) == 10
    assert Filtered(noisy).held <= 5 * second
    slow = np.concatenate([between(tone("5", 100, 0), DIGIT_GAP_S - 1) for _ in range(40)])
    assert Filtered(slow).held <= (LONGEST_RUN_S + 2) * second
    assert Filtered(np.tile(tone("5", 1000, 0), 300)).held <= (LONGEST_RUN_S + 2) * second


def test_a_long_block_is_released_up_to_the_digits_in_it():
    first, rest = between(30, keyed(CARDS[0][:8]), 1), between(keyed(CARDS[0][8:]), 10)
    cards = CardFilter(8000)
    cards.feed(np.stack([first, first], axis=1))
    released = sum(map(len, cards.blocks()))
    assert 29 * 8000 < released == cards.released < 30 * 8000
    cards.feed(np.stack([rest, rest], axis=1))
    cards.finish()
    later = np.concatenate([*cards.blocks()])
    assert released + len(later) == len(first) + len(rest)
    assert not heard(later[:, 0].copy())


def test_the_held_blocks_themselves_are_silenced():
    """The memory of the blocks is overwritten: the result is not a copy."""
    sound = np.stack([between(1, keyed(CARDS[0]), 12)] * 2, axis=1)
    blocks = [sound[at : at + 8000].copy() for at in range(0, len(sound), 8000)]
    cards = CardFilter(8000)
    for block in blocks:
        cards.feed(block)
    cards.finish()
    assert all(given is taken for given, taken in zip(blocks, cards.blocks(), strict=True))
    assert not heard(np.concatenate(blocks)[:, 0].copy())


def test_the_digits_of_a_run_are_overwritten_in_memory_when_the_run_is_over():
    number = bytes(map(int, NOT_A_CARD))
    cards = CardFilter(8000)
    sound = np.stack([between(1, keyed(NOT_A_CARD), 0.5)] * 2, axis=1)
    cards.feed(sound)
    buffers = [each.obj for each in gc.get_objects() if isinstance(each, memoryview)]
    holding = [buffer for buffer in buffers if isinstance(buffer, bytearray) and number in buffer]
    assert len(holding) >= 2
    cards.feed(np.zeros(((GROUP_GAP_S + 2) * 8000, 2), np.int16))
    assert all(not any(buffer) for buffer in holding)


@pytest.mark.parametrize(
    ("edge", "near", "silenced"),
    [
        (5.0, 2, True),
        (7.0, 2, True),
        (7.8, 2, False),
        (8.9, 2, False),
        (3.9, 2, True),
        (2.5, 2, False),
        (5.5, 0, False),
        (15.0, 10, True),
    ],
)
def test_three_digits_are_silenced_only_within_the_set_distance_of_a_pause(edge, near, silenced):
    result = Filtered(between(5, keyed("123"), 30), edges=(edge,), near=near)
    assert bool(result.spans) is silenced
    assert result.left() == ("" if silenced else "123")


@pytest.mark.parametrize("edges", [{"edges": (5.5,)}, {"erased": (4.9,)}])
def test_two_digits_that_are_not_before_an_erased_stretch_are_not_silenced(edges):
    assert Filtered(between(5, keyed("12"), 30), **edges, near=5).left() == "12"


def test_a_star_or_hash_near_a_pause_is_not_silenced():
    assert Filtered(between(5, keyed("*#"), 30), erased=(5.5,), near=5).left() == "*#"


def paused(keys, ms, pitch_ms, delay, erase_back):
    """Return the sound of keys up to a pause, and when its erased stretch begins, in seconds.

    The pause begins `delay` seconds after the last tone.
    """
    tones = keyed(keys, ms, pitch_ms - ms)
    edge = round(3 + len(tones) / 8000 - (pitch_ms - ms) / 1000 + delay - erase_back, 3)
    return between(between(3, tones, 10)[: round(edge * 8000)], 40), edge


@pytest.mark.parametrize("erase_back", [0, 0.5, 5])
@pytest.mark.parametrize("delay", [0, 0.3, 4, 9.5])
@pytest.mark.parametrize(("ms", "pitch_ms"), [(50, 100), (100, 330), (120, 900), (300, 4000)])
def test_four_or_more_digits_keyed_just_before_a_pause_are_all_silenced(
    ms, pitch_ms, delay, erase_back
):
    for keys in ("4929", "41111111", "411111111111111"):
        sound, edge = paused(keys, ms, pitch_ms, delay, erase_back)
        edges = {"erased": (edge,)} if erase_back else {}
        edges["edges"] = (edge + erase_back,)
        result = Filtered(sound, **edges, near=10)
        assert not result.left()
        assert result.untouched
        assert result.samples == result.near_pause


def test_a_tone_that_a_pause_cuts_off_is_silenced_with_the_digits_before_it():
    sound = between(5, keyed("12", 100, 400), tone("3", 8, 0), 30)
    assert heard(sound) == "12"
    result = Filtered(sound, erased=(6.008,), edges=(6.508,), near=10)
    assert not result.after[:, 0].any()


def test_speech_between_the_digits_and_a_pause_is_not_silenced():
    rest = np.random.default_rng(3).integers(-3000, 3000, 30 * 8000).astype(np.int16)
    result = Filtered(between(5, keyed("1234"), rest), erased=(9.0,), edges=(9.5,), near=10)
    (span,) = result.spans
    assert span[1] < 6.1
    assert result.untouched


def test_digits_near_a_pause_are_silenced_although_later_digits_follow_slowly():
    later = [part for _ in range(8) for part in (DIGIT_GAP_S + 15, keyed("7"))]
    result = Filtered(between(5, keyed("4929"), *later, 12), erased=(6.5,), edges=(7,), near=10)
    assert result.left() == "7" * 8


def test_a_run_longer_than_a_card_number_is_silenced_as_a_whole_near_a_pause():
    keys = "1234567890" * 4
    assert not Filtered(between(5, keyed(keys, 60, 60), 30), edges=(10.5,), near=10).left()


def test_digits_near_a_pause_do_not_make_later_digits_a_security_code():
    sound = between(5, keyed("123"), 20, keyed("45"), 20)
    assert Filtered(sound, edges=(5.5,), near=2).left() == "45"


def test_a_set_distance_from_a_pause_of_more_than_ten_seconds_is_refused():
    with pytest.raises(ValueError, match="from 0 to 10"):
        CardFilter(8000, 11)


@given(
    keys=st.lists(st.sampled_from([*CARDS, NOT_A_CARD, "12", "*71"]), min_size=1, max_size=3),
    block=st.integers(100, 100_000),
)
@settings(max_examples=examples(20), deadline=None)
def test_the_released_audio_is_the_audio_with_the_captured_spans_silenced(keys, block):
    parts = [part for key in keys for part in (keyed(key, 50, 50), GROUP_GAP_S + 1)]
    result = Filtered(between(0.3, *parts), block=block)
    assert result.untouched
    assert result.samples == Filtered(between(0.3, *parts)).samples
    assert bool(result.spans) == any(key in CARDS for key in keys)
    assert not any(card in result.left() for card in CARDS)


@pytest.mark.parametrize("number", CARDS)
def test_a_published_test_card_is_a_card_number_only_with_its_check_digit(number):
    digits = [int(digit) for digit in number]
    assert is_card_number(bytes(digits))
    others = [bytes([*digits[:-1], last]) for last in range(10) if last != digits[-1]]
    assert not any(map(is_card_number, others))


@pytest.mark.parametrize("number", ["", "4", "0000000000000000", "79927398713", "1" * 25])
def test_a_number_of_the_wrong_length_or_issuer_is_not_a_card_number(number):
    assert not is_card_number(bytes(int(digit) for digit in number))


@given(digits=st.lists(st.integers(0, 9), min_size=12, max_size=18))
def test_the_check_digit_is_that_of_luhn(digits):
    """The sum is calculated here as the patent US 2950048 describes it, from the right."""
    numbers = [bytes([*digits, last]) for last in range(10)]
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = digit * 2 if place % 2 == 0 else digit
        total += value - 9 if value > 9 else value
    right = numbers[-total % 10]
    assert all(not is_card_number(number) or number == right for number in numbers)
