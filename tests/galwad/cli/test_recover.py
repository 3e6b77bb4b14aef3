"""`recordings recover`: on the officer's machine, from a copy of a locked spool."""

from __future__ import annotations

import os

import pytest

from recording.age import Identity, encrypt_small
from recording.keys import OfficerKeys
from recording.recovery import recovered_keys
from recording.spool import Clock, SpoolWriter, read_spool

CALL = "20261125-093000-abcdefgh"


@pytest.fixture
def spool(officer, tmp_path):
    """A spool whose boot key is gone."""
    recipient = OfficerKeys.load(officer).identity.recipient
    (tmp_path / "spool").mkdir()
    writer = SpoolWriter.create(
        tmp_path / "spool",
        tmp_path / "slots",
        CALL,
        1,
        os.urandom(32),
        lambda key: encrypt_small(key, [recipient]),
        Clock(1_795_599_000.0, 0.0),
    )
    writer.close(0)
    return writer.path


def test_the_key_is_written_where_it_is_wanted_and_for_nobody_else(run, spool, officer, tmp_path):
    done = run("recordings", "recover", spool, "--identity", officer, "-o", tmp_path, "--json")
    path = tmp_path / f"{CALL}.1.recovered"
    assert done.json() == [{"call_id": CALL, "life": 1, "output": str(path)}]
    assert path.stat().st_mode & 0o777 == 0o600
    key = recovered_keys(tmp_path, [spool])[1]
    read_spool(spool, spool_key=key).close()
    again = run("recordings", "recover", spool, "--identity", officer, "-o", tmp_path)
    assert again.status == 1
    assert "exists" in again.err


def test_a_stranger_gets_one_line_and_a_hint(run, spool, tmp_path):
    stranger = tmp_path / "stranger.txt"
    stranger.write_text(f"{Identity.generate()}\n")
    stranger.chmod(0o600)
    done = run("recordings", "recover", spool, "--identity", stranger, "-o", tmp_path)
    assert done.status == 1
    assert done.err.startswith("error: the spool's key is not for these identities")
    assert "hint: " in done.err
    assert list(tmp_path.glob("*.recovered")) == []
