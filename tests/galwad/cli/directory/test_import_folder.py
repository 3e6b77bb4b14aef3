"""`galwad directory import-folder`: files of another system, each imported as a whole or refused.

Covers `galwad/cli/directory/import_folder.py`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from callerid import import_folder
from callerid.directories.embedded import EmbeddedDirectory
from callerid.number import PhoneNumber

HEADER = "reference,name,numbers\n"
PEOPLE = HEADER + "P1,Mair Evans,01632 960001\nP2,Owen Evans,01632 960002\n"
FAULTY = HEADER + "P1,Nia Morgan,01632 960001\nP2,Huw Morgan,01632 96000x\n"
MANY = HEADER + "".join(f"Q{n},New Person {n},01632 {n:06}\n" for n in range(200_000))
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
    (folder / "people.csv").write_text(PEOPLE)
    done = take()
    assert done.status == 0
    assert done.out == "people.csv: 2 added, 0 replaced, 0 removed, 0 left out, 0 faults\n"
    assert name_of("+441632960001") == "Mair Evans"
    assert [path.name for path in folder.iterdir()] == ["last-import.report.txt"]
    assert (folder / "last-import.report.txt").read_text() == done.out


def test_a_faulty_file_is_set_aside_with_its_faults_and_changes_nobody(take, folder, name_of):
    (folder / "people.csv").write_text(PEOPLE)
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


def test_a_file_without_a_header_is_refused_without_repeating_its_first_person(take, folder):
    (folder / "people.csv").write_text("P1,Mair Evans,01632 960001\n")
    done = take()
    assert done.status == 1
    assert "people.csv:1: column 2: is not a known column" in done.out
    assert not {"mair", "960001"} & set(done.out.lower().replace(",", " ").split())


def test_absent_people_stay_unless_the_settings_remove_them(take, folder, name_of, settings_file):
    (folder / "people.csv").write_text(PEOPLE)
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
    (folder / "people.csv").write_text(PEOPLE)
    take()
    (folder / "people.csv").write_text(HEADER + "P1,Mair Evans,01632 960001\n")
    done = take()
    assert done.status == 1
    assert "only 1 of 2 people would remain, so the file may be incomplete" in done.out
    assert name_of("+441632960002") == "Owen Evans"


def test_of_two_files_the_newer_one_is_in_force_at_the_end(take, folder, name_of):
    for name, person, written in (("a.csv", "Newer", 200), ("b.csv", "Older", 100)):
        (folder / name).write_text(f"{HEADER}P1,{person},01632 960001\n")
        os.utime(folder / name, (written, written))
    done = take("--json")
    assert [report["file"] for report in done.json()] == ["b.csv", "a.csv"]
    assert name_of("+441632960001") == "Newer"


def test_after_a_faulty_file_the_next_one_is_still_imported(take, folder, name_of):
    (folder / "a.csv").write_text(FAULTY)
    os.utime(folder / "a.csv", (100, 100))
    (folder / "b.csv").write_text(PEOPLE)
    done = take("--json")
    assert done.status == 1
    assert [bool(report["error"]) for report in done.json()] == [True, False]
    assert name_of("+441632960001") == "Mair Evans"


def test_refused_files_stay_until_a_file_with_everybody_replaces_them(take, folder, settings_file):
    (folder / "a.csv").write_text(FAULTY)
    take()
    (folder / "b.csv").write_text(PEOPLE)
    take()
    assert (folder / "failed" / "a.csv").exists()
    set_rules(settings_file, "watch_remove_absent = true")
    (folder / "b.csv").write_text(PEOPLE)
    take()
    assert list((folder / "failed").iterdir()) == []


def test_a_name_with_control_characters_reaches_no_line_of_the_output(take, folder):
    (folder / "a\n\x1b[31mgalwad: hacked.csv").write_text(PEOPLE)
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
    command = (sys.executable, "-m", "galwad", "directory", "import-folder", str(folder))
    return subprocess.Popen([*command, "--config", str(settings_file)], **more)


def wait_until(true):
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_killed_import_leaves_the_directory_and_the_file_for_the_next_attempt(
    take, folder, name_of, settings_file
):
    (folder / "people.csv").write_text(PEOPLE)
    take()
    (folder / "people.csv").write_text(MANY)
    new = settings_file.with_name("state") / "desk" / "directory.db.new"
    with start(folder, settings_file) as process:
        wait_until(lambda: new.exists() and new.stat().st_size > 0)
        process.send_signal(signal.SIGKILL)
    assert name_of("+441632000001") == ""
    assert name_of("+441632960001") == "Mair Evans"
    assert (folder / "people.csv").read_text() == MANY
    assert take().status == 0
    assert name_of("+441632000001") == "New Person 1"


def test_an_import_waits_until_another_one_has_ended(take, folder, name_of, settings_file):
    (folder / "people.csv").write_text(PEOPLE)
    take()
    lock = settings_file.with_name("state") / "desk" / "directory.db.lock"
    (folder / "people.csv").write_text(PEOPLE.replace("Mair", "Elin"))
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with start(folder, settings_file, stdout=subprocess.DEVNULL) as process:
            wait_until(lambda: f"{lock.stat().st_ino} " in waiting_for_locks())
            assert name_of("+441632960001") == "Mair Evans"
            fcntl.flock(held, fcntl.LOCK_UN)
            assert process.wait(DEADLINE_S) == 0
    assert name_of("+441632960001") == "Elin Evans"


def waiting_for_locks():
    """Return the lines of /proc/locks about processes that wait for a lock."""
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return "\n".join(line for line in lines if "->" in line)
