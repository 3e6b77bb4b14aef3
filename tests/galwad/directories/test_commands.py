"""`galwad directory import` and `import-folder`: people from CSV files, all or none.

Covers `galwad/administration.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sqlite3
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from sqlalchemy import Engine, event

from callerid import import_folder
from callerid.directories.embedded import EmbeddedDirectory
from callerid.number import PhoneNumber
from galwad.host.database import open_engine
from helpers.file_sizes import run_with_small_files
from helpers.processes import GALWAD, Child
from helpers.terminal import on_terminal
from recording.audit.log import AuditLog

PEOPLE = """\
reference,name,numbers,language,shared
P1,Mair Evans,01970 000001,cy,no
P2,Owen Evans,01970 000001,en,yes
"""


MANY = "".join(f"Q{n},New Person {n},01970 1{n:05},en,no\n" for n in range(20_000))
"""More rows than a pipe and an import's buffers hold: an import that was given them is at work."""


@pytest.fixture
def desk(run, settings_file):
    """The desk's folder after an import of two people."""
    file = settings_file.with_name("people.csv")
    file.write_text(PEOPLE)
    assert run("directory", "import", file, "--config", settings_file).status == 0
    return settings_file.with_name("state") / "desk"


@contextlib.contextmanager
def import_at_work(settings_file):
    """Start an import from a pipe, which waits for more rows until the pipe is closed."""
    with Child(
        [*GALWAD, "directory", "import", "/dev/stdin", "--config", settings_file],
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    ) as process:
        try:
            process.stdin.write(PEOPLE + MANY)
            process.stdin.flush()
            yield process
        finally:
            process.kill()


def names(desk, number):
    directory = EmbeddedDirectory(desk / "directory.db")
    return [person.name for person in asyncio.run(directory.find(PhoneNumber(number)))]


def imports_in_the_audit(desk):
    async def entries():
        engine = open_engine(desk / "galwad.db")
        found = await AuditLog(engine, "test", desk / "audit.key").entries()
        await engine.dispose()
        return [entry for entry in found if entry.kind == "directory.imported"]

    return asyncio.run(entries())


def files_of(desk):
    return sorted(path.name for path in desk.glob("directory*"))


def test_an_import_with_one_invalid_person_is_refused(run, settings_file, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    done = run("directory", "import", file, "--config", settings_file, "--json")
    assert done.json() == {"added": 2, "replaced": 0, "removed": 0}
    file.write_text(PEOPLE + "P3,,nonsense,xx,no\n")
    refused = run("directory", "import", file, "--config", settings_file)
    assert refused.status == 1
    assert "error: people.csv:4: numbers:" in refused.err
    assert "hint: nothing was changed" in refused.err
    [entry] = imports_in_the_audit(tmp_path / "state" / "desk")
    assert entry.facts == {"added": 2, "replaced": 0, "removed": 0}
    assert entry.personal["actor"].startswith("os:")


def test_skipped_faults_are_reported_and_the_other_people_imported(run, settings_file, tmp_path):
    file, state = tmp_path / "people.csv", tmp_path / "state" / "desk"
    settings_file.write_text(settings_file.read_text() + '[directory]\narea_code = "01970"\n')
    file.write_text(PEOPLE + "P3,,01970 000003,en,no\nP4,Ann,600004 (Mam) / 1.2E+9,en,no\n")
    done = run("directory", "import", file, "--skip-faults", "--config", settings_file)
    assert done.status == 0
    assert "3 added, 0 replaced, 0 removed, 1 left out, 2 faults" in done.out
    assert "people.csv:4: name: must not be empty" in done.err
    assert "people.csv:5: numbers: number 2 is not a telephone number" in done.err
    assert names(state, "+441970600004") == ["Ann"]
    done = run("directory", "import", file, "--skip-faults", "--json", "--config", settings_file)
    assert done.json() == {"added": 0, "replaced": 3, "removed": 0, "left_out": 1, "faults": 2}


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda file: None, "cannot read {file}: no such file or directory"),
        (lambda file: file.mkdir(), "cannot read {file}: is a directory"),
        (
            lambda file: file.write_bytes("reference,name,numbers\n1,Siân,1".encode("latin-1")),
            "people.csv:2: is not UTF-8 text; save the file as CSV UTF-8",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(run, settings_file, tmp_path, make, error):
    file = tmp_path / "people.csv"
    make(file)
    done = run("directory", "import", file, "--config", settings_file)
    assert done.status == 1
    assert done.err.splitlines()[0] == f"error: {error.format(file=file)}"
    assert len(done.err.splitlines()) == 2


def test_a_large_import_writes_one_audit_entry_to_the_desks_database(run, settings_file, tmp_path):
    """Not one person is written there, so no request waits for the import."""
    file = tmp_path / "people.csv"
    file.write_text(PEOPLE)
    run("directory", "import", file, "--config", settings_file)
    file.write_text(PEOPLE + MANY)
    written, transactions = [], 0

    def executed(connection, cursor, statement, *_):
        if not statement.startswith(("SELECT", "PRAGMA", "BEGIN")):
            written.append((statement.partition("(")[0].strip(), cursor.rowcount))

    def begun(connection):
        nonlocal transactions
        transactions += connection.get_execution_options().get("immediate", False)

    event.listen(Engine, "after_cursor_execute", executed)
    event.listen(Engine, "begin", begun)
    try:
        done = run("directory", "import", file, "--config", settings_file)
    finally:
        event.remove(Engine, "after_cursor_execute", executed)
        event.remove(Engine, "begin", begun)
    assert done.out == "20000 added, 2 replaced, 0 removed\n"
    assert written == [("INSERT INTO audit_entries", 1), ("INSERT INTO audit_values", 1)]
    assert transactions == 1


def test_an_import_at_work_locks_neither_the_database_nor_a_lookup(settings_file, desk):
    with import_at_work(settings_file) as process:
        with contextlib.closing(sqlite3.connect(desk / "galwad.db", timeout=0)) as database:
            database.execute("BEGIN EXCLUSIVE")
            database.execute("UPDATE users SET language = 'cy'")
            database.commit()
        assert names(desk, "+441970000001") == ["Mair Evans", "Owen Evans"]
        assert names(desk, "+441970100017") == []
        process.stdin.close()
        output = process.stdout.read()
    assert output == "20000 added, 2 replaced, 0 removed\n"
    assert names(desk, "+441970100017") == ["New Person 17"]


def test_an_import_has_a_lower_priority_than_calls(settings_file, desk):
    del desk  # it has created the database
    with import_at_work(settings_file) as process:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(
            19, os.getpriority(os.PRIO_PROCESS, 0) + 5
        )


def test_the_directory_survives_a_killed_import_whose_leftover_file_the_next_import_removes(
    run, settings_file, desk
):
    with import_at_work(settings_file) as process:
        process.kill()
        process.wait()
    assert files_of(desk) == ["directory.db", "directory.db.lock", "directory.db.new"]
    assert names(desk, "+441970000001") == ["Mair Evans", "Owen Evans"]
    assert names(desk, "+441970100017") == []
    assert len(imports_in_the_audit(desk)) == 1
    file = settings_file.with_name("people.csv")
    done = run("directory", "import", file, "--config", settings_file, "--json")
    assert done.json() == {"added": 0, "replaced": 2, "removed": 0}
    assert files_of(desk) == ["directory.db", "directory.db.lock"]


def test_an_interrupted_import_keeps_the_earlier_directory_and_leaves_no_temporary_file(
    settings_file, desk
):
    with import_at_work(settings_file) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert "error: interrupted" in process.stderr.read()
    assert files_of(desk) == ["directory.db", "directory.db.lock"]
    assert names(desk, "+441970000001") == ["Mair Evans", "Owen Evans"]


def test_a_second_import_at_the_same_time_is_refused(run, settings_file, desk):
    file = settings_file.with_name("people.csv")
    with import_at_work(settings_file) as process:
        second = run("directory", "import", file, "--config", settings_file)
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0
    assert second.status == 1
    assert second.err.splitlines() == [
        "error: another import into the directory is running",
        "hint: nothing was changed",
    ]
    assert names(desk, "+441970100017") == ["New Person 17"]


def test_the_earlier_directory_stays_in_force_if_the_audit_cannot_be_written(
    run, settings_file, desk
):
    file = settings_file.with_name("people.csv")
    file.write_text(PEOPLE + MANY)
    with contextlib.closing(sqlite3.connect(desk / "galwad.db")) as database:
        database.execute("ALTER TABLE audit_values RENAME TO gone")
    done = run("directory", "import", file, "--config", settings_file)
    assert done.status == 1
    assert done.err.startswith("error: the audit cannot be written")
    assert names(desk, "+441970100017") == []
    assert files_of(desk) == ["directory.db", "directory.db.lock"]


def test_the_earlier_directory_stays_in_force_if_the_disk_is_full(settings_file, desk):
    file = settings_file.with_name("people.csv")
    file.write_text(PEOPLE + MANY)
    done = run_with_small_files(1000, "directory", "import", file, "--config", settings_file)
    assert done.returncode == 1
    [error, hint] = done.stderr.splitlines()
    assert error.startswith("error: the directory cannot be written: ")
    assert hint == "hint: nothing was changed"
    assert names(desk, "+441970000001") == ["Mair Evans", "Owen Evans"]
    assert files_of(desk) == ["directory.db", "directory.db.lock"]


def test_a_terminal_shows_a_progress_bar(settings_file):
    file = settings_file.with_name("people.csv")
    file.write_text(PEOPLE)
    command = [*GALWAD, "directory", "import", file, "--config", settings_file]
    said = on_terminal(command, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    assert said.out == b"2 added, 0 replaced, 0 removed\n"
    assert "importing" in said.shown
    assert "2/2" in said.shown
    assert "2/2" not in on_terminal([*command, "--json"]).shown


def test_a_file_of_4_gb_is_refused_before_it_is_read(run, settings_file):
    file = settings_file.with_name("people.csv")
    file.write_text(PEOPLE)
    os.truncate(file, 4 << 30)
    done = run("directory", "import", file, "--config", settings_file)
    assert done.status == 1
    assert "people.csv:1: is too large: an import file may have at most 1024 MB" in done.err


HEADER = "reference,name,numbers\n"


TWO_PEOPLE = HEADER + "P1,Mair Evans,01632 960001\nP2,Owen Evans,01632 960002\n"


FAULTY = HEADER + "P1,Nia Morgan,01632 960001\nP2,Huw Morgan,01632 96000x\n"


MANY_PEOPLE = HEADER + "".join(f"Q{n},New Person {n},01632 {n:06}\n" for n in range(100_000))


DEADLINE_S = 120


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(import_folder, "QUIET_S", 0.0)
    path = tmp_path / "import"
    path.mkdir(mode=0o750)
    return path


@pytest.fixture
def take(run, settings_file, folder):
    """Import what is in the folder."""

    def taken(*options):
        return run("directory", "import-folder", folder, "--config", settings_file, *options)

    return taken


@pytest.fixture
def name_of(settings_file):
    """Return the name of the person with a number in the directory; "" if there is none."""
    directory = EmbeddedDirectory(settings_file.with_name("state") / "desk" / "directory.db")

    def name(number):
        people = asyncio.run(directory.find(PhoneNumber(number)))
        return people[0].name if people else ""

    return name


def set_rules(settings_file, rules):
    settings_file.write_text(f"{settings_file.read_text()}\n[directory]\n{rules}\n")


def test_a_file_in_the_folder_is_imported_reported_and_removed(take, folder, name_of):
    (folder / "people.csv").write_text(TWO_PEOPLE)
    done = take()
    assert done.status == 0
    assert done.out == "people.csv: 2 added, 0 replaced, 0 removed, 0 left out, 0 faults\n"
    assert name_of("+441632960001") == "Mair Evans"
    assert [path.name for path in folder.iterdir()] == ["last-import.report.txt"]
    assert (folder / "last-import.report.txt").read_text() == done.out


def test_a_faulty_file_is_set_aside_with_its_faults_and_changes_no_person(take, folder, name_of):
    (folder / "people.csv").write_text(TWO_PEOPLE)
    take()
    (folder / "people.csv").write_text(FAULTY)
    done = take()
    assert done.status == 1
    assert done.out == (
        "people.csv: not imported, and the directory is as it was before\n"
        "people.csv:3: numbers: is not a telephone number\n"
    )
    assert name_of("+441632960001") == "Mair Evans"
    assert (folder / "failed" / "people.csv").read_text() == FAULTY
    assert (folder / "failed" / "people.csv.report.txt").read_text() == done.out


def test_skipped_faults_are_reported_by_line_without_names_and_numbers(
    take, folder, name_of, settings_file
):
    set_rules(settings_file, "watch_skip_faults = true")
    (folder / "people.csv").write_text(FAULTY)
    done = take()
    assert done.status == 0
    assert done.out == (
        "people.csv: 1 added, 0 replaced, 0 removed, 1 left out, 1 faults\n"
        "people.csv:3: numbers: is not a telephone number\n"
    )
    assert (folder / "last-import.report.txt").read_text() == done.out
    assert name_of("+441632960001") == "Nia Morgan"


def test_the_refusal_of_a_file_without_a_header_does_not_quote_its_first_person(take, folder):
    (folder / "people.csv").write_text("P1,Mair Evans,01632 960001\n")
    done = take()
    assert done.status == 1
    assert "people.csv:1: column 2: is not a known column" in done.out
    assert not {"mair", "960001"} & set(done.out.lower().replace(",", " ").split())


def test_absent_people_stay_unless_the_settings_remove_them(take, folder, name_of, settings_file):
    (folder / "people.csv").write_text(TWO_PEOPLE)
    take()
    half = HEADER + "P1,Mair Evans,01632 960001\n"
    (folder / "people.csv").write_text(half)
    assert "0 removed" in take().out
    assert name_of("+441632960002") == "Owen Evans"
    set_rules(settings_file, "watch_remove_absent = true")
    (folder / "people.csv").write_text(half)
    assert "1 removed" in take().out
    assert name_of("+441632960002") == ""


def test_a_file_that_would_remove_most_people_is_refused_as_cut_off(
    take, folder, name_of, settings_file
):
    set_rules(settings_file, "watch_remove_absent = true\nwatch_least = 0.51")
    (folder / "people.csv").write_text(TWO_PEOPLE)
    take()
    (folder / "people.csv").write_text(HEADER + "P1,Mair Evans,01632 960001\n")
    done = take()
    assert done.status == 1
    assert "only 1 of 2 people would remain, so the file may be incomplete" in done.out
    assert name_of("+441632960002") == "Owen Evans"


def test_of_two_files_the_newer_file_is_imported_last(take, folder, name_of):
    for name, person, written in (("a.csv", "Newer", 200), ("b.csv", "Older", 100)):
        (folder / name).write_text(f"{HEADER}P1,{person},01632 960001\n")
        os.utime(folder / name, (written, written))
    done = take("--json")
    assert [report["file"] for report in done.json()] == ["b.csv", "a.csv"]
    assert name_of("+441632960001") == "Newer"


def test_a_faulty_file_does_not_prevent_the_import_of_a_later_file(take, folder, name_of):
    (folder / "a.csv").write_text(FAULTY)
    os.utime(folder / "a.csv", (100, 100))
    (folder / "b.csv").write_text(TWO_PEOPLE)
    done = take("--json")
    assert done.status == 1
    assert [bool(report["error"]) for report in done.json()] == [True, False]
    assert name_of("+441632960001") == "Mair Evans"


def test_refused_files_stay_until_a_file_with_everybody_replaces_them(take, folder, settings_file):
    (folder / "a.csv").write_text(FAULTY)
    take()
    (folder / "b.csv").write_text(TWO_PEOPLE)
    take()
    assert (folder / "failed" / "a.csv").exists()
    set_rules(settings_file, "watch_remove_absent = true")
    (folder / "b.csv").write_text(TWO_PEOPLE)
    take()
    assert list((folder / "failed").iterdir()) == []


def test_a_file_name_with_control_characters_is_not_printed(take, folder):
    (folder / "a\n\x1b[31mgalwad: hacked.csv").write_text(TWO_PEOPLE)
    done = take()
    assert done.status == 1
    assert done.out.startswith("a file with an unsuitable name: not imported")
    assert "hacked" not in done.out + done.err


def test_a_folder_that_is_missing_is_one_clear_error(take, folder):
    folder.rmdir()
    done = take()
    assert done.status == 1
    assert f"error: {folder}: cannot be used: No such file or directory" in done.err


def start(folder, settings_file, **more):
    command = [*GALWAD, "directory", "import-folder", folder, "--config", settings_file]
    return Child(command, **more)


def wait_until(true):
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_after_a_killed_import_the_directory_is_unchanged_and_the_file_can_be_imported_again(
    take, folder, name_of, settings_file
):
    (folder / "people.csv").write_text(TWO_PEOPLE)
    take()
    (folder / "people.csv").write_text(MANY_PEOPLE)
    new = settings_file.with_name("state") / "desk" / "directory.db.new"
    with start(folder, settings_file) as process:
        wait_until(lambda: new.exists() and new.stat().st_size > 0)
        process.send_signal(signal.SIGKILL)
    assert name_of("+441632000001") == ""
    assert name_of("+441632960001") == "Mair Evans"
    assert (folder / "people.csv").read_text() == MANY_PEOPLE
    assert take().status == 0
    assert name_of("+441632000001") == "New Person 1"


def test_an_import_waits_until_another_import_has_ended(take, folder, name_of, settings_file):
    (folder / "people.csv").write_text(TWO_PEOPLE)
    take()
    lock = settings_file.with_name("state") / "desk" / "directory.db.lock"
    (folder / "people.csv").write_text(TWO_PEOPLE.replace("Mair", "Elin"))
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with start(folder, settings_file, stdout=DEVNULL) as process:
            wait_until(lambda: f"{lock.stat().st_ino} " in waiting_for_locks())
            assert name_of("+441632960001") == "Mair Evans"
            fcntl.flock(held, fcntl.LOCK_UN)
            assert process.wait(DEADLINE_S) == 0
    assert name_of("+441632960001") == "Elin Evans"


def waiting_for_locks():
    """Return the lines of /proc/locks about processes that wait for a lock."""
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return "\n".join(line for line in lines if "->" in line)
