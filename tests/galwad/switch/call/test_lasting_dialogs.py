"""The dialogs of answered calls are on the disk until the calls end, and damage costs one call."""

from __future__ import annotations

import asyncio
import contextlib
import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galwad.switch.call import appended_files
from galwad.switch.call.appended_files import LastingDialogs
from helpers.file_sizes import file_size_limit


def keep(dialogs, call_id, *cseqs):
    """Store a call with one dialog for each of these CSeq numbers."""
    legs = [{"dialog": {"local_cseq": cseq}, "media": {"theirs": "v=0"}} for cseq in cseqs]
    raw = msgspec.Raw(msgspec.json.encode({"legs": legs}))
    dialogs.keep(call_id, raw, answered_at=1e9, recorded=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dialogs.jsonl"


@pytest.fixture
def stored(path):
    """Return a function that returns the calls that a new process finds, with their dialogs."""
    return lambda: {call.call_id: call.dialogs for call in LastingDialogs(path).lost(())}


async def test_only_the_newest_dialogs_of_a_call_are_found_after_a_restart(path, stored):
    dialogs = LastingDialogs(path)
    keep(dialogs, "one", 1, 2)
    await dialogs.write()
    keep(dialogs, "one", 3, 2)
    keep(dialogs, "two", 7)
    await dialogs.write()
    assert stored() == {"one": ({"local_cseq": 3}, {"local_cseq": 2}), "two": ({"local_cseq": 7},)}
    assert b"v=0" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_an_unchanged_call_is_not_written_again(path):
    dialogs = LastingDialogs(path)
    keep(dialogs, "one", 1)
    await dialogs.write()
    size = path.stat().st_size
    keep(dialogs, "one", 1)
    await dialogs.write()
    assert path.stat().st_size == size


async def test_the_file_is_empty_when_no_call_is_in_progress(path, stored):
    dialogs = LastingDialogs(path)
    keep(dialogs, "one", 1)
    keep(dialogs, "two", 1)
    await dialogs.write()
    dialogs.remove("one")
    await dialogs.write()
    assert set(stored()) == {"two"}
    dialogs.remove("two")
    await dialogs.write()
    assert path.read_bytes() == b""


async def test_a_large_file_is_rewritten_without_the_calls_that_have_ended(
    path, stored, monkeypatch
):
    monkeypatch.setattr(appended_files, "_LARGE_BYTES", 2000)
    dialogs = LastingDialogs(path)
    keep(dialogs, "lasting", 1)
    for number in range(200):
        keep(dialogs, f"call-{number}", 1)
        await dialogs.write()
        dialogs.remove(f"call-{number}")
        await dialogs.write()
    assert path.stat().st_size < 2500
    assert set(stored()) == {"lasting"}


async def test_changes_are_written_by_the_task_and_at_the_end_of_the_process(
    path, stored, monkeypatch
):
    monkeypatch.setattr(appended_files, "PATIENCE_S", 0.0)
    dialogs = LastingDialogs(path)
    task = asyncio.create_task(dialogs.run())
    keep(dialogs, "one", 1)
    async with asyncio.timeout(60):
        while not stored():  # noqa: ASYNC110 - a file tells nobody that it changed
            await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    keep(dialogs, "two", 1)
    dialogs.close()
    assert set(stored()) == {"one", "two"}


async def test_the_file_is_empty_at_the_end_of_a_process_without_calls(path):
    dialogs = LastingDialogs(path)
    dialogs.close()
    keep(dialogs, "one", 1)
    await dialogs.write()
    dialogs.remove("one")
    dialogs.close()
    assert path.read_bytes() == b""


async def test_after_a_full_disk_all_changes_are_written(path, stored):
    dialogs = LastingDialogs(path)
    keep(dialogs, "one", 1)
    await dialogs.write()
    with file_size_limit(path.stat().st_size + 5):
        keep(dialogs, "two", 2)
        assert not await dialogs.write()
        keep(dialogs, "three", 3)
        assert not await dialogs.write()
    assert set(stored()) == {"one"}
    assert await dialogs.write()
    assert set(stored()) == {"one", "two", "three"}


def test_a_line_that_a_power_cut_interrupted_loses_only_its_own_change(path, stored):
    lines = [{"call_id": "one", "dialogs": [{}]}, {"call_id": "two", "dialogs": [{}]}]
    whole = b"".join(b"\n" + json.dumps(line).encode() for line in lines)
    path.write_bytes(
        whole[:-9] + b"\n" + json.dumps({"call_id": "three", "dialogs": [{}]}).encode()
    )
    assert set(stored()) == {"one", "three"}


async def test_a_file_that_cannot_be_read_counts_as_a_file_without_calls(path, stored):
    path.mkdir()
    assert stored() == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary()
    | st.lists(st.sampled_from([b"[", b'{"call_id":', b"\n", b"\xff"])).map(b"".join)
)
def test_arbitrary_data_in_the_file_raises_nothing(path, stored, data):
    path.write_bytes(data)
    assert stored() == {}


def test_deeply_nested_data_in_the_file_raises_nothing(path, stored):
    path.write_bytes(b'{"call_id":"one","dialogs":[{"a":' + b"[" * 100_000)
    assert stored() == {}
