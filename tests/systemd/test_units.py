"""The units: systemd accepts them, and they contain what the documents promise."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from galwad.settings import EXAMPLE
from helpers.units import FOLDER, memory_max_mb, unit

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
    return unit(process)["Service"]


def values(process: str, setting: str) -> list[str]:
    """Return all values of a setting that a unit may have more than once."""
    text = (FOLDER / f"galwad-{process}.service").read_text(encoding="utf-8")
    return re.findall(rf"(?m)^{setting}=(.*)$", text)


def with_a_runtime_folder(command: list[str]) -> list[str]:
    """Return the command, if needed in a namespace in which it can create /run/systemd."""
    if os.geteuid() == 0 or Path("/run/systemd").exists():
        return command
    script = 'mount -t tmpfs tmpfs /run && exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *command]


@pytest.mark.peer
def test_systemd_analyze_finds_no_fault_in_the_units(tmp_path):
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(text.replace("/opt/galwad/bin/galwad", "/bin/true"))
    units = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(
        with_a_runtime_folder([analyze, "verify", "--man=no", "--recursive-errors=no", *units]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_has_its_own_hardened_unit(process):
    settings = service(process)
    assert settings["ExecStart"].endswith(f"serve --only {process}")
    assert {key: settings.get(key) for key in PROMISED} == PROMISED
    assert int(settings["LimitNOFILE"]) >= 16384
    assert "WatchdogSec" in settings


def test_the_import_unit_is_hardened_uses_the_desks_state_folder_and_has_no_network():
    settings = service("directory-import")
    promised = {**PROMISED, "Type": "oneshot", "PrivateNetwork": "yes"}
    assert {key: settings.get(key) for key in promised} == promised
    assert settings["StateDirectory"] == "galwad/desk"
    assert settings["StateDirectoryMode"] == service("desk")["StateDirectoryMode"]
    assert settings["RestrictAddressFamilies"] == "AF_UNIX"
    assert not values("directory-import", "ImportCredential")
    assert int(settings["Nice"]) > 0


def test_the_import_service_and_its_path_unit_name_the_same_folder():
    settings = service("directory-import")
    folder = settings["ReadWritePaths"]
    assert settings["ExecStart"].endswith(f"directory import-folder {folder}")
    text = (FOLDER / "galwad-directory-import.path").read_text(encoding="utf-8")
    assert f"\nPathExistsGlob={folder}/*.csv\n" in text


def test_the_finaliser_has_no_network():
    settings = service("finaliser")
    assert settings["PrivateNetwork"] == "yes"
    assert settings["RestrictAddressFamilies"] == "AF_UNIX"
    assert "IPAddressAllow" not in settings


def test_the_switch_has_the_highest_cpu_weight_then_the_desk_other_programs_and_the_finaliser():
    weights = [int(service(process)["CPUWeight"]) for process in ("switch", "desk", "finaliser")]
    assert sorted([*weights, 100], reverse=True) == [*weights[:2], 100, weights[2]]
    assert int(service("switch")["Nice"]) < 0 < int(service("finaliser")["Nice"])


def test_each_process_has_a_limit_of_memory_and_the_finaliser_the_largest():
    """`tests/peers/test_load.py` and `tests/callerid/test_directory.py` show the margin."""
    limits = {process: memory_max_mb(process) for process in (*PROCESSES, "directory-import")}
    assert limits == {"switch": 1024, "desk": 1024, "finaliser": 2048, "directory-import": 1024}


def test_systemd_does_not_limit_the_time_in_which_the_switch_drains():
    assert service("switch")["TimeoutStopSec"] == "infinity"


def test_a_switch_that_hangs_or_dies_is_restarted_within_seconds():
    settings = service("switch")
    assert (settings["WatchdogSec"], settings["RestartSec"]) == ("6s", "100ms")
    assert settings["Restart"] == "on-failure"
    assert settings["RestartKillSignal"] == "SIGUSR1"


def test_restarts_are_unlimited_and_of_switch_and_desk_at_most_two_seconds_apart():
    """systemd's restart counter never falls while a unit is up, so the longest delay matters."""
    for process in PROCESSES:
        assert unit(process)["Unit"]["StartLimitIntervalSec"] == "0"
    assert service("switch")["RestartMaxDelaySec"] == "500ms"
    assert service("desk")["RestartMaxDelaySec"] == "2s"


def test_the_units_stop_in_the_order_switch_finaliser_desk():
    """systemd stops units in the reverse of After=: the switch first, the desk last."""
    after = {process: unit(process)["Unit"]["After"].split() for process in PROCESSES}
    assert {"galwad-desk.service", "galwad-finaliser.service"} <= set(after["switch"])
    assert "galwad-desk.service" in after["finaliser"]
    assert not [name for name in after["desk"] if name.startswith("galwad-")]


def test_the_finaliser_has_five_minutes_to_seal_before_a_reboot():
    assert service("finaliser")["TimeoutStopSec"] == "5min"
    assert all(service(process)["RuntimeDirectoryPreserve"] == "yes" for process in PROCESSES)


def test_each_private_key_and_password_reaches_only_the_process_that_uses_it():
    passed_on = {process: values(process, "ImportCredential") for process in PROCESSES}
    assert passed_on == {
        "switch": ["galwad.sip.*", "galwad.trunk.*"],
        "desk": ["galwad.tls.*", "galwad.directory.*", "galwad.webhook.*", "galwad.sign-in.*"],
        "finaliser": [],
    }


def test_only_the_switch_and_the_finaliser_can_write_spools():
    for folder in ("galwad/spool", "galwad/spare"):
        assert folder in service("switch")["StateDirectory"].split()
        assert folder in service("finaliser")["StateDirectory"].split()
        assert folder not in service("desk")["StateDirectory"].split()


def test_of_the_processes_only_the_desk_can_write_the_database():
    for process in PROCESSES:
        assert ("galwad/desk" in service(process)["StateDirectory"]) == (process == "desk")


def test_the_password_file_in_the_example_is_a_credential_that_the_switch_imports():
    text = EXAMPLE.read_text(encoding="utf-8")
    (path,) = map(Path, re.findall(r'^# password_file = "(.*)"$', text, re.MULTILINE))
    assert path.parent == Path("/run/credentials/galwad-switch.service")
    assert fnmatch.fnmatch(path.name, values("switch", "ImportCredential")[1])


@pytest.mark.parametrize(("process", "table"), [("desk", "desk"), ("switch", "sip")])
def test_the_tls_files_in_the_example_are_credentials_that_the_unit_imports(process, table):
    text = EXAMPLE.read_text(encoding="utf-8")
    section = text.split(f"[{table}]\n", 1)[1].split("\n[", 1)[0]
    paths = [Path(each) for each in re.findall(r'^# tls_\w+ = "(.*)"$', section, re.MULTILINE)]
    assert len(paths) == (2 if process == "desk" else 4)
    pattern = values(process, "ImportCredential")[0]
    for path in paths:
        assert path.parent == Path(f"/run/credentials/galwad-{process}.service")
        assert fnmatch.fnmatch(path.name, pattern)
