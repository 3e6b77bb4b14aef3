"""The rights of each process under a real systemd: files, network, and the other processes.

A systemd runs the units as we ship them, with the tested package. `galwad simulate` shows that they
work. Then a program with the rights of each process tries what an attacker would try who had taken
over the process.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers.systemd_machine import PRIVATE, PUBLIC, Machine

pytestmark = pytest.mark.peer

UNITS = Path(__file__).parents[2] / "systemd"
PROBE = Path(__file__).with_name("probe.py")
PROCESSES = ("switch", "desk", "finaliser")
FOLDERS = ("archive", "spool", "spare", "desk", "switch", "finaliser", "keys")
WRITES = {
    "switch": {"spool", "spare", "switch", "keys"},
    "desk": {"desk"},
    "finaliser": {"archive", "spool", "spare", "finaliser", "keys"},
}
"""The folders in which each process can write."""
READS = {**WRITES, "desk": {"desk", "archive", "keys"}}
"""The folders that each process can read."""
SECRET = "correct horse battery"
GALWAD = "/opt/galwad/bin/galwad"
DESK = "http://127.0.0.1:8443"
SETTINGS = """\
[node]
name = "isolated"
[sip]
listen = ["udp:127.0.0.1:5060"]
[media]
listen = "127.0.0.1"
ports = "20000-20099"
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "{officer_key}"
recipients = "/etc/galwad/recipients.json"
[desk]
listen = "127.0.0.1:8443"
[[trunks]]
name = "simulation"
peers = ["127.0.0.5:5070"]
[[trunks]]
name = "pstn"
peers = ["127.0.0.2"]
username = "01970000999"
password_file = "/run/credentials/galwad-switch.service/galwad.trunk.pstn"
[[routes]]
called = "01970000000"
ring = ["201"]
line = "Council Tax"
"""
LISTENER = """\
import socket
with socket.create_server(("", 4444)) as server:
    while True:
        server.accept()[0].close()
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine on which the three units run, installed as the documents say."""
    with Machine(tmp_path_factory.mktemp("machine")) as machine:
        machine.install_galwad()
        made = json.loads(machine.run(GALWAD, "keys", "init", "/root/keys", "--json"))
        settings = SETTINGS.format(officer_key=made["officer_key"])
        machine.write("/etc/galwad/galwad.toml", settings, "0600")
        machine.write("/etc/credstore/galwad.trunk.pstn", SECRET + "\n", "0600")
        recipient = f"deputy={made['recipient']}"
        signed = ("-o", "/etc/galwad/recipients.json")
        machine.run(GALWAD, "keys", "sign", "/root/keys", "--recipient", recipient, *signed)
        machine.run("chmod", "0644", "/etc/galwad/recipients.json")
        for unit in UNITS.iterdir():
            machine.write(f"/etc/systemd/system/{unit.name}", unit.read_text())
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", *(f"galwad-{each}" for each in PROCESSES))
        yield machine


def probe_unit(process, arguments):
    """Return the unit of a process, changed only so that it runs the probe once."""
    text = (UNITS / f"galwad-{process}.service").read_text()
    command = f"/opt/galwad/bin/python /opt/galwad/probe.py {arguments}"
    for setting, value in (("ExecStart", command), ("Type", "oneshot"), ("Restart", "no")):
        text, count = re.subn(rf"(?m)^{setting}=.*$", f"{setting}={value}", text)
        assert count == 1
    return re.sub(r"(?m)^(WatchdogSec|ExecReload)=.*$", "", text)


@pytest.fixture(scope="module")
def attempts(machine):
    """For each process and each attempt: "yes", or the name of the error."""
    machine.write("/opt/galwad/probe.py", PROBE.read_text())
    machine.write("/opt/galwad/listener.py", LISTENER)
    machine.run("systemd-run", "/opt/galwad/bin/python", "/opt/galwad/listener.py")
    units = [f"galwad-{process}" for process in PROCESSES]
    pids = [machine.run("systemctl", "show", "-P", "MainPID", unit).strip() for unit in units]
    attempts = {}
    for process in PROCESSES:
        unit = f"galwad-probe-{process}.service"
        text = probe_unit(process, " ".join((PRIVATE, PUBLIC, *pids)))
        machine.write(f"/etc/systemd/system/{unit}", text)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", unit)
        (line,) = (each for each in machine.journal(unit).splitlines() if each[0] == "{")
        attempts[process] = json.loads(line)
    return attempts


def test_a_call_under_the_units_is_recorded_paused_sealed_and_fetched(machine):
    add = (GALWAD, "users", "add", "--password-stdin", "--json")
    added = machine.run(*add, "sian", "--extension", "201", stdin=SECRET + "\n")
    sip_password = json.loads(added)["sip"]["password"]
    machine.run(*add, "ceri", "--role", "admin", stdin=SECRET + "\n")
    signing_in = ("login", "--server", DESK, "--user", "ceri", "--password-stdin")
    machine.run(GALWAD, *signing_in, stdin=SECRET + "\n")
    words = (
        *("simulate", "call", "01970000000", "--sip", "127.0.0.1", "--bind", "127.0.0.5:5070"),
        *("--answer", "201", "--pause", "2", "--identity", "/root/keys/identity.txt"),
        *("--server", DESK, "--password-stdin", "--json"),
    )
    report = json.loads(machine.run(GALWAD, *words, stdin=sip_password + "\n"))
    assert {step["verdict"] for step in report["steps"]} == {"ok"}
    assert {"recording", "recorded: talk, caller", "payment gap"} <= {
        step["step"] for step in report["steps"]
    }


def test_the_switch_runs_with_the_priority_of_its_unit(machine):
    pid = machine.run("systemctl", "show", "-P", "MainPID", "galwad-switch").strip()
    niceness = machine.run("cat", f"/proc/{pid}/stat").rpartition(") ")[2].split()[16]
    assert f"\nNice={niceness}\n" in (UNITS / "galwad-switch.service").read_text()
    assert int(niceness) < 0
    assert "/schedstat" in machine.run("ls", "-l", f"/proc/{pid}/fd")  # it counts what it misses


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_writes_and_reads_only_in_its_own_folders(attempts, process):
    tried = attempts[process]
    assert {each for each in FOLDERS if tried[f"write {each}"] == "yes"} == WRITES[process]
    assert {each for each in FOLDERS if tried[f"list {each}"] == "yes"} == READS[process]
    assert tried["write /etc"] == tried["write /opt/galwad"] == "EROFS"


def test_the_desk_cannot_change_the_archive_or_the_keys(attempts):
    tried = attempts["desk"]
    assert tried["write archive"] == tried["write keys"] == "EROFS"


def test_the_password_of_a_trunk_reaches_only_the_switch(attempts):
    credentials = {process: tried["credentials"] for process, tried in attempts.items()}
    assert credentials == {
        "switch": "galwad.toml galwad.trunk.pstn",
        "desk": "galwad.toml",
        "finaliser": "galwad.toml",
    }


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_reads_the_secrets_of_the_system_or_of_the_others(attempts, process):
    tried = attempts[process]
    for secret in ("read /etc/shadow", "read the settings file", "list /etc/credstore"):
        assert tried[secret] == "EACCES"
    for other in PROCESSES:
        assert tried[f"list the credentials of the {other}"] == "ENOENT"
        assert tried[f"read the memory of the {other}"] == "ENOENT"


def test_the_desk_and_the_finaliser_may_not_send_signals(attempts):
    """systemd reloads the switch with a program that sends it a signal."""
    for process in ("desk", "finaliser"):
        for other in PROCESSES:
            assert attempts[process][f"signal the {other}"] == "EPERM"


def test_no_process_reaches_the_internet_and_the_finaliser_reaches_no_network(attempts):
    hosts = ("this machine", "a private network", "the wide world")
    reached = {
        process: [tried[f"connect to {host}"] for host in hosts]
        for process, tried in attempts.items()
    }
    assert reached == {
        "switch": ["yes", "yes", "timeout"],
        "desk": ["yes", "yes", "timeout"],
        "finaliser": ["EAFNOSUPPORT"] * 3,
    }


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_can_become_root_mount_or_open_a_packet_or_netlink_socket(attempts, process):
    tried = attempts[process]
    assert tried["become root"] == tried["mount"] == "EPERM"
    assert tried["open a packet socket"] == tried["open a netlink socket"] == "EAFNOSUPPORT"
    # The library that writes FLAC needs such memory in the finaliser.
    assert tried["run written memory"] == ("yes" if process == "finaliser" else "EACCES")


def test_only_the_desk_reads_whether_the_clock_is_synchronised_and_none_can_set_it(attempts):
    """Without this state, the desk would never dispose of a recording because of its age."""
    read = {process: tried["read the state of the clock"] for process, tried in attempts.items()}
    assert read == {"switch": "EPERM", "desk": "yes", "finaliser": "EPERM"}
    assert {tried["set the clock"] for tried in attempts.values()} == {"EPERM"}
