"""Times are printed in the centre's time zone, with its name, wherever the command runs.

Covers `galwad/time_zones.py` and `galwad/cli/support/periods.py`.
"""

from __future__ import annotations

import time

import pytest

from galwad import time_zones
from galwad.cli.support.console import date_and_time
from galwad.time_zones import machine_zone, name_of, zone_named
from helpers.house import House
from helpers.site import Site

CALL = "20260301-090000-abcdefgh"


@pytest.fixture(params=["America/New_York", "Pacific/Honolulu"])
def abroad(request, monkeypatch):
    """A machine on which the call of 1 March at 9:00 is earlier, or even on 28 February."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def house(tmp_path, run, monkeypatch, abroad):
    """A desk of a centre in Wales with one recording; gwen is signed in."""
    del run, abroad
    site = Site(tmp_path / "node")
    site.config.write_text(f'{site.config.read_text()}[desk]\ntime_zone = "Europe/London"\n')
    with House(site) as house:
        house.record(CALL)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin"))
        yield house


def test_every_command_prints_the_centres_time_with_its_name(run, house):
    for command in (
        ("recordings", "list"),
        ("recordings", "show", CALL),
        ("recordings", "reindex", CALL, "--reference", "R-1", "--dry-run"),
    ):
        done = run(*command)
        assert "2026-03-01 09:00:00 GMT" in done.out, (command, done)
    explained = run("recordings", "show", CALL, "--explain", "--language", "en").out
    assert "answered on 2026-03-01 at 09:00:00 GMT" in explained
    report = run("promise-check", "--date", "2026-03-01", "--language", "en").out
    assert " GMT" in report or " BST" in report
    listed = run("audit", "list").out
    assert listed.count(" GMT") + listed.count(" BST") == len(listed.splitlines()) - 1
    tokens = run("users", "tokens", "list", "--config", house.site.config).out
    assert "EST" not in tokens


def test_days_of_since_are_those_of_the_centre(run, house):
    found = run("recordings", "verify", "--since", "2026-03-01").out
    assert f"{CALL}  INDEX ONLY" in found
    assert run("recordings", "verify", "--since", "2026-03-02").status == 1
    assert CALL not in run("recordings", "verify", "--since", "2026-03-02").out


def test_without_a_server_or_settings_times_are_those_of_utc(run, abroad):
    del abroad
    run("keys", "--help")
    assert date_and_time(1_772_355_600.0) == "2026-03-01 09:00:00 UTC"


def test_the_machines_zone_comes_from_its_settings(monkeypatch, tmp_path):
    zones = tmp_path / "usr" / "zoneinfo" / "Europe"
    zones.mkdir(parents=True)
    (zones / "London").touch()
    (tmp_path / "localtime").symlink_to(zones / "London")
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(time_zones, "_LOCALTIME", tmp_path / "localtime")
    assert name_of(None) == "Europe/London"
    monkeypatch.setenv("TZ", "Pacific/Honolulu")
    assert name_of(None) == "Pacific/Honolulu"
    monkeypatch.setenv("TZ", "XYZ4")
    assert machine_zone() is None
    assert name_of(None) == ""
    assert zone_named("../etc/passwd") is None
