"""The messages between the finaliser and a worker arrive unchanged."""

import asyncio
import socket

import msgspec
import pytest

from galwad.finaliser.process import folders_of
from galwad.finaliser.spools import Share
from galwad.finaliser.worker import (
    Beat,
    Done,
    FollowCalls,
    MessageStream,
    Order,
    Report,
    SealCall,
    SetUp,
    WorkOfAll,
    restored,
    stored,
)
from galwad.messages import Alarm


@pytest.fixture
async def ends():
    """The finaliser's end and the worker's end."""
    made: list[MessageStream] = []
    for one, kind in zip(socket.socketpair(), (Report, Order), strict=True):
        streams = await asyncio.open_unix_connection(sock=one)
        made.append(MessageStream(*streams, msgspec.msgpack.Decoder(kind)))
    yield made
    for each in made:
        await each.close()


def test_folders_sent_to_a_worker_arrive_unchanged(site):
    folders = folders_of(site.settings)
    assert restored(stored(folders)) == folders


async def test_orders_and_reports_arrive_unchanged_and_in_order(ends, site):
    ours, theirs = ends
    folders = stored(folders_of(site.settings))
    work = WorkOfAll(folders, (1, 2), "galwad", "galwad 1", "key", 0.5, json_logs=True)
    orders = [SetUp(work, Share(1, 2), 99), SealCall(1, "a call"), FollowCalls(2)]
    reports = [Beat(), Done(2), Done(1, Alarm("recording.not_sealed", "a call", "why"))]
    for order in orders:
        ours.send(order)
    for report in reports:
        theirs.send(report)
    assert [await theirs.receive() for _ in orders] == orders
    assert [await ours.receive() for _ in reports] == reports


async def test_messages_end_when_the_other_end_is_closed(ends):
    ours, theirs = ends
    ours.send(SealCall(1, "a call"))
    await ours.close()
    assert await theirs.receive() == SealCall(1, "a call")
    assert await theirs.receive() is None
