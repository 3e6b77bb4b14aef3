"""The turns of connections: shares of time, fairness between addresses, and held connections."""

from __future__ import annotations

import asyncio

import pytest

from telephony.aio.stream_turns import SLICE_S, UNITS_A_TURN, StreamTurns


class Clock:
    """A clock that moves only while a stream handles a message."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Stream:
    """A connection with a number of unhandled messages, each of which takes some time."""

    def __init__(self, house, host, messages, seconds):
        self.house, self.host = house, host
        self.messages, self.seconds = messages, seconds
        self.held = False

    def handle_next(self):
        if not self.messages:
            return False
        self.messages -= 1
        self.house.clock.now += self.seconds
        self.house.order.append(self)
        return True

    def hold(self):
        self.held = True

    def resume(self):
        self.held = False


class House:
    """The turns, their clock, and the streams in the order in which they handled messages."""

    def __init__(self):
        self.clock = Clock()
        self.turns = StreamTurns(self.clock, self.clock)
        self.order = []

    def stream(self, host="a", messages=1000, seconds=0.0001):
        return Stream(self, host, messages, seconds)


@pytest.fixture
async def house():
    made = House()
    yield made
    made.turns.close()


async def test_a_connection_with_few_messages_handles_them_at_once(house):
    stream = house.stream(messages=3)
    house.turns.ready(stream)
    assert (stream.messages, stream.held, house.turns.is_waiting(stream)) == (0, False, False)


async def test_a_connection_with_many_messages_is_held_after_one_slice(house):
    stream = house.stream()
    house.turns.ready(stream)
    assert 1000 - stream.messages == pytest.approx(SLICE_S / 0.0001, abs=1)
    assert stream.held
    assert house.turns.is_waiting(stream)


async def test_nothing_is_handled_during_the_rest(house):
    first, second = house.stream("a"), house.stream("b", messages=1)
    house.turns.ready(first)
    house.turns.ready(second)
    assert (second.messages, second.held) == (1, True)


async def test_connections_continue_after_the_rest_and_read_again_at_the_end(house, until):
    stream = house.stream(messages=100)
    house.turns.ready(stream)
    while stream.messages:
        before = house.clock.now
        house.clock.now += 0.01  # the clock goes on during the rest
        await until(lambda since=before: house.clock.now > since + 0.01 or not stream.messages)
    await until(lambda: not stream.held)
    assert not house.turns.is_waiting(stream)


async def test_an_address_with_many_connections_gets_no_more_turns_than_another(house, until):
    crowd = [house.stream("a", seconds=0.0) for _ in range(100)]
    lonely = house.stream("b", messages=UNITS_A_TURN, seconds=0.0)
    house.turns._is_working = True  # none begins before all wait
    for stream in (*crowd, lonely):
        house.turns.ready(stream)
    house.turns._is_working = False
    house.turns._work()
    assert house.order[UNITS_A_TURN : 2 * UNITS_A_TURN] == [lonely] * UNITS_A_TURN


async def test_the_connections_of_one_address_take_turns(house):
    streams = [house.stream("a", seconds=0.0, messages=UNITS_A_TURN * 2) for _ in range(3)]
    house.turns._is_working = True
    for stream in streams:
        house.turns.ready(stream)
    house.turns._is_working = False
    house.turns._work()
    assert house.order[::UNITS_A_TURN] == streams * 2


async def test_a_connection_that_has_ended_gets_no_turn(house):
    first, second = house.stream("a"), house.stream("a", messages=1)
    house.turns.ready(first)
    house.turns.ready(second)
    house.turns.forget(second)
    house.clock.now += 1.0
    await asyncio.sleep(0.01)
    assert second.messages == 1
    assert first.messages < 1000 - 2 * SLICE_S / 0.0001 + 2
