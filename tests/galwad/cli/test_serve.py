"""`galwad serve` on a machine whose keys cannot be read."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from helpers.site import Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "node")


def switch(site):
    return [sys.executable, "-m", "galwad", "serve", "--only", "switch", "--config", site.config]


def test_an_unreadable_boot_key_stops_the_start_with_its_path_and_reason(site):
    key = site.root / "run" / "boot.key"
    key.unlink()
    key.mkdir()
    done = subprocess.run(switch(site), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, f"error: {key}: Is a directory\n")


def test_an_unreadable_host_key_raises_an_alarm_but_the_switch_starts(site):
    key = site.spool / "host.key"
    key.mkdir()
    with site.config.open("a") as config:
        config.write("unattended_recovery = true\n")
    with subprocess.Popen(switch(site), stderr=subprocess.PIPE, text=True) as process:
        try:
            told = {}
            assert process.stderr is not None
            for entry in map(json.loads, process.stderr):
                told[entry["event"]] = entry
                if told.keys() >= {"switch.ready", "alarm"}:
                    break
        finally:
            process.kill()
    alarm = told["alarm"]
    assert (alarm["kind"], alarm["detail"]) == ("recording.no_host_key", f"{key}: Is a directory")
