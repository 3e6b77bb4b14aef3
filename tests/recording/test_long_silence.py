"""Memory while a recording is made of a call in which nobody sends anything for half an hour."""

import tracemalloc

import pytest

MINUTES = 30
OF_ALL = MINUTES * 60 * 8000 * 2 * 2
"""Octets of its samples."""


def wait(call, from_us: int, to_us: int) -> None:
    """What the recorder writes while there is nothing to keep."""
    for at_us in range(from_us, to_us, 900_000):
        call.event("pulse", at_us)
        call.writer.tick(at_us)


@pytest.mark.parametrize("paused", [False, True])
def test_silence_does_not_pile_up(office, paused):
    call, end_us = office.call(), MINUTES * 60_000_000
    call.answer()
    call.talk(0, 4_000_000)
    if paused:
        call.event("gap-start", 4_000_000, reason="payment", trigger="page", actor="user:sian")
    wait(call, 4_000_000, end_us)
    path = call.end(end_us)
    tracemalloc.start()
    try:
        sealed = office.seal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < OF_ALL / 10
    assert sealed.manifest.talk_us == end_us
    assert sealed.manifest.unexplained == []
    audio, rate = office.audio()
    assert len(audio) == MINUTES * 60 * rate
    assert not audio[5 * rate :].any()
