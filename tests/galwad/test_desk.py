"""The sequence in which the subjects of the desk handle what happens.

Covers `galwad/desk.py` and the classes in the `subject.py` of each subject.
"""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from galwad.archive.coverage import CoverageChecker
from galwad.calls.alarms.alarm_list import AlarmList
from galwad.calls.ledger_writer import LedgerWriter
from galwad.calls.live_calls import LiveCalls
from galwad.calls.log.call_log import CallLog
from galwad.calls.presence.board import PresenceBoard
from galwad.desk import Desk
from galwad.events.webhooks import Webhooks
from galwad.host.call_follower import CallFollower
from galwad.messages import CallChanged, CallEnded, CallsSnapshot, Sealed
from galwad.notes.store import NoteStore
from galwad.page.events import EventHub
from helpers.database import create_database
from helpers.desk import FakeSwitch, settings_in

CALL = "20261125-101500-aaaaaaaa"
SEALED = Sealed(
    call_id=CALL,
    folder="2026/11/25",
    started=1_800_000_000.0,
    talk_us=60_000_000,
    interrupted=False,
    number="01632960001",
    line="Council Tax",
    advisor="sian",
    extension="201",
    gaps=(),
    payload_size=256_000,
    payload_sha256="a" * 64,
    manifest_sha256="b" * 64,
    unexplained_us=1,
)


@pytest.fixture
def seen(monkeypatch):
    """The watched methods that were called, in their sequence."""
    seen = []

    def watch(kind, name):
        real = getattr(kind, name)

        def watched(self, *arguments, **more):
            seen.append(f"{kind.__name__}.{name}")
            return real(self, *arguments, **more)

        monkeypatch.setattr(kind, name, watched)

    for kind, names in (
        (LedgerWriter, ("snapshot", "ended", "call")),
        (LiveCalls, ("snapshot", "changed", "ended", "set_recording_link")),
        (EventHub, ("call",)),
        (AlarmList, ("calls_known", "call_changed", "ended", "start", "stop")),
        (CallLog, ("received", "call_changed", "sealed")),
        (Webhooks, ("received", "sealed", "start", "stop")),
        (NoteStore, ("open_notes", "open_note")),
        (PresenceBoard, ("start",)),
        (CallFollower, ("stop",)),
        (CoverageChecker, ("unexplained_reported",)),
    ):
        for name in names:
            watch(kind, name)
    return seen


@pytest.fixture
def desk(tmp_path, seen):
    settings = settings_in(tmp_path)
    create_database(settings.database)
    return Desk(settings)


@pytest.fixture
def call(tmp_path):
    switch = FakeSwitch(tmp_path / "switch.sock")
    switch.ring(CALL)
    switch.answer(CALL, "201", "sian")
    return switch.calls[CALL]


async def test_messages_about_calls_are_handled_in_a_fixed_sequence_with_the_logs_last(
    desk, seen, call
):
    received = ["CallLog.received", "Webhooks.received"]
    desk.host._from_switch(CallsSnapshot(()))
    assert seen == [
        *("LedgerWriter.snapshot", "LiveCalls.snapshot", "AlarmList.calls_known"),
        *received,
    ]
    seen.clear()
    desk.host._from_switch(CallChanged(call))
    changed = ["EventHub.call", "LedgerWriter.call", "CallLog.call_changed"]
    assert seen == ["LiveCalls.changed", *changed, *received]
    seen.clear()
    desk.host._from_switch(CallEnded(CALL, 1_800_000_065.0, answered=True))
    assert seen == [
        *("LedgerWriter.ended", "LiveCalls.ended"),
        *("EventHub.call", "AlarmList.call_changed", "LedgerWriter.call", "CallLog.call_changed"),
        *received,
    ]
    await desk.host.stop()


async def test_an_indexed_recording_is_logged_and_its_events_stored_before_all_else(desk, seen):
    await desk.archive.indexed([SEALED])
    changes = (
        *("EventHub.call", "AlarmList.call_changed"),
        *("LedgerWriter.call", "CallLog.call_changed"),
    )
    watched = [each for each in seen if each not in changes]
    assert watched == [
        *("CallLog.sealed", "Webhooks.sealed", "AlarmList.ended"),
        "CoverageChecker.unexplained_reported",
        *("NoteStore.open_note", "LiveCalls.set_recording_link"),
    ]
    await desk.host.stop()


async def test_a_recording_whose_events_are_not_stored_is_not_counted(desk, seen, monkeypatch):
    async def fail(reports):
        raise OperationalError("INSERT", None, Exception("full"))

    monkeypatch.setattr(desk.events.webhooks, "sealed", fail)
    with pytest.raises(OperationalError):
        await desk.archive.indexed([SEALED])
    assert b"galwad_desk_recordings_indexed_total 0.0" in desk.host.metrics.text()
    assert "AlarmList.ended" not in seen
    await desk.host.stop()


async def test_parts_of_the_desk_start_after_open_notes_are_read_and_stop_in_a_fixed_sequence(
    desk, seen
):
    socket = desk.host.settings.desk_socket

    async def last():
        assert "Webhooks.start" in seen
        assert not socket.exists()

    desk.host.on_start(last)
    await desk.host.start()
    assert socket.exists()
    started = ["NoteStore.open_notes", "AlarmList.start", "PresenceBoard.start", "Webhooks.start"]
    assert [each for each in seen if each in started] == started
    seen.clear()
    await desk.host.stop()
    ends = ["Webhooks.stop", "CallFollower.stop", "AlarmList.stop"]
    assert [each for each in seen if each in ends] == ends
