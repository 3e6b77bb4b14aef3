"""The watched folder under a real systemd: a file starts the import, which has few rights."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from helpers.systemd_machine import PATIENCE_S, Machine

pytestmark = pytest.mark.peer

UNITS = Path(__file__).parents[2] / "systemd"
GALWAD = "/opt/galwad/bin/galwad"
FOLDER = "/srv/galwad-import"
DIRECTORY = "/var/lib/galwad/desk/directory.db"
PATH_UNIT, SERVICE = "galwad-directory-import.path", "galwad-directory-import.service"
SETTINGS = """\
[sip]
listen = ["udp:127.0.0.1:5060"]
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "{officer_key}"
[desk]
listen = "127.0.0.1:8443"
[directory]
watch_remove_absent = true
"""
HEADER = "reference,name,numbers\n"
PEOPLE = HEADER + "P1,Mair Evans,01632 960001\n"
FAULTY = HEADER + "P1,Nia Morgan,01632 96000x\n"
MANY = "".join(f"Q{n},New Person {n},01632 {n:06}\n" for n in range(100_000))
SHOW = f"""\
import sqlite3, json
people = sqlite3.connect("file:{DIRECTORY}?mode=ro", uri=True).execute("SELECT name FROM people")
print(json.dumps(sorted(name for name, in people)))
"""
PROBE = """\
import json, os, socket, sys
def tried(attempt):
    try:
        attempt()
    except OSError as error:
        return error.strerror
    return "yes"
print(json.dumps({
    "write the archive": tried(lambda: os.mkdir("/var/lib/galwad/archive/probe")),
    "list the spools": tried(lambda: os.listdir("/var/lib/galwad/spool")),
    "write /etc": tried(lambda: os.mkdir("/etc/probe")),
    "open a socket": tried(lambda: socket.socket(socket.AF_INET)),
    "read the settings file": tried(lambda: open("/etc/galwad/galwad.toml")),
    "see the desk": tried(lambda: os.kill(int(sys.argv[1]), 0)),
}))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine with the desk and the watched folder, installed as the documents say."""
    with Machine(tmp_path_factory.mktemp("machine")) as machine:
        machine.install_galwad()
        made = json.loads(machine.run(GALWAD, "keys", "init", "/root/keys", "--json"))
        settings = SETTINGS.format(officer_key=made["officer_key"])
        machine.write("/etc/galwad/galwad.toml", settings, "0600")
        for unit in UNITS.iterdir():
            machine.write(f"/etc/systemd/system/{unit.name}", unit.read_text())
        machine.run("groupadd", "--system", "galwad-import")
        account = ("useradd", "--system", "--gid", "galwad-import", "--no-create-home")
        machine.run(*account, "crm-export")
        owner = ("-o", "crm-export", "-g", "galwad-import", "-m", "2770")
        machine.run("install", "-d", *owner, FOLDER)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", "galwad-desk", "galwad-finaliser", PATH_UNIT)
        yield machine


def put(machine, name, text, user="crm-export"):
    """Write a file as another system should: under another name first."""
    script = f"umask 027 && cat >{FOLDER}/{name}.part && mv {FOLDER}/{name}.part {FOLDER}/{name}"
    machine.run("setpriv", f"--reuid={user}", "--regid=galwad-import", "--clear-groups",
                "sh", "-c", script, stdin=text)  # fmt: skip


def files(machine):
    found = machine.run("sh", "-c", f"cd {FOLDER} && find . -type f -o -type l | sort")
    return found.split()


def people(machine):
    return json.loads(machine.run("/opt/galwad/bin/python", "-c", SHOW))


def import_only(machine, name):
    """Import a directory with one person of this name, and wait until the folder is empty."""
    put(machine, "people.csv", PEOPLE.replace("Mair", name))
    wait_until(lambda: "./people.csv" not in files(machine))
    state = ("systemctl", "show", "-P", "ActiveState", SERVICE)
    wait_until(lambda: machine.run(*state).strip() == "inactive")
    assert people(machine) == [f"{name} Evans"]


def wait_until(true):
    end = time.monotonic() + 3 * PATIENCE_S  # an import runs at a low priority
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_file_starts_its_import_while_the_desk_runs(machine):
    put(machine, "people.csv", PEOPLE)
    wait_until(lambda: files(machine) == ["./last-import.report.txt"])
    assert people(machine) == ["Mair Evans"]
    assert "people.csv: 1 added" in machine.journal(SERVICE)
    reader = ("setpriv", "--reuid=crm-export", "--regid=galwad-import", "--clear-groups", "cat")
    assert "1 added" in machine.run(*reader, f"{FOLDER}/last-import.report.txt")
    machine.run("systemctl", "is-active", "galwad-desk", PATH_UNIT)


@pytest.mark.long
def test_a_faulty_file_is_set_aside_and_a_later_file_is_imported(machine):
    import_only(machine, "Gwen")
    put(machine, "people.csv", FAULTY)
    wait_until(lambda: "./failed/people.csv.report.txt" in files(machine))
    assert "./people.csv" not in files(machine)
    assert people(machine) == ["Gwen Evans"]
    state = ("systemctl", "show", "-P", "ActiveState", SERVICE)
    wait_until(lambda: machine.run(*state).strip() == "failed")
    put(machine, "people.csv", PEOPLE.replace("Mair", "Elin"))
    wait_until(lambda: files(machine) == ["./last-import.report.txt"])
    assert people(machine) == ["Elin Evans"]


def test_a_file_that_came_before_the_start_of_the_path_unit_is_imported_too(machine):
    machine.run("systemctl", "stop", PATH_UNIT)
    put(machine, "people.csv", PEOPLE.replace("Mair", "Nest"))
    machine.run("systemctl", "start", PATH_UNIT)
    wait_until(lambda: files(machine) == ["./last-import.report.txt"])
    assert people(machine) == ["Nest Evans"]


def test_a_file_of_another_account_and_a_link_to_a_secret_are_refused(machine):
    machine.run("ln", "-s", "/run/credentials/x", f"{FOLDER}/link.csv")
    put(machine, "foreign.csv", PEOPLE, user="nobody")
    expected = {"./failed/link.csv.report.txt", "./failed/foreign.csv.report.txt"}
    wait_until(lambda: expected <= set(files(machine)))
    report = machine.run("cat", f"{FOLDER}/failed/foreign.csv.report.txt")
    assert "belongs to another user than the folder" in report


def test_an_import_that_is_killed_is_tried_again(machine):
    import_only(machine, "Nest")
    put(machine, "people.csv", HEADER + MANY)
    new = f"{DIRECTORY}.new"
    wait_until(lambda: machine.run("stat", "-c", "%s", new, check=False).strip() not in {"", "0"})
    invocation = ("systemctl", "show", "-P", "InvocationID", SERVICE)
    killed = machine.run(*invocation)
    machine.run("systemctl", "kill", "--signal=KILL", SERVICE)
    assert people(machine) == ["Nest Evans"]
    wait_until(lambda: files(machine) == ["./last-import.report.txt"])
    assert len(people(machine)) == 100_000
    assert machine.run(*invocation) != killed


def test_the_import_cannot_write_the_archive_list_spools_open_sockets_or_see_the_desk(machine):
    machine.run("ls", "/var/lib/galwad/archive", "/var/lib/galwad/spool")
    machine.write("/opt/galwad/probe.py", PROBE)
    desk = machine.run("systemctl", "show", "-P", "MainPID", "galwad-desk").strip()
    text = (UNITS / SERVICE).read_text()
    command = f"/opt/galwad/bin/python /opt/galwad/probe.py {desk}"
    text = text.replace(f"{GALWAD} directory import-folder {FOLDER}", command)
    assert command in text
    machine.write("/etc/systemd/system/galwad-probe.service", text)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "galwad-probe")
    (line,) = (
        each for each in machine.journal("galwad-probe").splitlines() if each.startswith("{")
    )
    assert json.loads(line) == {
        "write the archive": "No such file or directory",
        "list the spools": "No such file or directory",
        "write /etc": "Read-only file system",
        "open a socket": "Address family not supported by protocol",
        "read the settings file": "Permission denied",
        "see the desk": "Operation not permitted",
    }
