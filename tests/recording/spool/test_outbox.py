"""Events that wait in memory while the disk refuses them, and reach the spool in order."""

import pytest

from recording.spool import EventRecord, read_spool
from recording.spool import outbox as outbox_module
from recording.spool.outbox import SpoolOutbox


@pytest.fixture
def outbox(spools, monkeypatch):
    monkeypatch.setattr(outbox_module, "_MAX_WAITING", 10)
    return SpoolOutbox(spools.writer)


def written(spools, outbox):
    writer = outbox.drain()
    writer.close(1000)
    with read_spool(writer.path, boot_key=spools.boot_key) as records:
        return [(each.kind, each.at_us) for each in records if isinstance(each, EventRecord)]


def test_events_above_the_limit_are_dropped_oldest_first(spools, outbox):
    for at_us in range(15):
        outbox.put("pulse", {}, at_us)
    assert written(spools, outbox) == [("pulse", at_us) for at_us in range(5, 15)]


def test_the_call_and_answered_events_are_never_dropped(spools, outbox):
    outbox.put("call", {"number": "01632960001"}, 0)
    outbox.put("pulse", {}, 1)
    outbox.put("answered", {"advisor": "sian"}, 2)
    for at_us in range(3, 40):
        outbox.put("pulse", {}, at_us)
    events = written(spools, outbox)
    assert events[:2] == [("call", 0), ("answered", 2)]
    assert events[2:] == [("pulse", at_us) for at_us in range(32, 40)]
