"""Turns of sign-ins on the event loop: waiting, leaving, and being turned away."""

from __future__ import annotations

import asyncio

import pytest

from galwad.people.sign_in import order as sign_in_order
from galwad.people.sign_in.order import SignInAttempt, digest_of
from galwad.people.sign_in.queue import SignInQueue, TurnedAwayError
from galwad.people.sign_in.throttle import Throttle

HOME, AWAY = "192.0.2.7", "203.0.113.66"


class Busy:
    """A queue whose turn is taken until `free` is set, and those who wait for it."""

    def __init__(self):
        self.queue = SignInQueue(Throttle())
        self.free = asyncio.Event()
        self.order = []

    async def take(self):
        async with self.queue.turn(attempt("first", device="d")):
            await self.free.wait()

    async def join(self, name, address=AWAY, **more):
        async with self.queue.turn(attempt(name, address, **more)) as turn:
            turn.right = True
            self.order.append(name)


def attempt(account, address=HOME, *, device="", known=True):
    return SignInAttempt(account, address, device, known, digest_of(account, "right"))


@pytest.fixture
async def busy(monkeypatch):
    monkeypatch.setattr(sign_in_order, "REST", 0.0)
    busy = Busy()
    taking = asyncio.create_task(busy.take())
    await asyncio.sleep(0)
    yield busy
    busy.free.set()
    await taking


async def start(*coroutines):
    tasks = []
    for each in coroutines:
        tasks.append(asyncio.create_task(each))
        await asyncio.sleep(0.001)
    return tasks


async def test_sign_ins_have_their_turns_one_after_another(busy):
    tasks = await start(busy.join("a"), busy.join("sian", HOME, device="device"), busy.join("b"))
    assert busy.order == []
    busy.free.set()
    await asyncio.gather(*tasks)
    assert busy.order == ["sian", "b", "a"]


async def test_a_sign_in_that_makes_room_is_turned_away_and_the_others_have_their_turns(
    busy, monkeypatch
):
    monkeypatch.setitem(sign_in_order._MOST, sign_in_order._Kind.KNOWN, 2)
    tasks = await start(busy.join("a"), busy.join("b"), busy.join("c"))
    with pytest.raises(TurnedAwayError):
        await tasks[0]
    busy.free.set()
    await asyncio.gather(*tasks[1:])
    assert busy.order == ["c", "b"]


async def test_a_sign_in_that_waits_for_too_long_is_turned_away(busy, monkeypatch):
    monkeypatch.setitem(sign_in_order._LONGEST_WAIT_S, sign_in_order._Kind.KNOWN, 0.05)
    (task,) = await start(busy.join("a"))
    await asyncio.sleep(0.1)
    busy.free.set()
    with pytest.raises(TurnedAwayError):
        await task
    assert busy.order == []


async def test_a_client_that_leaves_gives_up_its_place_or_passes_its_turn_on(busy):
    first, second, third = await start(busy.join("a"), busy.join("b"), busy.join("c"))
    first.cancel()
    await asyncio.sleep(0)
    busy.free.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert busy.order == ["c", "b"]
    async with asyncio.timeout(60):
        await busy.join("d")


async def test_a_turn_that_is_given_to_a_client_as_it_leaves_is_passed_on(busy):
    first, second = await start(busy.join("a"), busy.join("b"))
    busy.queue._busy = False
    busy.queue._pass_on()
    second.cancel()
    async with asyncio.timeout(60):
        await first
    assert busy.order == ["a"]


async def test_a_sign_in_waits_for_the_pace_of_its_device(monkeypatch):
    monkeypatch.setattr("galwad.people.sign_in.throttle.KNOWN_PACE_S", 0.1)
    throttle = Throttle()
    queue, clock = SignInQueue(throttle), asyncio.get_running_loop().time
    for _ in range(10):
        throttle.failed("sian", HOME, "device")
    began = clock()
    async with asyncio.timeout(60), queue.turn(attempt("sian", device="device")):
        assert clock() - began >= 0.09
