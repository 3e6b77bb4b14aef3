"""The messages between processes: their form on the wire stays that of the last release."""

from typing import get_args

import msgspec
import pytest

from galwad.messages import (
    AnyMessage,
    CallEnded,
    CallsSnapshot,
    ClaimCall,
    LedgerHas,
    Party,
    Pause,
    PauseReply,
    Resume,
    VerifyRecording,
    WaitingSpool,
    WaitingSpools,
)


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (
            Pause(1, "payment", "api", "pay", call_id="one"),
            {
                "type": "Hold",
                "ref": 1,
                "holder": "payment",
                "trigger": "api",
                "actor": "pay",
                "call_id": "one",
                "extension": "",
                "user": "",
                "arrived_mono": 0.0,
            },
        ),
        (
            Resume(2, "payment", "page", "user:sian", user="sian"),
            {
                "type": "Release",
                "ref": 2,
                "holder": "payment",
                "trigger": "page",
                "actor": "user:sian",
                "call_id": "",
                "extension": "",
                "user": "sian",
            },
        ),
        (
            PauseReply(1, ("one",), "paused", durable=True),
            {"type": "HoldReply", "ref": 1, "calls": ["one"], "state": "paused", "durable": True},
        ),
        (
            ClaimCall("one", Party("201", "sian")),
            {"type": "Take", "call_id": "one", "advisor": {"extension": "201", "user": "sian"}},
        ),
        (
            WaitingSpools((WaitingSpool("x.spool", "one", 1.0),)),
            {
                "type": "SpoolsLeft",
                "spools": [{"name": "x.spool", "call_id": "one", "since": 1.0, "why": ""}],
            },
        ),
        (
            VerifyRecording(3, "one"),
            {"type": "Prove", "ref": 3, "call_id": "one", "node_keys": [], "officer_keys": []},
        ),
        (LedgerHas(("one",)), {"type": "Entered", "call_ids": ["one"]}),
        (CallsSnapshot(()), {"type": "Snapshot", "calls": [], "version": ""}),
        (
            CallEnded("one", 2.0, True, 5, for_ledger=True),
            {
                "type": "CallEnded",
                "call_id": "one",
                "ended": 2.0,
                "answered": True,
                "talk_us": 5,
                "since": 0.0,
                "owed": True,
                "unanswered": "",
                "lost_fork": False,
            },
        ),
    ],
)
def test_a_renamed_message_has_its_old_names_on_the_wire(message, wire):
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message)) == wire
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(wire), type=AnyMessage) == message


def test_the_types_on_the_wire_stay_unchanged():
    assert sorted(kind.__struct_config__.tag for kind in get_args(AnyMessage)) == [
        "Alarm",
        "ArchiveReply",
        "CallChanged",
        "CallEnded",
        "CommitHeader",
        "DialNumber",
        "Dispose",
        "Entered",
        "Figures",
        "Hello",
        "Hold",
        "HoldReply",
        "Indexed",
        "PhoneAct",
        "PhoneReply",
        "PhonesRegistered",
        "Prove",
        "ProveSpools",
        "Release",
        "Sealed",
        "SetAway",
        "SetPhones",
        "Snapshot",
        "SpoolClosed",
        "SpoolsLeft",
        "StageHeader",
        "Take",
        "UsersChanged",
    ]
