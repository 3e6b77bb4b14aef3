"""Messages for an absent desk: kept across restarts, bounded, and without delay for calls."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad import link
from galwad.messages import CallEnded, CallsSnapshot, Hello, LedgerHas, own_version
from galwad.switch.call import appended_files
from galwad.switch.call.appended_files import LedgerOutbox
from galwad.switch.call.commands import DeskCommands
from galwad.switch.life.link_server import LinkServer
from helpers.file_sizes import file_size_limit

PATIENCE_S = 60


def ended(index):
    return CallEnded(f"20261125-101500-{index:08}", 1e9 + index, True, 60_000_000, for_ledger=True)


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(appended_files, "PATIENCE_S", 0.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ended.jsonl"


@pytest.fixture
def forgotten():
    return []


@pytest.fixture
def begin(path, forgotten):
    """Opens the outbox as a new switch process does."""
    return lambda: LedgerOutbox(path, lambda: forgotten.append("told"))


@contextlib.asynccontextmanager
async def at_work(box):
    task = asyncio.create_task(box.run())
    yield
    task.cancel()


async def until(true):
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - a file tells nobody that it changed
            await asyncio.sleep(0.001)


async def test_waiting_messages_survive_a_restart_in_a_private_file(begin, path):
    first = begin()
    async with at_work(first):
        for index in range(3):
            first.keep(ended(index))
            await until(lambda: not first.unwritten)
    second = begin()
    assert second.waiting == tuple(ended(index) for index in range(3))
    assert path.stat().st_mode & 0o007 == 0


async def test_entered_calls_are_removed_and_the_file_is_emptied_after_the_last(begin, path):
    first = begin()
    async with at_work(first):
        first.keep(ended(0))
        first.keep(ended(1))
        await until(lambda: path.exists() and not first.unwritten)
        first.remove([ended(0).call_id])
        assert first.waiting == (ended(1),)
        first.remove([ended(1).call_id, "20261125-101500-strangerr"])
        await until(lambda: path.stat().st_size == 0)
    assert begin().waiting == ()


async def test_a_call_that_the_desk_enters_at_once_is_not_written_to_disk(begin, path):
    box = begin()
    async with at_work(box):
        box.keep(ended(0))
        box.remove([ended(0).call_id])
        await asyncio.sleep(0.05)
    assert not path.exists()


async def test_the_file_of_an_earlier_process_is_emptied_when_its_calls_are_entered(begin, path):
    first = begin()
    first.keep(ended(0))
    first.close()
    second = begin()
    async with at_work(second):
        second.remove([ended(0).call_id])
        await until(lambda: path.stat().st_size == 0)


@given(st.integers(0, 400), st.integers(1, 4))
async def test_a_line_that_a_crash_cut_short_damages_no_other_line(tmp_path_factory, cut, count):
    path = tmp_path_factory.mktemp("outbox") / "ended.jsonl"
    for index in range(count):
        box = LedgerOutbox(path, lambda: None)
        box.keep(ended(index))
        box.close()
    data = path.read_bytes()
    left = max(0, len(data) - cut)
    path.write_bytes(data[:left])
    again = LedgerOutbox(path, lambda: None)
    whole = left * count // len(data)
    assert {call.call_id for call in again.waiting} >= {
        ended(index).call_id for index in range(whole)
    }
    again.keep(ended(9))
    again.close()
    assert LedgerOutbox(path, lambda: None).waiting[-1] == ended(9)


async def test_a_full_outbox_drops_its_oldest_calls_and_reports_the_loss_once(
    begin, forgotten, monkeypatch
):
    monkeypatch.setattr(appended_files, "MAX_WAITING", 10)
    box = begin()
    for index in range(25):
        box.keep(ended(index))
    assert box.waiting == tuple(ended(index) for index in range(15, 25))
    assert forgotten == ["told"]
    box.close()
    assert len(begin().waiting) == 10


async def test_a_file_over_the_size_limit_is_rewritten(begin, path, monkeypatch):
    monkeypatch.setattr(appended_files, "_MAX_FILE_BYTES", 1000)
    box = begin()
    async with at_work(box):
        for index in range(200):
            box.keep(ended(index))
            await until(lambda: not box.unwritten)
            box.remove([ended(index - 1).call_id])
    assert path.stat().st_size < 1500
    assert begin().waiting[-1] == ended(199)


async def test_a_full_disk_is_retried_and_leaves_no_partial_line(begin, path):
    box = begin()
    async with at_work(box):
        box.keep(ended(0))
        await until(lambda: not box.unwritten)
        size = path.stat().st_size
        with file_size_limit(size + 20):
            box.keep(ended(1))
            await until(lambda: box.fault_reported)
            await until(lambda: path.stat().st_size == size)  # a retry may be writing
            assert box.waiting == (ended(0), ended(1))
        await until(lambda: not box.unwritten)
    assert begin().waiting == (ended(0), ended(1))


async def test_an_outbox_in_a_missing_folder_reports_a_fault_and_keeps_its_calls(tmp_path):
    box = LedgerOutbox(tmp_path / "nowhere" / "ended.jsonl", lambda: None)
    async with at_work(box):
        box.keep(ended(0))
        await until(lambda: box.fault_reported)
        assert box.waiting == (ended(0),)
    box.close()


class NoCalls:
    """A switch without calls."""

    @staticmethod
    def live_calls():
        return ()

    def desk_lost(self):
        """Take notice that no desk is left."""


class Desk:
    """The desk's end of the link to the switch."""

    def __init__(self, path):
        self.path = path

    async def __aenter__(self):
        reader, writer = await asyncio.open_unix_connection(self.path)
        self.link = link.Link(reader, writer)
        self.link.send(Hello("desk", "0"))
        return self

    async def __aexit__(self, *_):
        await self.link.close()

    async def hear(self, count):
        async with asyncio.timeout(PATIENCE_S):
            return [await self.link.receive() for _ in range(count)]


async def test_a_file_with_too_many_calls_is_cut_at_the_start_and_raises_an_alarm(
    tmp_path, monkeypatch
):
    first = LinkServer(cast("DeskCommands", NoCalls()), tmp_path / "ended.jsonl")
    for index in range(20):
        first.call_ended(ended(index))
    first.outbox.close()
    monkeypatch.setattr(appended_files, "MAX_WAITING", 10)
    links = LinkServer(cast("DeskCommands", NoCalls()), tmp_path / "ended.jsonl")
    server = await links.listen(tmp_path / "switch.sock")
    async with Desk(tmp_path / "switch.sock") as desk:
        snapshot, alarm, *rest = await desk.hear(12)
    assert (snapshot, alarm.kind) == (CallsSnapshot((), own_version()), "ledger.full")
    assert rest == [ended(index) for index in range(10, 20)]
    server.close()


async def test_ended_calls_are_sent_to_each_new_desk_until_it_has_entered_them(tmp_path):
    links = LinkServer(cast("DeskCommands", NoCalls()), tmp_path / "ended.jsonl")
    server = await links.listen(tmp_path / "switch.sock")
    for index in range(120):
        links.call_ended(ended(index))
    links.call_ended(CallEnded("20261125-101500-unanswrd", 1e9, False))
    for _ in range(2):
        async with Desk(tmp_path / "switch.sock") as desk:
            first, *rest = await desk.hear(121)
            assert first == CallsSnapshot((), own_version())
            assert rest == [ended(index) for index in range(120)]
    async with Desk(tmp_path / "switch.sock") as desk:
        await desk.hear(121)
        desk.link.send(LedgerHas(tuple(ended(index).call_id for index in range(119))))
        await until(lambda: links.outbox.waiting == (ended(119),))
    async with Desk(tmp_path / "switch.sock") as desk:
        assert await desk.hear(2) == [CallsSnapshot((), own_version()), ended(119)]
    server.close()
