"""Checkpoints of calls on disk: found again, removed, unreadable, or without room.

Covers `galwad/switch/call/checkpoints.py`.
"""

import errno
import os

import msgspec
import pytest
from msgspec import structs

from galwad.messages import CallerFacts, Party
from galwad.switch.call.appended_files import LastingDialogs
from galwad.switch.call.checkpoints import (
    AnsweredState,
    CallPause,
    CallPhase,
    Checkpoint,
    CheckpointStore,
    EndedCheckpoint,
    UnreadableCheckpoint,
)
from galwad.switch.edge.admission import Admission
from recording.policy import DestinationClass, GapReason, ShutCause, ShutCauses, Trigger

ADMISSION = Admission(
    caller=CallerFacts("01632960001", "trunk.example", asserted=("01632960001",), trusted=True),
    called="01970000000",
    trusted=True,
    phone=False,
    recorded=True,
    source_rule="sdp-host",
    srtp="off",
)
RINGING = Checkpoint(
    admission=ADMISSION,
    started=1.5,
    early_pauses=(CallPause("user:sian", Trigger.PAGE, "user:sian"),),
    legs=msgspec.Raw(b'{"legs":[1]}'),
)
TALKING = Checkpoint(
    admission=ADMISSION,
    started=1.5,
    legs=msgspec.Raw(b'{"legs":[1]}'),
    answered=AnsweredState(
        phase=CallPhase.HELD,
        since=2.5,
        advisor=Party("201", "sian"),
        group=(Party("202", "ceri"),),
        target=None,
        identity="201",
        referred_to=DestinationClass.DEPARTMENT,
        outside=True,
        lives=1,
        shut_causes=ShutCauses(
            (("user:sian", ShutCause(GapReason.PAYMENT, Trigger.API, "user:sian")),),
            referral=ShutCause(GapReason.TRANSFER, Trigger.REFER, "phone:201"),
        ),
    ),
)


def test_the_checkpoint_of_a_call_that_ended_before_the_switch_was_killed_is_marked_as_ended(
    tmp_path,
):
    store = CheckpointStore(tmp_path)
    store.save("one", TALKING)
    store.mark_ended("one")
    assert list(CheckpointStore(tmp_path).left_behind()) == [("one", EndedCheckpoint(TALKING))]
    store.remove("one")
    store.mark_ended("one")
    assert list(CheckpointStore(tmp_path).left_behind()) == []


@pytest.mark.parametrize("checkpoint", [RINGING, TALKING])
def test_a_checkpoint_of_a_killed_switch_is_loaded_by_the_next_switch_process(tmp_path, checkpoint):
    CheckpointStore(tmp_path).save("one", checkpoint)
    assert list(CheckpointStore(tmp_path).left_behind()) == [("one", checkpoint)]


async def test_only_the_dialogs_of_an_answered_call_are_stored_on_the_disk(tmp_path):
    lasting = LastingDialogs(tmp_path / "dialogs.jsonl")
    store = CheckpointStore(tmp_path / "calls", lasting)
    legs = msgspec.Raw(b'{"legs":[{"dialog":{"local_cseq":1}}]}')
    store.save("ringing", structs.replace(RINGING, legs=legs))
    store.save("talking", structs.replace(TALKING, legs=legs))
    (call,) = lasting.lost(())
    assert (call.call_id, call.answered_at, call.recorded) == ("talking", 2.5, True)


def test_an_ended_call_leaves_no_checkpoint(tmp_path):
    checkpoints = CheckpointStore(tmp_path)
    checkpoints.save("one", RINGING)
    checkpoints.save("one", TALKING)
    checkpoints.remove("one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damaged", "legs"),
    [
        (b'{"legs"', {}),
        (b'{"version": 1, "legs": []}', {}),
        (b'{"from another release": 1, "legs": {"legs": [2]}}', {"legs": [2]}),
        (b"\xff", {}),
    ],
)
def test_an_unreadable_checkpoint_is_deleted_and_its_readable_legs_are_returned(
    tmp_path, damaged, legs
):
    checkpoints = CheckpointStore(tmp_path)
    checkpoints.save("one", RINGING)
    (tmp_path / "two.call").write_bytes(damaged)
    assert dict(checkpoints.left_behind()) == {"one": RINGING, "two": UnreadableCheckpoint(legs)}
    assert not (tmp_path / "two.call").exists()


def test_checkpoints_are_readable_only_by_the_switch(tmp_path):
    CheckpointStore(tmp_path / "calls").save("one", TALKING)
    (file,) = (tmp_path / "calls").iterdir()
    assert file.stat().st_mode & 0o077 == 0


REAL = os.write


def no_room(_descriptor, _data):
    raise OSError(errno.ENOSPC, "No space left on device")


def only_a_part(descriptor, data):
    return (
        no_room(descriptor, data) if os.fstat(descriptor).st_size else REAL(descriptor, data[:20])
    )


@pytest.mark.parametrize("disk", [no_room, only_a_part])
def test_an_outdated_checkpoint_is_invalidated_when_the_disk_has_no_room_for_the_new(
    tmp_path, monkeypatch, disk
):
    checkpoints = CheckpointStore(tmp_path)
    checkpoints.save("one", RINGING)
    with monkeypatch.context() as full:
        full.setattr(
            os, "write", lambda fd, data: disk(fd, data) if len(data) > 1 else REAL(fd, data)
        )
        checkpoints.save("one", TALKING)
        checkpoints.save("two", TALKING)
    assert list(CheckpointStore(tmp_path).left_behind()) == [
        ("one", UnreadableCheckpoint({"legs": [1]}))
    ]
    assert list(tmp_path.iterdir()) == []
    checkpoints.save("one", TALKING)
    assert list(CheckpointStore(tmp_path).left_behind()) == [("one", TALKING)]


def test_a_half_written_checkpoint_is_deleted_at_the_next_start(tmp_path):
    (tmp_path / "one.new").write_bytes(b"{")
    assert list(CheckpointStore(tmp_path).left_behind()) == []
    assert list(tmp_path.iterdir()) == []
