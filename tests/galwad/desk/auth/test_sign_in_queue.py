"""In which order sign-ins check their passwords."""

from __future__ import annotations

import asyncio
import time

import pytest

from galwad.desk.auth.sign_in_queue import (
    MAX_KNOWN,
    MAX_STRANGERS,
    MAX_STRANGERS_PER_NETWORK,
    REST,
    SignInQueue,
)

HOME, AWAY = "192.0.2.7", "203.0.113.66"


class Busy:
    """A queue whose turn is taken until `free` is set, and those who wait for it."""

    def __init__(self):
        self.queue = SignInQueue()
        self.free = asyncio.Event()
        self.order = []

    async def take(self):
        async with self.queue.turn("first", known=True):
            await self.free.wait()

    async def join(self, name, network=AWAY, *, known=False):
        async with self.queue.turn(network, known=known):
            self.order.append(name)


@pytest.fixture
async def busy():
    busy = Busy()
    taking = asyncio.create_task(busy.take())
    await asyncio.sleep(0)
    yield busy
    busy.free.set()
    await taking


async def start(*coroutines):
    tasks = [asyncio.create_task(each) for each in coroutines]
    await asyncio.sleep(0)
    return tasks


async def test_a_known_client_goes_before_strangers_who_came_first(busy):
    tasks = await start(busy.join("a"), busy.join("b"), busy.join("sian", HOME, known=True))
    busy.free.set()
    await asyncio.gather(*tasks)
    assert busy.order == ["sian", "a", "b"]


async def test_strangers_of_one_network_and_together_have_few_places(busy):
    queue = busy.queue
    tasks = await start(*(busy.join(n) for n in range(MAX_STRANGERS_PER_NETWORK)))
    assert not queue.has_room(AWAY, known=False)
    assert queue.has_room(HOME, known=False)
    more = range(MAX_STRANGERS - MAX_STRANGERS_PER_NETWORK)
    tasks += await start(*(busy.join(n, f"198.51.100.{n}") for n in more))
    assert not queue.has_room(HOME, known=False)
    assert queue.has_room(HOME, known=True)
    busy.free.set()
    await asyncio.gather(*tasks)
    assert queue.has_room(AWAY, known=False)


async def test_even_known_clients_have_a_bounded_number_of_places(busy):
    tasks = await start(*(busy.join(n, HOME, known=True) for n in range(MAX_KNOWN)))
    assert not busy.queue.has_room(HOME, known=True)
    busy.free.set()
    await asyncio.gather(*tasks)


async def test_a_client_that_leaves_gives_up_its_place_or_passes_its_turn_on(busy):
    first, second, third = await start(busy.join("a"), busy.join("b"), busy.join("c"))
    first.cancel()
    await asyncio.sleep(0)
    busy.free.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert busy.order == ["b", "c"]
    async with asyncio.timeout(5):
        await busy.join("d")


async def test_a_turn_that_is_given_to_a_client_as_it_leaves_is_passed_on(busy):
    first, second = await start(busy.join("a"), busy.join("b"))
    busy.queue._pass_on()
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert busy.order == ["b"]


async def test_after_a_strangers_check_other_strangers_wait_longer_but_no_known_client():
    queue, order = SignInQueue(), []

    async def check(name, *, known):
        async with queue.turn(AWAY, known=known):
            order.append((name, time.monotonic()))
            await asyncio.sleep(0.05)

    async with asyncio.timeout(5):
        await check("stranger", known=False)
        ended = time.monotonic()
        await asyncio.gather(check("next", known=False), check("sian", known=True))
    assert [name for name, _ in order] == ["stranger", "sian", "next"]
    assert order[2][1] - ended >= 0.05 * REST
