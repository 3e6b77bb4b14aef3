"""`galwad audit erase`, and values that were deleted without it, at a running desk."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from helpers.house import House
from helpers.site import Site


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """A desk; gwen, an administrator, is signed in."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin"))
        yield house


def test_a_deleted_actor_is_reported_until_an_erasure_gives_the_reason(run, house):
    facts, personal = {"call_id": "x"}, {"actor": "user:sian", "reference": "C-1"}
    seq = house.do(house.desk.audit.append("recording.fetched", facts, personal)).seq
    assert run("audit", "verify").status == 0
    with contextlib.closing(sqlite3.connect(house.site.settings.database)) as connection:
        connection.execute("DELETE FROM audit_values WHERE seq = ? AND name = 'actor'", (seq,))
        connection.commit()
    done = run("audit", "verify")
    assert done.status == 1
    assert f"entry {seq}: of its values, actor was deleted, and no entry says why" in done.out
    erase = ("audit", "erase", str(seq), "--reason", "right-to-erasure")
    erased = run(*erase, "--config", house.site.config)
    assert erased.out == f"entry {seq}: erased actor, reference (right-to-erasure)\n", erased.err
    assert run("audit", "verify").status == 0
    listed = run("audit", "list", "--json").json()
    assert next(row for row in listed if row["seq"] == seq)["personal"] == {}
    (reason,) = [row for row in listed if row["kind"] == "values.erased"]
    assert (reason["facts"]["entry"], reason["personal"]["actor"][:3]) == (seq, "os:")
    assert run(*erase, "--value", "number", "--config", house.site.config).status == 1
