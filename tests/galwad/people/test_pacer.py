"""The pacer begins one request of each client, and only a few in all, in a round of the loop."""

from __future__ import annotations

import asyncio
from itertools import chain

from galwad.people.session_layer import AT_ONCE, Pacer


async def begin(pacer, clients, rounds=30):
    """Let a request of each of these clients wait; return who began in each round of the loop."""
    begun, order = [], []

    async def request(client):
        await pacer.turn(client)
        begun.append(client)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(request(client))
        for _ in range(rounds):
            await asyncio.sleep(0)
            order.append(begun[:])
            begun.clear()
    return [each for each in order if each]


async def test_only_one_request_of_strangers_begins_in_a_round():
    assert await begin(Pacer(), [""] * 20) == [[""]] * 20


async def test_a_users_request_does_not_wait_for_the_many_requests_of_another():
    order = await begin(Pacer(), ["sian"] * 20 + [""] * 20 + ["mair"])
    assert order[0] == ["sian", "", "mair"]
    assert order[1:] == [["sian", ""]] * 19


async def test_only_a_few_requests_begin_in_a_round_and_all_clients_take_turns():
    clients = [f"user {number}" for number in range(2 * AT_ONCE + 1)]
    order = await begin(Pacer(), clients * 2)
    assert max(map(len, order)) == AT_ONCE
    assert list(chain.from_iterable(order)) == clients * 2


async def test_a_client_that_leaves_while_it_waits_takes_no_turn():
    pacer = Pacer()
    waiting = [asyncio.create_task(pacer.turn("")) for _ in range(3 * AT_ONCE)]
    await asyncio.sleep(0)
    for each in waiting[:-1]:
        each.cancel()
    async with asyncio.timeout(60):
        await waiting[-1]
        await pacer.turn("")
    await asyncio.gather(*waiting, return_exceptions=True)
    assert [each.cancelled() for each in waiting] == [True] * (3 * AT_ONCE - 1) + [False]
