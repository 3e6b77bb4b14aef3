"""`galwad recordings recover` on the officer's machine, from a copy of a locked spool.

Covers `galwad/archive/commands/recordings_fetch.py`.
"""

from __future__ import annotations

import os

import pytest

from helpers.house import House
from helpers.site import NUMBER, Site
from recording.age.file import Identity
from recording.spool import read_spool
from recording.spool.recovery import recovered_keys

CALL = "20260301-090000-abcdefgh"
WHY = ("--reference", "POWER-1")


@pytest.fixture
def site(tmp_path):
    """A node with a spool whose boot key is gone."""
    site = Site(tmp_path / "node")
    site.call(CALL)
    (site.root / "run" / "boot.key").write_bytes(os.urandom(32))
    return site


@pytest.fixture
def spool(site):
    return site.spool / f"{CALL}.1.spool"


@pytest.fixture
def identity(site, tmp_path):
    """The option `--identity` with the officer's key file."""
    site.officer.save(tmp_path / "identity.txt")
    return ("--identity", tmp_path / "identity.txt")


@pytest.fixture
def house(site, run, monkeypatch):
    """The running node, and gwen, an administrator, signed in."""
    del run  # it clears the environment first
    with House(site) as house:
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen"))
        yield house


def noted(house, *kinds):
    return [(kind, facts) for kind, facts in house.audit() if kind in kinds]


def test_a_recovered_spool_key_is_written_once_and_readable_only_by_its_owner(
    run, house, spool, identity, tmp_path
):
    done = run("recordings", "recover", spool, *identity, *WHY, "-o", tmp_path, "--json")
    path = tmp_path / f"{CALL}.1.recovered"
    assert done.json() == [{"call_id": CALL, "life": 1, "output": str(path), "audited": True}]
    assert path.stat().st_mode & 0o777 == 0o600
    key = recovered_keys(tmp_path, [spool])[1]
    read_spool(spool, spool_key=key).close()
    for place, why in ((tmp_path, "exists"), (tmp_path / "none", "is not a folder")):
        again = run("recordings", "recover", spool, *identity, *WHY, "-o", place)
        assert again.status == 1
        assert why in again.err
    assert len(noted(house, "spool.key-taken")) == 1


def test_recovering_a_spool_key_and_using_it_are_audited(run, house, spool, identity, tmp_path):
    assert run("recordings", "recover", spool, *identity, *WHY, "-o", tmp_path).status == 0
    facts = {"call_id": CALL, "life": 1, "actor": "user:gwen", "reference": "POWER-1"}
    assert noted(house, "spool.key-taken") == [("spool.key-taken", facts)]
    bring(house, tmp_path / f"{CALL}.1.recovered", spool)
    assert noted(house, "spool.recovered") == [("spool.recovered", {"call_id": CALL, "lives": "1"})]
    assert house.do(house.desk.archive.catalogue.get(CALL)).number == NUMBER


def bring(house, key, spool):
    """Copy a recovered key to the server, and wait until the finaliser has used it."""
    place = house.site.root / "run" / "spool-keys" / key.name
    place.write_bytes(key.read_bytes())
    house.do(house.site.gone(spool))


def test_a_key_recovered_offline_is_audited_when_it_is_used(run, house, spool, identity, tmp_path):
    """The key was recovered with `--offline`, while the desk could not be reached."""
    nowhere = ("--server", "http://127.0.0.1:9")
    done = run("recordings", "recover", spool, *identity, *WHY, "-o", tmp_path, *nowhere)
    assert done.err.startswith("error: cannot reach the server\n")
    assert "--offline" in done.err
    assert list(tmp_path.glob("*.recovered")) == []
    done = run("recordings", "recover", spool, *identity, *WHY, "-o", tmp_path, "--offline")
    assert done.status == 0
    assert "the audit shows this only when" in done.err
    bring(house, tmp_path / f"{CALL}.1.recovered", spool)
    assert noted(house, "spool.key-taken") == []
    assert len(noted(house, "spool.recovered")) == 1


def test_only_an_administrator_recovers_a_spool_key(run, house, spool, identity, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", house.token("mair", "supervisor"))
    done = run("recordings", "recover", spool, *identity, *WHY, "-o", spool.parent)
    assert done.err.startswith("error: only the recording administrator may do this\n")
    assert list(spool.parent.glob("*.recovered")) == []
    assert run("recordings", "recover", spool, *identity, "--reference", " ").status == 2


def test_a_missing_spool_is_reported_with_its_path(run, identity, tmp_path):
    done = run("recordings", "recover", tmp_path / "none", *identity, *WHY, "-o", tmp_path)
    assert done.status == 1
    assert done.err.startswith(f"error: cannot read {tmp_path / 'none'}: no such file")


def test_an_identity_that_does_not_open_the_spool_gets_an_error_and_a_hint(
    run, house, spool, tmp_path
):
    stranger = tmp_path / "stranger.txt"
    stranger.write_text(f"{Identity.generate()}\n")
    stranger.chmod(0o600)
    done = run("recordings", "recover", spool, "--identity", stranger, *WHY, "-o", tmp_path)
    assert done.status == 1
    assert done.err.startswith("error: the spool's key is not for these identities")
    assert "hint: " in done.err
    assert list(tmp_path.glob("*.recovered")) == []
    assert noted(house, "spool.key-taken") == []
