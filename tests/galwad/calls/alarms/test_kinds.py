"""Each kind of alarm that a process can raise is in the table of kinds, and in the guide.

Covers `galwad/calls/alarms/kinds.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from galwad.calls.alarms.kinds import ENDS, KINDS, Severity, kind_of, may_see

ROOT = Path(__file__).parents[4]
GUIDE = ROOT / "docs" / "operations" / "alarms.md"
ROW = re.compile(r"^\| (`[^|]+) \| ([a-z]+) \| ([^|]+) \|", re.MULTILINE)
ENDINGS = {
    "person": "a person",
    "event": "`",
    "pause": "the end of the pause",
    "recording": "recording again",
    "call": "the end of the call",
    "indexed": "the recording in the index",
    "delivered": "an event delivered",
    "decision": "a decision about the note",
}


def rows():
    """Return the severity and the ending of each kind, as the guide names them."""
    return {
        kind: (severity, ending)
        for names, severity, ending in ROW.findall(GUIDE.read_text(encoding="utf-8"))
        for kind in re.findall(r"`([a-z_.]+)`", names)[:1]
    }


def test_the_guide_names_the_severity_and_the_ending_of_each_kind():
    guide = rows()
    assert guide.keys() == KINDS.keys()
    for name, kind in KINDS.items():
        severity, ending = guide[name]
        assert severity == kind.severity, name
        assert ENDINGS[kind.ending] in ending, name


def test_every_kind_that_the_code_raises_is_in_the_table():
    raised = re.compile(r'(?:\b_?(?:alarm|warn)|\bAlarm)\(\s*"([a-z_]+\.[a-z_]+)"')
    found = {
        kind
        for file in (ROOT / "galwad").rglob("*.py")
        for kind in raised.findall(file.read_text(encoding="utf-8"))
    }
    assert len(found) > 20
    assert found <= KINDS.keys() | ENDS.keys()


def test_each_kind_that_an_opposite_event_ends_has_event_as_its_ending():
    for kind in ENDS.values():
        assert KINDS[kind].ending == "event"


def test_an_unknown_kind_is_a_warning_for_supervisors_that_a_person_closes():
    kind = kind_of("never.heard.of")
    assert (kind.severity, kind.audience, kind.ending) == (
        Severity.WARNING,
        "supervisors",
        "person",
    )


@pytest.mark.parametrize(
    ("kind", "detail", "subject"),
    [
        ("peer.down", "pbx [2001:db8::1]:5060: SIP status 408", "pbx [2001:db8::1]:5060"),
        ("trunk.unregistered", "north: /etc/north.pw: permission denied", "north"),
        ("recording.fault", "the disk: full", ""),
    ],
)
def test_the_subject_of_an_alarm_is_the_name_at_the_beginning_of_its_detail(kind, detail, subject):
    assert kind_of(kind).subject_of(detail) == subject


@pytest.mark.parametrize(
    ("audience", "seen_by"),
    [
        ("own", {(False, True), (True, True)}),
        ("supervisors", {(False, True), (True, False), (True, True)}),
        ("everybody", {(False, False), (False, True), (True, False), (True, True)}),
    ],
)
def test_an_alarm_is_seen_by_its_audience(audience, seen_by):
    people = {(supervises, concerned) for supervises in (0, 1) for concerned in (0, 1)}
    seen = {
        (bool(supervises), bool(concerned))
        for supervises, concerned in people
        if may_see(audience, supervises=bool(supervises), concerned=bool(concerned))
    }
    assert seen == seen_by
