"""The units: systemd itself reads them, and what they promise stands in them."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "systemd"
PROCESSES = ("switch", "desk", "finaliser")
PROMISED = {
    "Type": "notify",
    "DynamicUser": "yes",
    "MemorySwapMax": "0",
    "LimitCORE": "0",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "IPAddressDeny": "any",
    "CapabilityBoundingSet": "",
}


def service(process: str) -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(FOLDER / f"galwad-{process}.service", encoding="utf-8")
    return dict(parser["Service"])


@pytest.mark.peer
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None
    for unit in FOLDER.iterdir():
        text = unit.read_text(encoding="utf-8")
        (tmp_path / unit.name).write_text(text.replace("/opt/galwad/bin/galwad", "/bin/true"))
    units = sorted(str(unit) for unit in tmp_path.iterdir())
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_has_a_hardened_unit_of_its_own(process):
    settings = service(process)
    assert settings["ExecStart"].endswith(f"serve --only {process}")
    assert {key: settings.get(key) for key in PROMISED} == PROMISED
    assert int(settings["LimitNOFILE"]) >= 16384
    assert "WatchdogSec" in settings


def test_the_finaliser_has_no_network():
    settings = service("finaliser")
    assert settings["PrivateNetwork"] == "yes"
    assert settings["RestrictAddressFamilies"] == "AF_UNIX"
    assert "IPAddressAllow" not in settings


def test_the_switch_drains_for_as_long_as_calls_last():
    assert service("switch")["TimeoutStopSec"] == "infinity"


def test_only_the_switch_and_the_finaliser_can_write_spools():
    assert "galwad/spool" in service("switch")["StateDirectory"]
    assert "galwad/spool" in service("finaliser")["StateDirectory"]
    assert "galwad/spool" not in service("desk")["StateDirectory"]


def test_only_the_desk_can_write_the_database():
    for process in PROCESSES:
        assert ("galwad/desk" in service(process)["StateDirectory"]) == (process == "desk")
