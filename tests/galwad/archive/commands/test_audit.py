"""`galwad audit list` and `erase`: entries of the chain, and erased values."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from helpers.house import House
from helpers.site import Site

CALL, OTHER = "20260301-090000-abcdefgh", "20260301-091000-bcdefghi"


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """A node with two recordings; gwen, an administrator, is signed in."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        house.record(CALL, OTHER)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen"))
        yield house


@pytest.fixture
def looked(run, house):
    """The house after gwen has shown two recordings and retained one."""
    run("recordings", "show", CALL)
    case = ("--reference", "C-17", "--reason", "claim", "--review", "2099-01-01")
    run("holds", "open", CALL, *case)
    run("recordings", "show", OTHER)
    return house


def listed(run, *options):
    rows = run("audit", "list", *options, "--json").json()
    return [(row["kind"], row["personal"].get("actor")) for row in rows]


def test_list_by_recording_shows_each_action_and_its_actor(run, looked):
    assert listed(run, "--recording", CALL) == [
        ("recording.indexed", None),
        ("recording.shown", "user:gwen"),
        ("recording.held", "user:gwen"),
    ]
    assert listed(run, "--recording", CALL, "--limit", "1") == [("recording.held", "user:gwen")]
    out = run("audit", "list", "--recording", OTHER, "--kind", "recording.shown").out
    assert f"call_id {OTHER}" in out
    assert "actor user:gwen" in out


def test_list_by_user_shows_only_the_actions_of_that_user(run, looked):
    kinds = [kind for kind, _ in listed(run, "--by", "Gwen")]
    assert kinds == ["recording.shown", "hold.opened", "recording.held", "recording.shown"]
    assert "recording.shown" not in [kind for kind, _ in listed(run, "--by", "os:root")]
    assert "No entry matches." in run("audit", "list", "--by", "nobody").out


def test_list_filters_by_kind_and_period(run, looked):
    assert [kind for kind, _ in listed(run, "--kind", "recording.held")] == ["recording.held"]
    assert ("recording.held", "user:gwen") in listed(run, "--when", "last 2 days")
    assert "No entry matches." in run("audit", "list", "--when", "2020").out
    assert run("audit", "list", "--when", "sometime").status == 2
    assert run("audit", "list", "--recording", "../x").status == 2


def test_a_long_list_is_fetched_in_pages_and_stays_in_order(run, looked, monkeypatch):
    monkeypatch.setattr("galwad.archive.commands.audit._PAGE", 2)
    everything = run("audit", "list", "--limit", "7", "--json").json()
    seqs = [row["seq"] for row in everything]
    assert len(seqs) == 7
    assert seqs == sorted(set(seqs))


def test_searching_the_audit_adds_an_entry(run, looked, monkeypatch):
    run("audit", "list", "--recording", CALL)
    kind, facts = looked.audit()[-1]
    assert (kind, facts["of"], facts["by"]) == ("audit.searched", CALL, "call_id")
    assert facts["actor"] == "user:gwen"
    monkeypatch.setenv("GALWAD_TOKEN", looked.token("mair", "supervisor"))
    assert run("audit", "list").err.startswith(
        "error: only the recording administrator may read the audit"
    )


@pytest.fixture
def empty_house(tmp_path, run, monkeypatch):
    """A desk; gwen, an administrator, is signed in."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as empty_house:
        monkeypatch.setenv("GALWAD_SERVER", empty_house.url)
        monkeypatch.setenv("GALWAD_TOKEN", empty_house.token("gwen", "admin"))
        yield empty_house


def test_an_actor_deleted_from_an_entry_is_reported_until_an_erasure_is_recorded(run, empty_house):
    facts, personal = {"call_id": "x"}, {"actor": "user:sian", "reference": "C-1"}
    seq = empty_house.do(
        empty_house.desk.host.audit.append("recording.fetched", facts, personal)
    ).seq
    assert run("audit", "verify").status == 0
    with contextlib.closing(sqlite3.connect(empty_house.site.settings.database)) as connection:
        connection.execute("DELETE FROM audit_values WHERE seq = ? AND name = 'actor'", (seq,))
        connection.commit()
    done = run("audit", "verify")
    assert done.status == 1
    assert f"entry {seq}: of its values, actor was deleted, and no entry says why" in done.out
    erase = ("audit", "erase", str(seq), "--reason", "right-to-erasure")
    erased = run(*erase, "--config", empty_house.site.config)
    assert erased.out == f"entry {seq}: erased actor, reference (right-to-erasure)\n", erased.err
    assert run("audit", "verify").status == 0
    listed = run("audit", "list", "--json").json()
    assert next(row for row in listed if row["seq"] == seq)["personal"] == {}
    (reason,) = [row for row in listed if row["kind"] == "values.erased"]
    assert (reason["facts"]["entry"], reason["personal"]["actor"][:3]) == (seq, "os:")
    assert run(*erase, "--value", "number", "--config", empty_house.site.config).status == 1
