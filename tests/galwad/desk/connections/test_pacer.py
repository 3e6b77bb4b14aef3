"""The pacer begins only a few requests of strangers in each round of the event loop."""

from __future__ import annotations

import asyncio

from galwad.desk.connections.pacer import AT_ONCE, Pacer


async def test_other_work_comes_between_groups_of_strangers():
    pacer, order = Pacer(), []

    async def stranger(number):
        await pacer.turn()
        order.append(number)

    async def other():
        for _ in range(6):
            await asyncio.sleep(0)
            order.append("other")

    async with asyncio.timeout(5):
        await asyncio.gather(*(stranger(number) for number in range(5 * AT_ONCE)), other())
    strangers = [each for each in order if each != "other"]
    assert strangers == list(range(5 * AT_ONCE))
    groups = "".join("o" if each == "other" else "s" for each in order).split("o")
    assert max(map(len, groups)) <= AT_ONCE


async def test_a_stranger_that_leaves_while_it_waits_takes_no_turn():
    pacer = Pacer()
    waiting = [asyncio.create_task(pacer.turn()) for _ in range(3 * AT_ONCE)]
    await asyncio.sleep(0)
    for each in waiting[:-1]:
        each.cancel()
    async with asyncio.timeout(5):
        await waiting[-1]
        await pacer.turn()
    await asyncio.gather(*waiting, return_exceptions=True)
