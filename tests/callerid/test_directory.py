"""The embedded directory: people are found by number, and an import replaces all or nothing.

Covers `callerid/directories/embedded.py`.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callerid.directories.embedded import EmbeddedDirectory
from callerid.directory import TABLES, ImportResult, new_directory, open_directory
from callerid.errors import DirectoryError, ImportFileError
from callerid.import_file import ImportFile
from callerid.number import PhoneNumber
from callerid.person import PersonKind
from callerid.written_numbers import matching
from helpers.directory import import_people
from helpers.examples import examples
from helpers.root import as_root
from helpers.units import memory_max_mb

HEADER = "reference,name,numbers,language,kind,shared,do_not_pop,address\n"
ELIN = "C-1,Elin Fictitious,01632 960001|07700 900123,cy,person,no,no,1 Example Street\n"
CARE = "C-2,Fictitious Care Home,01632 960100,en,organisation,yes,no,\n"
NURSE = "C-3,Ward Nurse,01632 960100 x12,en,person,no,no,\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "desk" / "directory.db"


async def find(path, number):
    """Return the people with this number whom a screen-pop may show."""
    number = PhoneNumber.parse(number)
    people = matching(await EmbeddedDirectory(path).find(number), number)
    return [person for person in people if not person.do_not_pop]


def files_of(path):
    return sorted(each.name for each in path.parent.iterdir())


def content_of(path):
    """Return all rows of a directory."""
    with closing(sqlite3.connect(path)) as connection:
        people = connection.execute("SELECT * FROM people ORDER BY id").fetchall()
        return people, connection.execute("SELECT * FROM numbers ORDER BY 1, 2, 3").fetchall()


async def test_without_a_directory_no_person_is_found(path):
    assert await find(path, "01632 960001") == []


async def test_a_person_is_found_by_each_of_their_numbers(path):
    result = import_people(path, HEADER + ELIN)
    assert (result.added, result.replaced, result.removed) == (1, 0, 0)
    for number in ("+441632960001", "07700 900123"):
        (person,) = await find(path, number)
        assert person.name == "Elin Fictitious"
        assert person.language == "cy"
        assert dict(person.details) == {"reference": "C-1", "address": "1 Example Street"}


async def test_a_colleague_is_found_by_an_internal_extension(path):
    colleagues = "C-8,Siân,ext 201 | 01632 960300,cy,person,no,no,\nC-9,Huw,est. 2010,,,,,\n"
    import_people(path, HEADER + colleagues)
    directory = EmbeddedDirectory(path)
    assert [each.name for each in await directory.find(PhoneNumber("", "201"))] == ["Siân"]
    assert [each.name for each in await directory.find(PhoneNumber("", "2010"))] == ["Huw"]
    assert await directory.find(PhoneNumber("", "300")) == []


async def test_the_exact_extension_comes_before_the_main_line(path):
    import_people(path, HEADER + CARE + NURSE)
    (nurse,) = await find(path, "01632 960100 x12")
    assert (nurse.name, nurse.main_line) == ("Ward Nurse", False)
    (home,) = await find(path, "01632 960100")
    assert (home.kind, home.shared, home.main_line) == (PersonKind.ORGANISATION, True, False)
    both = await find(path, "01632 960100 x99")
    assert {person.name for person in both} == {"Fictitious Care Home", "Ward Nurse"}
    assert all(person.main_line for person in both)


def same_number(people, number="01632 960100"):
    return "".join(f"C-{at},Nurse {at:04},{number},,,,,\n" for at in range(people))


async def test_a_number_of_500_people_is_imported_and_a_number_of_501_people_is_a_fault(path):
    import_people(path, HEADER + same_number(500))
    assert len(await find(path, "01632 960100")) == 500
    with pytest.raises(ImportFileError) as error:
        import_people(path, HEADER + same_number(502))
    faults = [(each.line, each.column, each.problem) for each in error.value.faults]
    problem = "has a number that 500 earlier rows have too"
    assert faults == [(502, "numbers", problem), (503, "numbers", problem)]


async def test_people_with_an_overused_number_keep_their_other_number_if_faults_are_skipped(path):
    last = "C-last,Elin Fictitious,01632 960100|01632 960001,,,,,\n"
    result = import_people(path, HEADER + same_number(500) + last, on_fault="skip")
    assert result == ImportResult(501, 0, 0)
    assert len(await find(path, "01632 960100")) == 500
    assert [each.name for each in await find(path, "01632 960001")] == ["Elin Fictitious"]


async def test_many_extensions_of_one_number_are_no_fault_and_a_search_finds_500_people(path):
    rows = "".join(f"C-{at},Nurse,01632 960100 x{at},,,,,\n" for at in range(100, 800))
    import_people(path, HEADER + rows)
    directory = EmbeddedDirectory(path)
    people = await directory.find(PhoneNumber("+441632960100", "799"))
    assert len(people) == 500
    assert people[0].detail("reference") == "C-799"


def fill_beyond_limits(path, people, letters):
    """Give a directory people with one number and long details, as an earlier version could."""
    path.parent.mkdir(parents=True)
    details = [chr(0x1F600) * letters] * 5
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
        for at in range(1, people + 1):
            values = (at, f"C-{at}", f"Nurse {at:04}", "", "person", 0, 0, *details, None)
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO people VALUES ({marks})", values)
            connection.execute("INSERT INTO numbers VALUES ('+441632960100', '', ?)", (at,))
        connection.commit()


async def test_a_search_returns_at_most_500_people_with_texts_of_at_most_2000_characters(path):
    fill_beyond_limits(path, 600, 3000)
    people = await EmbeddedDirectory(path).find(PhoneNumber("+441632960100"))
    assert [each.name for each in people] == [f"Nurse {at:04}" for at in range(1, 501)]
    assert {len(each.detail("notes")) for each in people} == {2000}
    (one,) = await EmbeddedDirectory(path).search("C-600")
    assert len(one.detail("address")) == 2000


LOOKUPS = """
import asyncio, resource, sys
from pathlib import Path
from callerid.number import PhoneNumber
from callerid.directories.embedded import LIMITS, EmbeddedDirectory
directory = EmbeddedDirectory(Path(sys.argv[1]))
number = PhoneNumber("+441632960100")
async def main():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = await asyncio.gather(*[directory.find(number) for _ in range(LIMITS.concurrency)])
    print(sum(map(len, found)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
asyncio.run(main())
"""


def test_all_searches_at_once_use_less_than_a_third_of_the_memory_of_the_desks_unit(path):
    """Each search finds 500 people with five details of 2000 characters of 4 bytes."""
    fill_beyond_limits(path, 600, 3000)
    done = subprocess.run(
        [sys.executable, "-c", LOOKUPS, str(path)], capture_output=True, text=True, check=True
    )
    found, used_kb = map(int, done.stdout.split())
    assert found == 8 * 500
    assert used_kb / 1024 < memory_max_mb("desk") / 3


async def test_a_search_that_is_cancelled_stops_reading(path, monkeypatch):
    import_people(path, HEADER + same_number(500))
    long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000000)"
    monkeypatch.setattr(
        "callerid.directories.embedded._QUERY", f"{long} SELECT max(i) AS id FROM n"
    )
    loop, reading = asyncio.get_running_loop(), asyncio.Event()
    ends: list[object] = []

    class Spied(EmbeddedDirectory):
        def _execute(self, *arguments):
            loop.call_soon_threadsafe(reading.set)
            try:
                ends.append(super()._execute(*arguments))
            except sqlite3.Error as error:
                ends.append(str(error))
                raise
            return ends[-1]

    search = asyncio.create_task(Spied(path).find(PhoneNumber("+441632960100")))
    await reading.wait()
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    await loop.shutdown_default_executor()  # waits for the thread
    assert ends == ["interrupted"]


async def test_a_number_that_matches_only_in_part_is_not_found(path):
    import_people(path, HEADER + ELIN)
    for number in ("+441633960001", "+33163296000", "01632 960011"):
        assert await find(path, number) == []


async def test_importing_again_replaces_people_by_reference_and_keeps_their_ids(path):
    import_people(path, HEADER + ELIN + CARE)
    (before,) = await find(path, "01632 960001")
    moved = "C-1,Elin Moved,01632 960005,en,person,no,no,\n"
    result = import_people(path, HEADER + moved)
    assert (result.added, result.replaced, result.removed) == (0, 1, 0)
    assert await find(path, "01632 960001") == []
    (after,) = await find(path, "01632 960005")
    assert (after.person_id, after.name) == (before.person_id, "Elin Moved")
    assert len(await find(path, "01632 960100")) == 1
    result = import_people(path, HEADER + moved, "remove")
    assert result.removed == 1
    assert await find(path, "01632 960100") == []


async def test_a_faulty_file_changes_nothing_and_names_every_fault(path):
    import_people(path, HEADER + ELIN)
    before = content_of(path)
    rows = [
        "C-1,Someone Else,01632 960009,cy,person,no,no,",
        "C-4,,not a number,fr,robot,perhaps,no,",
        "C-5,Too Few,01632 960003",
        "C-1,Again,01632 960004,en,person,no,no,",
        "C-6,New,01632 960006,en,person,no,no,",
        "C-6,New again,01632 960006,en,person,no,no,",
    ]
    with pytest.raises(ImportFileError) as error:
        import_people(path, HEADER + "\n".join(rows))
    faults = [(fault.line, fault.column) for fault in error.value.faults]
    assert faults == [
        (3, "name"),
        (3, "language"),
        (3, "kind"),
        (3, "shared"),
        (3, "numbers"),
        (4, ""),
        (5, "reference"),
        (7, "reference"),
    ]
    assert str(error.value).startswith("people.csv:3: name: must not be empty")
    assert str(error.value).endswith("people.csv:7: reference: is the same as in line 6")
    assert "not a number," not in str(error.value)
    assert content_of(path) == before
    assert files_of(path) == ["directory.db", "directory.db.lock"]


FAULTY = [
    "C-1,,01632 960009,cy,person,no,no,",
    "C-4,Half Readable,01632 960004 | nonsense 1,en,person,no,no,",
    "C-5,Unreadable,none,en,person,no,no,",
    "C-6,New,01632 960006,en,person,no,no,",
    "C-6,New again,01632 960007,en,person,no,no,",
    "C-7,Too Few,01632 960008",
]


@pytest.mark.parametrize("absent", ["keep", "remove"])
async def test_rows_with_skipped_faults_are_left_out_and_people_named_in_them_are_kept(
    path, absent
):
    import_people(path, HEADER + ELIN + "C-9,Absent,01632 960010,en,person,no,no,\n")
    text = HEADER + "\n".join(FAULTY)
    result = import_people(path, text, absent, on_fault="skip")
    assert result == ImportResult(added=2, replaced=0, removed=1 if absent == "remove" else 0)
    found = {
        number: [person.name for person in await find(path, number)]
        for number in ("01632 960001", "01632 960004", "01632 960006", "01632 960007")
    }
    assert found == {
        "01632 960001": ["Elin Fictitious"],
        "01632 960004": ["Half Readable"],
        "01632 960006": ["New"],
        "01632 960007": [],
    }
    assert bool(await find(path, "01632 960010")) is (absent == "keep")


def test_skipped_faults_are_all_counted_and_a_hundred_of_them_are_kept():
    rows = [f"C-{n},,01632 960001,en,person,no,no,\n" for n in range(5000)]
    file = ImportFile(io.BytesIO((HEADER + "".join(rows)).encode()), on_fault="skip")
    assert list(file.rows()) == []
    file.check()
    assert (file.fault_count, len(file.faults), file.left_out_count) == (5000, 100, 5000)


@pytest.mark.parametrize("text", ["reference,name\n", HEADER + 'C-1,"Elin,01632 960001'])
def test_a_file_that_cannot_be_read_to_its_end_is_refused_even_if_faults_are_skipped(path, text):
    with pytest.raises(ImportFileError):
        import_people(path, text, on_fault="skip")
    assert not path.exists()


def test_a_reference_that_occurs_again_thousands_of_lines_later_is_a_fault(path):
    rows = [f"C-{n},Elin,01632 {n:06},en,person,no,no,\n" for n in range(5000)]
    with pytest.raises(ImportFileError) as error:
        import_people(path, HEADER + "".join(rows) + rows[17])
    assert str(error.value) == "people.csv:5002: reference: is the same as in line 19"


def test_an_import_stops_soon_after_the_hundredth_repeated_reference(path):
    rows = ("C-1,Elin,01632 960001,en,person,no,no,\n" for _ in range(20_000))
    file = ImportFile(io.BytesIO((HEADER + "".join(rows)).encode()))
    path.parent.mkdir()
    seen: list[int] = []
    with pytest.raises(ImportFileError) as error, new_directory(path) as new:
        new.fill(file, on_progress=seen.append)
    assert len(error.value.faults) == 100
    assert error.value.faults[-1].line == 102
    assert seen[-1] == 1000


async def test_many_hidden_people_do_not_displace_a_visible_person(path):
    rows = [f"H-{n},Hidden {n:02},01632 960200,en,person,no,yes,\n" for n in range(50)]
    visible = "V-1,Visible Person,01632 960200,en,person,no,no,\n"
    import_people(path, HEADER + "".join(rows) + visible)
    (person,) = await find(path, "01632 960200")
    assert person.name == "Visible Person"


PEOPLE = st.dictionaries(
    st.sampled_from("ABCDEF"),
    st.lists(
        st.sampled_from(["+441632960001", "+441632960002", "+35312345678"]), min_size=1, max_size=4
    ),
    max_size=6,
)
IMPORTS = st.lists(st.tuples(PEOPLE, st.sampled_from(["keep", "remove"])), max_size=6)


@settings(max_examples=examples(60))
@given(IMPORTS)
def test_several_imports_give_the_same_directory_as_a_model_dict(imports):
    """The model is a dict of numbers by reference, and the id that each reference was given."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "directory.db"
        model: dict[str, list[str]] = {}
        ids: dict[str, int] = {}
        last_id = 0
        for people, absent in imports:
            out = io.StringIO()
            writer = csv.writer(out)
            writer.writerow(["reference", "name", "numbers"])
            writer.writerows([key, f"Name {key}", "|".join(people[key])] for key in people)
            result = import_people(path, out.getvalue(), absent)
            removed = set(model) - set(people) if absent == "remove" else set()
            expected = len(set(people) - set(model)), len(set(people) & set(model)), len(removed)
            assert (result.added, result.replaced, result.removed) == expected
            model = {key: model[key] for key in model if key not in removed} | people
            for key in people:
                if key not in ids:
                    last_id += 1
                    ids[key] = last_id
            ids = {key: ids[key] for key in model}
            rows, numbers = content_of(path)
            assert {(row[1], row[0]) for row in rows} == set(ids.items())
            assert {(number, ids[key]) for key in model for number in model[key]} == {
                (number, person) for number, _, person in numbers
            }


def test_the_id_of_a_removed_person_is_not_given_to_another_person(path):
    import_people(path, HEADER + ELIN + CARE)
    import_people(path, HEADER + ELIN, "remove")
    import_people(path, HEADER + ELIN + NURSE)
    people, _ = content_of(path)
    assert [(row[0], row[1]) for row in people] == [(1, "C-1"), (3, "C-3")]


async def test_a_lookup_finds_the_earlier_people_until_the_import_is_put_in_force(path):
    import_people(path, HEADER + ELIN)
    moved = HEADER + "C-1,Elin Moved,01632 960005,en,person,no,no,\n"
    with new_directory(path) as new:
        new.fill(ImportFile(io.BytesIO(moved.encode())))
        assert [person.name for person in await find(path, "01632 960001")] == ["Elin Fictitious"]
        assert await find(path, "01632 960005") == []
        new.put_in_force()
        assert await find(path, "01632 960001") == []
        assert [person.name for person in await find(path, "01632 960005")] == ["Elin Moved"]


async def test_a_lookup_whose_file_is_replaced_after_opening_opens_the_new_file(path, monkeypatch):
    import_people(path, HEADER + ELIN)
    directory = EmbeddedDirectory(path)
    opened = []

    def open_and_import(*arguments):
        opened.append(open_directory(*arguments))
        if len(opened) == 1:
            import_people(path, HEADER + "C-1,Elin Moved,01632 960001,en,person,no,no,\n")
        return opened[-1]

    monkeypatch.setattr("callerid.directories.embedded.open_directory", open_and_import)
    [person] = await directory.find(PhoneNumber("+441632960001"))
    assert (person.name, len(opened)) == ("Elin Moved", 2)


def test_the_replaced_file_of_a_directory_is_overwritten_with_zeros(path):
    import_people(path, HEADER + ELIN)
    with path.open("rb") as replaced:
        size = len(replaced.read())
        replaced.seek(0)
        import_people(path, HEADER + CARE, "remove")
        assert replaced.read() == bytes(size)
    assert files_of(path) == ["directory.db", "directory.db.lock"]


def test_a_replaced_file_that_is_still_read_stays_until_the_next_import(path, monkeypatch):
    monkeypatch.setattr("callerid.directory._READERS_S", 0.01)
    import_people(path, HEADER + ELIN)
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT name FROM people").fetchall() == [("Elin Fictitious",)]
        import_people(path, HEADER + CARE, "remove")
        assert "directory.db.old" in files_of(path)
        assert reader.execute("SELECT name FROM people").fetchall() == [("Elin Fictitious",)]
    import_people(path, HEADER + CARE)
    assert files_of(path) == ["directory.db", "directory.db.lock"]


def test_a_second_import_at_the_same_time_is_refused(path):
    import_people(path, HEADER + ELIN)
    with new_directory(path) as new:
        new.fill(ImportFile(io.BytesIO((HEADER + CARE).encode())))
        with pytest.raises(DirectoryError, match="another import into the directory is running"):
            import_people(path, HEADER + NURSE)
        new.put_in_force()
    assert [row[1] for row in content_of(path)[0]] == ["C-1", "C-2"]


KILLED = """\
import io, os, sys
from pathlib import Path
from callerid.directory import new_directory
from callerid.import_file import ImportFile

calls, deadly = 0, int(sys.argv[2])

def audit(event, _):
    global calls
    if event in {"os.link", "os.rename", "os.remove", "open", "sqlite3.connect/handle"}:
        calls += 1
        if calls == deadly:
            os.kill(os.getpid(), 9)

path, text = Path(sys.argv[1]), sys.stdin.read()
sys.addaudithook(audit)
with new_directory(path) as new:
    new.fill(ImportFile(io.BytesIO(text.encode())))
    new.put_in_force()
"""


def test_an_import_killed_at_any_step_leaves_either_the_earlier_or_the_new_directory(path):
    found, deadly, status = [], 0, -9
    while status == -9:
        import_people(path, HEADER + ELIN, "remove")
        deadly += 1
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), str(deadly)],
            check=False,
            input=HEADER + CARE,
            text=True,
            timeout=60,
        )
        status = done.returncode
        people = [row[1] for row in content_of(path)[0]]
        assert people in (["C-1"], ["C-1", "C-2"])
        found.append((people, len(files_of(path))))
        import_people(path, HEADER + ELIN)
        assert files_of(path) == ["directory.db", "directory.db.lock"]
    assert status == 0
    assert found == sorted(found, key=lambda each: len(each[0])), "the change is one step"
    assert {count for _, count in found} >= {2, 3, 4}
    assert found[0][0] == ["C-1"]
    assert found[-1] == (["C-1", "C-2"], 2)


def test_an_interrupted_import_changes_nothing_and_leaves_no_unfinished_file(path):
    import_people(path, HEADER + ELIN)
    before = content_of(path)

    def interrupt(_people):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), new_directory(path) as new:
        new.fill(ImportFile(io.BytesIO((HEADER + CARE).encode())), on_progress=interrupt)
    assert content_of(path) == before
    assert files_of(path) == ["directory.db", "directory.db.lock"]


def test_progress_is_reported_as_the_number_of_people_read(path):
    path.parent.mkdir()
    rows = "".join(f"C-{n},Elin,01632 {n:06},en,person,no,no,\n" for n in range(2500))
    seen: list[int] = []
    with new_directory(path) as new:
        new.fill(ImportFile(io.BytesIO((HEADER + rows).encode())), on_progress=seen.append)
    assert seen == [1000, 2000, 2500]


@pytest.mark.parametrize("content", [b"no database at all" * 99, TABLES.encode()[:50]])
async def test_a_damaged_directory_is_unavailable_and_is_not_replaced(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DirectoryError, match="DatabaseError"):
        await find(path, "01632 960001")
    with pytest.raises(DirectoryError, match="file is not a database"):
        import_people(path, HEADER + ELIN)
    assert path.read_bytes() == content


async def test_a_directory_of_a_later_version_is_unavailable_and_is_not_replaced(path):
    import_people(path, HEADER + ELIN)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(DirectoryError):
        await find(path, "01632 960001")
    with pytest.raises(DirectoryError, match="from a later version"):
        import_people(path, HEADER + CARE)
    assert path.read_bytes() == before


def test_an_import_by_root_gives_each_file_to_the_owner_of_the_folder(path):
    """Otherwise the desk, which is not root, could not read the directory."""
    script = (
        "import io, sys\n"
        "from pathlib import Path\n"
        "from callerid.directory import new_directory\n"
        "from callerid.import_file import ImportFile\n"
        "path = Path(sys.argv[1])\n"
        "with new_directory(path) as new:\n"
        "    new.fill(ImportFile(io.BytesIO(sys.argv[2].encode())))\n"
        "    print([each.stat().st_uid for each in path.parent.iterdir()])\n"
        "    new.put_in_force()\n"
        "print([each.stat().st_uid for each in path.parent.iterdir()])\n"
    )
    path.parent.mkdir()
    as_root("chown", "4242:4242", str(path.parent))
    try:
        owners = as_root(sys.executable, "-c", script, str(path), HEADER + ELIN)
    finally:
        as_root("chown", "-R", f"{os.getuid()}:{os.getgid()}", str(path.parent))
    assert owners.splitlines() == ["[4242, 4242]", "[4242, 4242]"]


def test_only_the_owner_may_read_the_files_of_the_directory(path):
    umask = os.umask(0)
    try:
        import_people(path, HEADER + ELIN)
    finally:
        os.umask(umask)
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}
