"""`galwad check` finds the faults of an installation, and `galwad status` shows its processes.

Covers `galwad/cli/support/administration.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import socketserver
import threading

import pytest

from galwad.archive.periodic import RecipientsWatch
from galwad.host.database import open_engine
from galwad.process_start import lock_folder
from galwad.settings import load
from recording.audit.log import AuditLog
from recording.keys.keyring import OfficerKeys, RecipientSet, RecipientsFile, fingerprint

PEOPLE = """\
reference,name,numbers,language,shared
P1,Mair Evans,01970 000001,cy,no
P2,Owen Evans,01970 000001,en,yes
"""


def test_check_names_each_fault_with_its_fix(run, settings_file):
    done = run("check", "--json", "--config", settings_file)
    assert done.status == 1
    findings = {(f["name"], f["grade"]): f for f in json.loads(done.out)}
    assert findings["recipients", "fault"]["fix"]
    assert findings["state", "fine"]
    assert ("database", "warning") in findings
    assert all(f["fix"] for f in findings.values() if f["grade"] != "fine")


def test_check_passes_on_a_complete_installation(run, settings_file, tmp_path):
    officer = OfficerKeys.generate()
    key_line = f'officer_key = "{officer.public_key}"'
    lines = settings_file.read_text().splitlines()
    text = "\n".join(key_line if line.startswith("officer_key") else line for line in lines)
    settings_file.write_text(text)
    deputy = OfficerKeys.generate()
    named = [("officer", officer.identity.recipient), ("deputy", deputy.identity.recipient)]
    folder = tmp_path / "state" / "keys"
    folder.mkdir()
    (folder / "recipients.json").write_bytes(RecipientSet.of(named, 1).sign(officer.signing))
    (tmp_path / "people.csv").write_text(PEOPLE)
    run("directory", "import", tmp_path / "people.csv", "--config", settings_file)
    run("users", "add", "sian", "--generate", "--config", settings_file)
    done = run("check", "--config", settings_file)
    assert done.status == 0, done.out + done.err
    assert "2 people" in done.out
    marks = [f"{name} {fingerprint(key)}" for name, key in named]
    assert f"{', '.join(marks)} can open recordings" in done.out


@pytest.mark.parametrize("running", ["switch", "desk"])
def test_a_port_in_use_is_a_fault_unless_the_process_that_listens_there_is_running(
    run, settings_file, running
):
    """The port counts as used by the service only if the process that listens there is running."""
    state = settings_file.with_name("state") / running
    state.mkdir()
    with (
        socket.socket() as page,
        socket.socket(type=socket.SOCK_DGRAM) as sip,
        lock_folder(state),
    ):
        places = {}
        for name, bound in (("desk", page), ("switch", sip)):
            bound.bind(("127.0.0.1", 0))
            places[name] = f"127.0.0.1:{bound.getsockname()[1]}"
        page.listen()
        text = settings_file.read_text()
        text = text.replace('"udp:127.0.0.1:0"', f'"udp:{places["switch"]}"')
        settings_file.write_text(text.replace('"127.0.0.1:0"', f'"{places["desk"]}"'))
        results = run("check", "--json", "--config", settings_file).json()
    found = {each["text"]: each["grade"] for each in results}
    for name, place in places.items():
        if name == running:
            assert found[f"{place} is used by the running service"] == "fine"
        else:
            assert found[f"{place}: address already in use"] == "fault"


def test_a_payment_code_that_is_an_extension_of_a_user_is_a_fault(run, settings_file):
    text = settings_file.read_text()
    codes = 'payment_code_on = "7100"\npayment_code_off = "7200"\n[desk]'
    settings_file.write_text(text.replace("[desk]", codes))
    add = ("users", "add", "sian", "--generate", "--extension", "7100")
    assert run(*add, "--config", settings_file).status == 0
    results = run("check", "--json", "--config", settings_file).json()
    [found] = [each for each in results if each["name"] == "payment codes"]
    assert found["grade"] == "fault"
    assert found["text"].startswith("7100 pauses or resumes a recording")


def test_check_finds_a_damaged_directory(run, settings_file, tmp_path):
    (tmp_path / "people.csv").write_text(PEOPLE)
    run("directory", "import", tmp_path / "people.csv", "--config", settings_file)
    file = tmp_path / "state" / "desk" / "directory.db"
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 4096 * 8)
    done = run("check", "--json", "--config", settings_file)
    [finding] = [each for each in done.json() if each["name"] == "directory"]
    assert finding["grade"] == "fault"
    assert finding["text"].startswith(f"{file} cannot be read: ")
    assert finding["fix"].endswith("restore the last backup")


def test_check_names_the_command_that_repairs_a_recipient_set(run, settings_file, tmp_path):
    file = tmp_path / "state" / "keys" / "recipients.json"
    file.parent.mkdir()
    other = OfficerKeys.generate()
    file.write_text("{}")
    assert fix_of_recipients(run, settings_file).endswith("again: galwad keys sign")
    file.write_bytes(RecipientSet.of([("one", other.identity.recipient)], 1).sign(other.signing))
    assert fix_of_recipients(run, settings_file).endswith("signing key: galwad keys show")


def fix_of_recipients(run, settings_file):
    return findings(run("check", "--json", "--config", settings_file))["recipients", "fault"]


def test_check_warns_of_an_older_recipient_set_that_was_put_back(run, settings_file, tmp_path):
    officer = OfficerKeys.generate()
    found = re.search('officer_key = "(.*)"', settings_file.read_text())
    assert found is not None
    settings_file.write_text(settings_file.read_text().replace(found[1], officer.public_key))
    run("users", "add", "sian", "--generate", "--config", settings_file)
    file, desk = tmp_path / "state" / "keys" / "recipients.json", tmp_path / "state" / "desk"
    file.parent.mkdir()

    async def watch():
        engine = open_engine(desk / "galwad.db")
        audit = AuditLog(engine, "test", desk / "audit.key")
        copies = load(settings_file).newest_recipients("switch")
        recipients = RecipientsFile(file, copies, officer.public_key)
        recipients.load()  # as the switch does every second
        await RecipientsWatch(recipients, audit).check()
        await engine.dispose()

    named = [(name, OfficerKeys.generate().identity.recipient) for name in ("one", "two")]
    for serial, grade in ((1, "fine"), (2, "fine"), (1, "warning")):
        file.write_bytes(RecipientSet.of(named, serial).sign(officer.signing))
        asyncio.run(watch())
        done = run("check", "--json", "--config", settings_file)
        assert ("recipients", grade) in findings(done)
    assert "set number 1 is refused, because number 2 is newer and in force" in done.out
    keys, switch = load(settings_file).newest_recipients("switch")
    keys.unlink()
    done = run("check", "--json", "--config", settings_file)
    assert "set number 1 is refused, because number 2 is newer and in force" in done.out
    switch.unlink()
    done = run("check", "--json", "--config", settings_file)
    assert "set number 1 is in force, but number 2 is newer" in done.out


def findings(done):
    return {(found["name"], found["grade"]): found["fix"] for found in json.loads(done.out)}


def test_missing_folders_that_systemd_will_create_are_only_a_warning(run, settings_file, tmp_path):
    for name in ("state", "run"):
        (tmp_path / name).rmdir()
    found = findings(run("check", "--json", "--config", settings_file))
    assert {("state", "warning"), ("runtime", "warning")} <= set(found)
    assert not {("state", "fault"), ("runtime", "fault")} & set(found)


def test_a_state_folder_that_the_services_cannot_enter_is_a_fault(run, settings_file, tmp_path):
    state = tmp_path / "state"
    (tmp_path / "private").mkdir(mode=0o755)
    (state / "desk").symlink_to(tmp_path / "private")
    state.chmod(0o750)
    found = findings(run("check", "--json", "--config", settings_file))
    assert found["state", "fault"] == f"chmod 755 {state}"
    state.chmod(0o755)
    found = findings(run("check", "--json", "--config", settings_file))
    assert not {("state", "fault"), ("state", "warning")} & set(found)


def test_check_reports_folders_that_every_user_can_read(run, settings_file, tmp_path):
    spool = tmp_path / "state" / "spool"
    spool.mkdir()
    spool.chmod(0o755)
    (tmp_path / "run").chmod(0o755)
    done = run("check", "--config", settings_file)
    assert f"fix: chmod o= {spool}" in done.out
    assert f"fix: chmod o= {tmp_path / 'run'}" in done.out


def test_folders_made_by_root_let_the_services_enter_whatever_the_umask(
    run, settings_file, tmp_path
):
    state = tmp_path / "state"
    state.rmdir()
    before = os.umask(0o077)
    try:
        done = run("users", "add", "sian", "--generate", "--config", settings_file)
    finally:
        os.umask(before)
    assert done.status == 0, done.err
    assert state.stat().st_mode & 0o777 == (0o755 if os.geteuid() == 0 else 0o700)
    assert (state / "desk").stat().st_mode & 0o007 == 0


def test_check_reports_a_port_that_is_already_in_use(run, settings_file):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        text = settings_file.read_text().replace("udp:127.0.0.1:0", f"udp:127.0.0.1:{port}")
        settings_file.write_text(text)
        done = run("check", "--config", settings_file)
    assert f"127.0.0.1:{port}: address already in use" in done.out
    assert "[sip] listen" in done.out


def test_check_warns_of_unknown_users_and_extensions_in_routes_and_phones(run, settings_file):
    for user, extension in (("sian", "204"), ("gwen", "205")):
        words = ("users", "add", user, "--extension", extension, "--generate")
        assert run(*words, "--config", settings_file).status == 0
    assert run("users", "disable", "gwen", "--config", settings_file).status == 0
    with settings_file.open("a", encoding="utf-8") as file:
        file.write(
            '[[phones]]\nextension = "301"\nuser = "huw"\n'
            f'ha1_md5 = "{"0" * 32}"\n'
            '[[routes]]\ncalled = "01970000900"\nring = ["204", "301", "999"]\n'
            '[[routes]]\ncalled = "01970000901"\ntarget = "sip:1@192.0.2.20"\n'
            'advisors = ["sian", "gwen", "nobody"]\n'
        )
    done = run("check", "--json", "--config", settings_file)
    found = {(f["name"], f["text"]) for f in done.json() if f["grade"] == "warning"}
    assert ("routes", "01970000900 rings 999, which no phone has") in found
    assert (
        "routes",
        "01970000901 has the advisors gwen, nobody, who are disabled or not users",
    ) in found
    assert ("phones", "301 belongs to huw, who is disabled or not a user") in found


class Link(socketserver.StreamRequestHandler):
    """Closes a connection when its client has ended it, as the switch and the desk do."""

    def handle(self):
        self.rfile.read()


@contextlib.contextmanager
def listening(path):
    """Accept connections on the socket file `path`, and react on them."""
    with socketserver.ThreadingUnixStreamServer(str(path), Link) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def start(settings_file, tmp_path):
    """Make processes look as if they were running: they hold their locks and listen."""
    settings = load(settings_file)
    sockets = {"switch": settings.switch_socket, "desk": settings.desk_socket}
    with contextlib.ExitStack() as held:

        def start(name):
            folder = tmp_path / "state" / name
            folder.mkdir()
            held.enter_context(lock_folder(folder))
            if name in sockets:
                held.enter_context(listening(sockets[name]))

        yield start


def processes(run, settings_file):
    done = run("check", "--json", "--config", settings_file)
    found = [each for each in json.loads(done.out) if each["name"] == "processes"]
    return [(each["grade"], each["text"]) for each in found]


def test_if_no_process_runs_the_status_command_fails_and_check_gives_a_warning(run, settings_file):
    done = run("status", "--config", settings_file)
    assert done.status == 1
    assert "the switch is not running: no call is answered" in done.err
    assert "hint: journalctl -u galwad-switch" in done.err
    assert processes(run, settings_file) == [("warning", "no process of Galwad is running")]


def test_a_desk_and_a_finaliser_that_are_down_beside_a_switch_are_faults(run, settings_file, start):
    start("switch")
    rows = run("status", "--json", "--config", settings_file)
    assert [(row["name"], row["state"]) for row in rows.json()] == [
        ("switch", "running"),
        ("desk", "not running"),
        ("finaliser", "not running"),
    ]
    assert rows.status == 1
    assert processes(run, settings_file) == [
        ("fine", "the switch is running"),
        ("fault", "the desk is not running: the page and the API are down"),
        ("fault", "the finaliser is not running: no recording is sealed"),
    ]


def test_three_running_processes_are_fine(run, settings_file, start):
    for name in ("switch", "desk", "finaliser"):
        start(name)
    done = run("status", "--config", settings_file)
    assert (done.status, done.err) == (0, "")
    assert done.out.count("running") == 3
    assert {grade for grade, _ in processes(run, settings_file)} == {"fine"}
