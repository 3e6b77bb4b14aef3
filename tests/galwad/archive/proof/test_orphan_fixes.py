"""The advice on each kind of orphan, and on each reason why a spool was not sealed."""

from __future__ import annotations

import pytest

from galwad.archive.proof.orphan_fixes import fix_of


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("row without files", "restore them from a copy"),
        ("header of a disposal", "`galwad recordings purge` destroys it"),
        ("disposal without row", "`galwad recordings purge` completes it"),
        ("archive is empty", "mount its disk again"),
        ("no header", "restore it from a copy"),
        ("manifest without payload", "restore it from a copy"),
        ("spool not sealed", "the journal of galwad-finaliser"),
    ],
)
def test_each_kind_of_orphan_has_advice(kind, begins):
    assert fix_of(kind).startswith(begins)


def test_an_unsealed_spool_has_the_advice_for_its_alarm():
    assert "recordings recover" in fix_of("spool not sealed", "recording.locked")
    assert "journal" in fix_of("spool not sealed", "recording.failed")
