"""The advice on each kind of orphan, and on each reason why a spool was not sealed."""

from __future__ import annotations

import pytest

from galwad.archive.rules import fix_of


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("row without files", "restore the files from a copy"),
        ("header of a disposal", "`galwad recordings purge` destroys the header"),
        ("disposal without row", "`galwad recordings purge` completes the disposal"),
        ("archive is empty", "mount the archive's disk again"),
        ("no header", "restore the missing file from a copy"),
        ("manifest without payload", "restore the missing file from a copy"),
        ("spool not sealed", "the journal of galwad-finaliser"),
    ],
)
def test_each_kind_of_orphan_has_advice(kind, begins):
    assert fix_of(kind).startswith(begins)


def test_an_unsealed_spool_has_the_advice_for_its_alarm():
    assert "recordings recover" in fix_of("spool not sealed", "recording.locked")
    assert "journal" in fix_of("spool not sealed", "recording.failed")
