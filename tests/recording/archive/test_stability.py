"""Recordings that other processes work on: a check waits and reports no false fault."""

from __future__ import annotations

import os
import time
from operator import attrgetter

import pytest

from helpers.recording.clock import Clock
from recording.archive import verify as in_motion
from recording.archive.disposal import AuditPlace, DisposalOrder, Disposer
from recording.archive.verify import check_when_stable

CALL_ID = "20260301-090000-abcdefgh"


@pytest.fixture
def sealed(office):
    """An office with one recording."""
    office.seal(office.simple())
    return office


def path(office, suffix):
    return office.folder / f"{CALL_ID}.{suffix}"


@pytest.fixture
def clock(sealed, monkeypatch):
    """A clock in place of the system's."""
    clock = Clock(sealed.folder)
    monkeypatch.setattr(in_motion, "time", clock)
    return clock


def looked(office):
    """Return the final verdict, and the list of all verdicts up to it."""
    seen = []

    def look():
        seen.append(office.verdict())
        return seen[-1]

    return check_when_stable(
        look, attrgetter("has_unexplained_damage"), office.folder, CALL_ID
    ), seen


def test_a_check_waits_for_a_recording_that_is_being_sealed(sealed, clock):
    manifest = path(sealed, "manifest").read_bytes()
    path(sealed, "manifest").unlink()
    path(sealed, "manifest.new").write_bytes(manifest)
    clock.work = lambda: path(sealed, "manifest.new").rename(path(sealed, "manifest"))
    verdict, seen = looked(sealed)
    assert seen[0].problems == ("the manifest is missing",)
    assert verdict.whole


def test_a_check_waits_for_a_recording_that_is_being_disposed_of(sealed, clock, dying):
    disposals = Disposer(sealed.root / "archive", sealed.node)
    payload = sealed.verdict().manifest.payload
    audit = AuditPlace("galwad-1", 1, "0" * 64)
    order = DisposalOrder(CALL_ID, payload.sha256, "mistake", "user:gwen", audit)
    with dying("rename", 1) as died:
        disposals.dispose(order)
    assert died
    assert sealed.verdict().whole
    with dying("sync_folder", 2) as died:  # the header is gone, or about to go
        disposals.dispose(order)
    path(sealed, "header").write_bytes(b"not overwritten yet")
    clock.work = lambda: disposals.dispose(order)
    verdict, seen = looked(sealed)
    assert "exists again" in seen[0].problems[0]
    assert (verdict.has_unexplained_damage, verdict.disposal is not None) == (False, True)


def test_damage_in_an_idle_recording_is_reported_once_without_retrying(sealed, monkeypatch):
    path(sealed, "header").unlink()
    monkeypatch.setattr(in_motion, "QUIET_S", 0.05)
    time.sleep(0.1)
    verdict, seen = looked(sealed)
    assert verdict.problems == ("the header is missing",)
    assert len(seen) == 1


def test_damage_is_reported_even_if_the_files_are_dated_in_the_future(sealed, clock):
    path(sealed, "header").unlink()
    for each in sealed.folder.iterdir():
        os.utime(each, (4e9, 4e9))
    verdict, seen = looked(sealed)
    assert verdict.has_unexplained_damage
    assert len(seen) == 2
