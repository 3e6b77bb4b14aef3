"""A card number that is keyed outside a pause is not in the archive, however the call is sealed.

Covers `recording/archive/sealing.py`.
"""

import random
import shutil
import struct

import numpy as np
import pytest

from helpers.examples import long_after
from helpers.recording.tones import (
    CARDS,
    NOT_A_CARD,
    heard,
    keyed,
    packets,
    rate_of,
    silence,
)
from recording.archive.accounting import balance
from recording.archive.verify import RecordingVerdict
from recording.audio.payloads import FlacPayload

US = 1_000_000


class Keyer:
    """A call in which the caller keys numbers, and the advisor speaks noise."""

    def __init__(self, office, codec, *parts, lost=0.0):
        rate = rate_of(codec)
        sound = [silence(p, rate) if isinstance(p, int) else keyed(p, rate=rate) for p in parts]
        sent = packets(codec, np.concatenate(sound), lost=lost)
        self.length_us = sum(map(len, sound)) * US // rate // 20_000 * 20_000
        dice = random.Random(5)
        for index in range(self.length_us // 20_000):
            head = struct.pack("!BBHII", 0x80, 8, index, index * 160, 77)
            sent.append((index * 20_000, 1, head + dice.randbytes(160)))
        self.sent = sorted(sent, key=lambda each: each[0])
        self.call = office.call()
        self.call.answer()
        payloads = {"8": ["PCMA", 8000, 1, ""], "9": ["G722", 8000, 1, ""]}
        payloads["96"] = ["opus", 48_000, 2, ""]
        self.call.event("media", 0, track=0, payloads=payloads)
        self._next = 0

    def talk(self, until_us):
        """Send what both send until this time."""
        writer = self.call.writer
        while self._next < len(self.sent) and self.sent[self._next][0] < until_us:
            at_us, track, data = self.sent[self._next]
            if at_us % US == 0 and track == 0:
                writer.tick(at_us)
            writer.packet(track, at_us, data)
            self._next += 1

    def end(self):
        self.talk(self.length_us)
        return self.call.end(self.length_us)


def channels(office):
    """Return the keys that are in each channel of the archived recording."""
    samples, rate = office.audio()
    return [heard(samples[:, track].copy(), rate) for track in (0, 1)]


def whole(office) -> RecordingVerdict:
    """Return the verdict of a recording in which nothing is wrong, down to its samples."""
    verdict = office.verdict(identities=[office.officer.identity])
    assert verdict.whole, verdict
    return verdict


@pytest.mark.parametrize("codec", ["PCMA", "G722", "opus"])
def test_a_dialled_card_is_exact_silence_in_a_gap_of_its_own(office, codec):
    path = Keyer(office, codec, 5, CARDS[0], 20).end()
    manifest = office.seal(path).manifest
    (gap,) = manifest.gaps
    assert (gap.reason, gap.trigger, gap.actor) == ("captured-card", "tones", "system")
    assert 4.4 * US < gap.from_us < 4.9 * US
    assert 8.1 * US < gap.to_us < 8.8 * US
    found = balance(manifest.talk_us, manifest.segments, manifest.gaps)
    assert not found.unaccounted
    assert not manifest.unexplained
    assert found.recorded_us + found.gap_us == manifest.talk_us == 28.2 * US
    assert whole(office)
    assert channels(office)[0] == ""
    samples, rate = office.audio()
    inside = samples[gap.from_us * rate // US + 1 : gap.to_us * rate // US - 1]
    outside = samples[: gap.from_us * rate // US - rate, 1]
    assert not inside.any()
    assert np.count_nonzero(outside) > 0.9 * len(outside)


def test_a_number_with_a_wrong_check_digit_is_not_silenced(office):
    path = Keyer(office, "PCMA", 5, NOT_A_CARD, 20).end()
    assert office.seal(path).manifest.gaps == []
    assert whole(office)
    assert channels(office)[0] == NOT_A_CARD


@pytest.mark.parametrize("seed", long_after(2, range(6)))
def test_a_call_sealed_live_has_the_same_captured_card_as_one_sealed_at_its_end(office, seed):
    dice = random.Random(seed)
    codec = dice.choice(["PCMA", "G722"])
    parts = 3, dice.choice(CARDS), dice.choice([1, 9, 12]), "123", 30, "4", 20
    play = Keyer(office, codec, *parts)
    following = office.follow(play.call.writer.path)
    for at_us in range(0, play.length_us, US):
        play.talk(at_us)
        if dice.random() < 0.5:
            following.step(dice.choice([1, 7, 100]))
    path = play.end()
    followed = office.seal(path, following=following).manifest
    samples, rate = office.audio()
    assert whole(office)
    shutil.rmtree(office.folder)
    straight = office.seal(path).manifest
    again, again_rate = office.audio()
    assert followed.gaps == straight.gaps != []
    assert rate == again_rate
    assert np.array_equal(samples, again)
    assert channels(office)[0] == ""


def test_the_digits_never_reach_the_encoder_while_the_call_is_followed(office, monkeypatch):
    given: list[np.ndarray] = []
    real = FlacPayload.write_all

    def noted(self, blocks):
        each = list(blocks)
        given.extend(block.copy() for block in each)
        real(self, each)

    monkeypatch.setattr(FlacPayload, "write_all", noted)
    slow = [part for digit in CARDS[0] for part in (digit, 3)]
    play = Keyer(office, "PCMA", 30, *slow, 60)
    following = office.follow(play.call.writer.path)
    for at_us in range(0, play.length_us, US):
        play.talk(at_us)
        following.step(100)
        sound = np.concatenate([np.zeros((1, 2), np.int16), *given])
        assert not heard(sound[:, 0].copy())
    assert len(sound) > 100 * 8000
    office.seal(play.end(), following=following)
    assert len(office.audio()[0]) == play.length_us * 8000 // US


def test_undecodable_packets_sent_during_a_captured_card_are_not_stored(office):
    """The advisor sends G.728, in which the caller's tones may echo."""
    play = Keyer(office, "PCMA", 30, CARDS[0], 30)
    play.sent = [
        (at, track, data if track == 0 else b"\x80\x0f" + data[2:12] + bytes(40))
        for at, track, data in play.sent
    ]
    following = office.follow(play.call.writer.path)
    for at_us in range(0, play.length_us, US):
        play.talk(at_us)
        following.step(100)
    path = play.end()
    manifest = office.seal(path, following=following).manifest
    (gap,) = manifest.gaps
    assert manifest.raw is not None
    assert manifest.tracks[1].undecoded == play.length_us // 20_000
    kept = (play.length_us - gap.length_us) // 20_000
    assert kept - 3 <= manifest.raw.packets <= kept
    times = stored_us(office.raw(), manifest.started_us)
    assert len(times) == manifest.raw.packets
    assert not [at for at in times if gap.from_us <= at < gap.to_us]
    raw = office.raw()
    shutil.rmtree(office.folder)
    office.seal(path)
    assert office.raw() == raw


def stored_us(pcapng, started_us):
    """Return the times of the packets in a pcapng file, in µs since the recording's start."""
    times, at = [], 0
    while at < len(pcapng):
        kind, size = struct.unpack_from(">II", pcapng, at)
        if kind == 6:
            high, low = struct.unpack_from(">II", pcapng, at + 12)
            times.append((high << 32) + low - started_us)
        at += size
    return times


def test_digits_that_a_pause_interrupts_are_no_card_number(office):
    """Two of the digits sound in the pause, so that they are not in the spool."""
    play = Keyer(office, "PCMA", 5, CARDS[0], 20)
    play.sent = [each for each in play.sent if not 6 * US <= each[0] < 6.4 * US]
    play.talk(6 * US)
    play.call.event("gap-start", 6 * US, reason="payment", trigger="page", actor="user:sian")
    play.call.event("gap-end", 6_400_000)
    play.call.event("segment", 6_400_000, **{"class": "centre", "to": ""})
    manifest = office.seal(play.end()).manifest
    assert [gap.reason for gap in manifest.gaps] == ["payment"]
    assert whole(office)


def test_the_gap_of_a_card_keyed_right_before_a_pause_ends_where_the_pause_begins(office):
    play = Keyer(office, "PCMA", 5, CARDS[0], 20)
    at_us = 8_300_000
    play.talk(at_us)
    why = {"reason": "payment", "trigger": "page", "actor": "user:sian"}
    play.call.event("gap-start", at_us, **why)
    play.sent = [each for each in play.sent if each[0] < at_us]
    manifest = office.seal(play.end()).manifest
    assert [gap.reason for gap in manifest.gaps] == ["captured-card", "payment"]
    assert manifest.gaps[0].to_us == manifest.gaps[1].from_us == at_us
    assert not manifest.unexplained
    assert whole(office)


@pytest.mark.parametrize(
    ("near", "causes"),
    [(0, [("payment", "page")]), (4, [("erased", "tones"), ("payment", "page")])],
)
def test_three_digits_before_a_pause_are_silenced_only_if_a_distance_is_set(office, near, causes):
    office.near_pause_s = near
    play = Keyer(office, "PCMA", 5, "123", 20)
    play.talk(8 * US)
    why = {"reason": "payment", "trigger": "page", "actor": "user:sian"}
    play.call.event("gap-start", 8 * US, **why)
    play.sent = [each for each in play.sent if each[0] < 8 * US]
    manifest = office.seal(play.end()).manifest
    assert [(gap.reason, gap.trigger) for gap in manifest.gaps] == causes
    assert channels(office)[0] == ("" if near else "123")
    assert whole(office)


@pytest.mark.parametrize("keys", ["4929", "41111111", "411111111111111"])
@pytest.mark.parametrize("delay_us", [0, US, 9 * US])
def test_digits_before_a_pause_that_erased_some_of_them_are_not_in_the_archive(
    office, keys, delay_us
):
    office.near_pause_s = 10
    play = Keyer(office, "PCMA", 5, keys, 40)
    at_us = 5 * US + 200_000 * len(keys) + delay_us
    erased_us = at_us - 500_000
    play.sent = [each for each in play.sent if not erased_us <= each[0] < at_us + 10 * US]
    play.talk(erased_us)
    cause = {"trigger": "page", "actor": "user:sian"}
    play.call.event("gap-start", erased_us, reason="erased", **cause)
    play.call.event("gap-end", at_us)
    play.call.event("gap-start", at_us, reason="payment", **cause)
    play.call.event("gap-end", at_us + 10 * US)
    play.call.event("segment", at_us + 10 * US, **{"class": "centre", "to": ""})
    manifest = office.seal(play.end()).manifest
    causes = [(gap.reason, gap.trigger) for gap in manifest.gaps]
    assert causes == [("erased", "tones"), ("erased", "page"), ("payment", "page")]
    assert channels(office)[0] == ""
    assert not manifest.unexplained
    assert whole(office)


def test_held_bytes_counts_the_audio_held_back_for_a_run_of_digits(office):
    slow = [part for digit in "4111111111" for part in (digit, 5)]
    play = Keyer(office, "PCMA", 10, *slow, 20)
    following = office.follow(play.call.writer.path)
    play.talk(75 * US)
    while following.step(100):
        pass
    assert following.held_bytes > 30 * 8000 * 4
    play.talk(play.length_us)
    following.discard()
