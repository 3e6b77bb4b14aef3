"""SIP datagrams are handled for a limited time in each turn of the loop, urgent ones first."""

from collections.abc import Callable

import pytest

from telephony.aio.datagram_turns import TURN_S, DatagramTurns


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


def test_a_datagram_that_takes_longer_than_a_turn_does_not_stop_the_next_ones():
    loop = Loop(TURN_S * 10)
    for number in range(3):
        loop.turns.add(number)
    assert loop.handled == [0]
    loop.turn()
    loop.turn()
    assert loop.handled == [0, 1, 2]


def test_a_datagram_that_comes_while_another_is_handled_is_handled_after_it():
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


def test_an_error_in_one_datagram_does_not_stop_the_next_ones():
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
