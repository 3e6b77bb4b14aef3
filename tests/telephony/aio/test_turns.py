"""SIP messages keep the event loop busy only in turns, with rest between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from telephony.aio.turns import (
    SLICE_S,
    TURN_S,
    UNITS_A_TURN,
    DatagramTurns,
    StreamTurns,
    WorkShare,
    WorkTimer,
)


class Loop:
    """An event loop with a clock that tests move; each datagram takes `cost_s`."""

    def __init__(self, cost_s):
        self.now, self.cost_s = 100.0, cost_s
        self.soon: list[Callable[[], None]] = []
        self.handled: list[int] = []
        self.turns = DatagramTurns(self.handle, clock=lambda: self.now, call_soon=self.soon.append)

    def handle(self, datagram):
        self.now += self.cost_s
        self.handled.append(datagram)

    def turn(self):
        """Run what was given to `call_soon`."""
        due, self.soon[:] = list(self.soon), []
        for function in due:
            function()


def test_datagrams_that_take_little_time_are_handled_at_once():
    loop = Loop(TURN_S / 100)
    for number in range(50):
        loop.turns.add(number)
    assert loop.handled == list(range(50))
    assert len(loop.turns) == 0
    loop.turn()
    assert loop.soon == []


def test_datagrams_that_take_long_are_handled_in_several_turns_and_in_sequence():
    loop = Loop(TURN_S * 0.6)
    for number in range(5):
        loop.turns.add(number)
    assert loop.handled == [0, 1]
    loop.turn()
    loop.turns.add(5)
    assert loop.handled == [0, 1, 2, 3]
    loop.turn()
    assert loop.handled == [0, 1, 2, 3, 4, 5]
    loop.turn()
    assert loop.soon == []


def test_urgent_datagrams_are_handled_before_those_that_wait_and_in_sequence():
    loop = Loop(TURN_S)
    for number in range(3):
        loop.turns.add(number)
    for number in (10, 11):
        loop.turns.add(number, urgent=True)
    assert (loop.handled, len(loop.turns)) == ([0], 4)
    for _ in range(4):
        loop.turn()
    assert loop.handled == [0, 10, 11, 1, 2]


def test_a_datagram_that_takes_longer_than_a_turn_does_not_stop_later_datagrams():
    loop = Loop(TURN_S * 10)
    for number in range(3):
        loop.turns.add(number)
    assert loop.handled == [0]
    loop.turn()
    loop.turn()
    assert loop.handled == [0, 1, 2]


def test_a_datagram_that_comes_while_another_is_handled_is_handled_afterwards():
    loop = Loop(0.0)
    began = []

    def handle(datagram):
        began.append(datagram)
        if datagram == 0:
            turns.add(1)
        loop.handled.append(datagram)

    turns = DatagramTurns(handle, clock=lambda: loop.now, call_soon=loop.soon.append)
    turns.add(0)
    assert began == loop.handled == [0, 1]


def test_an_error_in_one_datagram_does_not_stop_later_datagrams():
    loop = Loop(0.0)

    def handle(datagram):
        if datagram == 0:
            raise RuntimeError
        loop.handled.append(datagram)

    turns = DatagramTurns(handle, clock=lambda: loop.now, call_soon=loop.soon.append)
    with pytest.raises(RuntimeError):
        turns.add(0)
    turns.add(1)
    loop.turn()
    turns.add(2)
    assert loop.handled == [1, 2]


class Clock:
    """A clock that stands still until a test, or a stream that handles a message, moves it."""

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


async def test_no_connection_is_handled_during_the_rest_after_a_slice_of_work(house):
    first, second = house.stream("a"), house.stream("b", messages=1)
    house.turns.ready(first)
    house.turns.ready(second)
    assert (second.messages, second.held) == (1, True)


async def test_a_held_connection_continues_after_the_rest_and_is_released_at_the_end(house, until):
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


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def share(clock):
    return WorkShare(0.25, clock)


def test_the_rest_lasts_until_the_work_took_at_most_its_share_of_the_time(share, clock):
    clock.now += 0.01
    share.spend(0.01)
    assert (share.rest_s, share.debt_s) == pytest.approx((0.03, 0.0075))
    clock.now += 0.02
    assert (share.rest_s, share.debt_s) == pytest.approx((0.01, 0.0025))
    clock.now += 0.02
    assert (share.rest_s, share.debt_s) == (0.0, 0.0)


def test_idle_time_before_work_does_not_shorten_its_rest(share, clock):
    clock.now += 1000.0
    share.spend(0.01)
    assert share.rest_s == pytest.approx(0.03)


def test_the_rests_for_several_pieces_of_work_add_up(share):
    share.spend(0.01)
    share.spend(0.01)
    assert share.rest_s == pytest.approx(0.08)


def test_work_that_hardly_waited_for_the_processor_counts_with_its_whole_duration(clock):
    cpu_clock = Clock()
    timer = WorkTimer(clock, cpu_clock)
    clock.now += 0.03
    cpu_clock.now += 0.02
    assert timer.seconds == pytest.approx(0.03)


def test_work_that_waited_counts_at_most_twice_its_processor_time(
    clock,
):
    cpu_clock = Clock()
    timer = WorkTimer(clock, cpu_clock)
    clock.now += 8.0
    cpu_clock.now += 0.01
    assert timer.seconds == pytest.approx(0.02)


def test_a_timer_measures_the_processor_time_of_its_own_thread():
    timer = WorkTimer()
    time.sleep(0.2)
    assert timer.seconds < 0.1
