"""Memory use while a call is sealed in which no party sends anything for half an hour.

Covers `recording/archive/sealing.py`.
"""

import tracemalloc

import pytest

from helpers.examples import long_after

MINUTES = 30
OF_ALL = MINUTES * 60 * 8000 * 2 * 2
"""Octets of all samples of the call."""


def wait(call, from_us: int, to_us: int) -> None:
    """Write what the recorder writes while there is no audio to store."""
    for at_us in range(from_us, to_us, 900_000):
        call.event("pulse", at_us)
        call.writer.tick(at_us)


def sealed_in_little_memory(office, *paths):
    tracemalloc.start()
    try:
        sealed = office.seal(*paths)
        assert tracemalloc.get_traced_memory()[1] < OF_ALL / 8
    finally:
        tracemalloc.stop()
    return sealed


@pytest.mark.parametrize("paused", long_after(1, [True, False]))
def test_sealing_half_an_hour_of_silence_takes_little_memory(office, paused):
    call, end_us = office.call(), MINUTES * 60_000_000
    call.answer()
    call.talk(0, 4_000_000)
    if paused:
        call.event("gap-start", 4_000_000, reason="payment", trigger="page", actor="user:sian")
    wait(call, 4_000_000, end_us)
    sealed = sealed_in_little_memory(office, call.end(end_us))
    assert sealed.manifest.talk_us == end_us
    assert sealed.manifest.unexplained == []
    audio, rate = office.audio()
    assert len(audio) == MINUTES * 60 * rate
    assert not audio[5 * rate :].any()


def test_sealing_half_an_hour_between_two_processes_takes_little_memory(office):
    end_us = MINUTES * 60_000_000
    first = office.call(mono=100.0)
    first.answer()
    first.talk(0, 2_000_000)
    first.writer.flush_frame()
    first.writer.abandon()
    second = office.call(life=2, mono=100.0 + end_us / 1_000_000)
    second.event("segment", 0, **{"class": "centre", "to": ""})
    second.talk(0, 1_000_000)
    sealed = sealed_in_little_memory(office, first.writer.path, second.end(1_000_000))
    assert sealed.manifest.talk_us == end_us + 1_000_000
    assert [gap.to_us for gap in sealed.manifest.gaps] == [end_us]
    audio, rate = office.audio()
    assert not audio[3 * rate : (MINUTES * 60 - 1) * rate].any()
    assert audio[MINUTES * 60 * rate :].any()
