"""The CSV file with people: its rows are read one by one, and every fault is reported.

Covers `callerid/errors.py`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import re
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callerid.errors import ImportFileError
from callerid.import_file import ImportFile
from callerid.number import PhoneNumber
from helpers.directory import read_people

HEADER = "reference,name,numbers,language,kind,shared,do_not_pop,address\n"
COLUMNS = (
    *("reference", "name", "numbers", "language", "kind", "shared", "do_not_pop"),
    *("address", "postcode", "email", "date_of_birth", "notes"),
)


def faults_of(content):
    with pytest.raises(ImportFileError) as error:
        read_people(content)
    return [(fault.line, fault.column) for fault in error.value.faults]


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("reference,name\n", "numbers"),
        ("reference,name,numbers,telephone\n", "column 4"),
        ("reference,name,numbers,name\n", "name"),
        ("", "reference"),
    ],
)
def test_a_wrong_csv_header_is_a_fault_with_its_column(header, column):
    assert (1, column) in faults_of(header)


def test_the_faults_of_a_file_without_a_header_do_not_repeat_the_first_person():
    with pytest.raises(ImportFileError) as error:
        read_people("C-1,Elin Morgan,01632 960001\n")
    assert not re.search("elin|960001|C-1", str(error.value), re.IGNORECASE)


def test_a_csv_file_with_bom_and_semicolons_is_read():
    [row] = read_people("\ufeffReference;Name;Numbers\r\nC-1;Elin, Mrs;01632 960001\r\n")
    assert (row.reference, row.values["name"]) == ("C-1", "Elin, Mrs")
    assert row.numbers == (PhoneNumber("+441632960001"),)


@pytest.mark.parametrize("column", ["reference", "name", "address", "notes"])
def test_a_card_number_in_a_cell_is_a_fault_that_does_not_repeat_it(column):
    cells = {"reference": "C-1", "name": "Elin", "numbers": "01632 960001"}
    cells |= {"address": "", "notes": "", column: "card 4111 1111 1111 1111"}
    with pytest.raises(ImportFileError) as error:
        read_people(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    (fault,) = error.value.faults
    assert (fault.line, fault.column) == (2, column)
    assert "payment card" in fault.problem
    assert "1111" not in str(error.value)


def test_a_telephone_number_that_looks_like_a_card_number_is_no_fault():
    [row] = read_people("reference,name,numbers\nC-1,Elin,+4366412345671|+436641234567\n")
    assert len(row.numbers) == 2


def test_an_open_quote_is_a_fault_with_its_line():
    with pytest.raises(ImportFileError, match=r"people\.csv:2: cannot be read as CSV"):
        read_people('reference,name,numbers\nC-1,"Elin,01632 960001\n')


def person(line, name="Elin"):
    return f"C-{line},{name},01632 96{line:04},,,,,\n"


@pytest.mark.parametrize("bad", [2, 501, 1000], ids=["first", "middle", "last"])
@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("C-0,,01632 960001,,,,,\n", "name", "must not be empty"),
        ("C-0,Elin,01632 96000x,,,,,\n", "numbers", "is not a telephone number"),
        ("C-0,Elin,01632 960001,fr,,,,\n", "language", "must be one of cy, en"),
        ("C-0,Elin,01632 960001,,,perhaps,,\n", "shared", "must be yes or no"),
        ("C-0,Elin,01632 960001\n", "", "has 3 fields, but the header has 8"),
        ("C-0,Elin\xe9,01632 960001,,,,,\n", "", "is not UTF-8 text; save the file as CSV UTF-8"),
        ("C-0,E\0l\0,01632 960001,,,,,\n", "", "is not UTF-8 text; save the file as CSV UTF-8"),
        ('C-0,"Elin" x,01632 960001,,,,,\n', "", "cannot be read as CSV: ',' expected after '\"'"),
    ],
)
def test_a_fault_is_reported_with_its_line_and_column(bad, text, column, problem):
    lines = [person(line) if line != bad else text for line in range(2, 1001)]
    with pytest.raises(ImportFileError) as error:
        read_people((HEADER + "".join(lines)).encode("latin-1"))
    [fault] = error.value.faults
    assert (fault.line, fault.column, fault.problem) == (bad, column, problem)


@pytest.mark.parametrize(
    ("column", "most"),
    [
        *[(name, 200) for name in ("reference", "name")],
        *[(name, 2000) for name in ("address", "postcode", "email", "date_of_birth", "notes")],
    ],
)
def test_a_text_longer_than_its_limit_is_a_fault_with_its_column(column, most):
    cells = dict.fromkeys(COLUMNS, "") | {"reference": "C", "name": "E", "numbers": "01632 960001"}
    cells[column] = "x" * most
    read_people(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    cells[column] += "x"
    with pytest.raises(
        ImportFileError, match=f"must not be longer than {most} characters"
    ) as error:
        read_people(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    assert [(fault.line, fault.column) for fault in error.value.faults] == [(2, column)]


@pytest.fixture
def huge(tmp_path):
    """A file of 4 GB, of which the disk stores only the first line."""
    path = tmp_path / "huge.csv"
    path.write_text(HEADER)
    os.truncate(path, 4 << 30)
    return path


@pytest.mark.parametrize("on_fault", ["refuse", "skip"])
def test_a_file_of_4_gb_is_refused_before_it_is_read(huge, on_fault):
    with huge.open("rb", buffering=0) as content:
        file = ImportFile(content, on_fault=on_fault)
        assert list(file.rows()) == []
        with pytest.raises(ImportFileError, match="an import file may have at most 1024 MB"):
            file.check()
        with pytest.raises(ImportFileError, match="an import file may have at most 1024 MB"):
            file.check_size()
        assert content.tell() == 0


def test_more_data_from_a_pipe_than_the_largest_file_is_refused(monkeypatch):
    monkeypatch.setattr("callerid.import_file.LARGEST_FILE", 10_000)
    with pytest.raises(ImportFileError, match="is too large"):
        read_people(HEADER + "".join(map(person, range(2, 1001))))


def test_a_file_with_too_many_rows_is_refused_even_if_faults_are_skipped(monkeypatch):
    monkeypatch.setattr("callerid.import_file.MOST_ROWS", 10)
    text = HEADER + "".join(map(person, range(2, 12)))
    assert len(read_people(text)) == 10
    file = ImportFile(io.BytesIO((text + person(12)).encode()), on_fault="skip")
    assert len(list(file.rows())) == 10
    with pytest.raises(ImportFileError, match="12: is one row too many: at most 10"):
        file.check()


def test_references_that_are_too_long_are_not_kept_in_memory():
    rows = (f"{'x' * 100_000}{line},,,,,,,\n" for line in range(50))
    file = ImportFile(io.BytesIO((HEADER + "".join(rows)).encode()), on_fault="skip")
    assert (list(file.rows()), file.left_out_count, file.left_out) == ([], 50, {""})


def test_a_row_that_never_ends_is_a_fault_before_it_fills_the_memory():
    """Each line of the row ends inside a quoted cell, so the row continues on the next line."""
    row = 'C-1,"' + 'x","y\n' * 1_000_000
    with pytest.raises(ImportFileError) as error:
        read_people(HEADER + row)
    [fault] = error.value.faults
    assert fault.problem == "belongs to a row of more than 2000000 characters"
    assert fault.line < 400_000


def test_a_line_that_is_too_long_is_a_fault():
    with pytest.raises(ImportFileError, match="2: is longer than 1000000 characters"):
        read_people(HEADER + "C-1," + "x" * 2_000_000)


def test_a_file_that_the_disk_cannot_read_is_a_fault():
    class Broken(io.BytesIO):
        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

        def read1(self, size=-1):
            raise OSError(5, "Input/output error")

    file = ImportFile(Broken())
    assert list(file.rows()) == []
    with pytest.raises(ImportFileError, match="1: cannot be read: Input/output error"):
        file.check()


def test_reading_stops_after_the_row_with_the_hundredth_fault():
    rows = (f"C-{line},,none,,,,,\n".encode() for line in itertools.count())
    endless = itertools.chain((HEADER.encode(),), rows)

    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            line = next(endless)
            buffer[: len(line)] = line
            return len(line)

    file = ImportFile(io.BufferedReader(Endless()))
    assert list(file.rows()) == []
    with pytest.raises(ImportFileError) as error:
        file.check()
    assert len(error.value.faults) == 100


def test_reading_a_large_file_takes_little_memory():
    """The rows are two megabytes of text, and many times that as Python objects."""
    address = "1 Example Street; " * 5
    text = HEADER + "".join(f"C-{n},Elin,01632 960001,,,,,{address}\n" for n in range(20_000))
    file = ImportFile(io.BytesIO(text.encode()))
    tracemalloc.start()
    assert sum(1 for _ in file.rows()) == 20_000
    (_, peak) = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
TEXT = CELL.filter(str.strip)
PERSON = st.fixed_dictionaries(
    {
        "reference": TEXT,
        "name": TEXT,
        "numbers": st.lists(st.integers(0, 9999), min_size=1, max_size=3).map(
            lambda tails: "|".join(f" 01632 96{tail:04} " for tail in tails)
        ),
    },
    optional={
        "language": st.sampled_from(["", "cy", "EN"]),
        "kind": st.sampled_from(["", "person", "Organisation"]),
        "shared": st.sampled_from(["", "yes", "No", "ie"]),
        **dict.fromkeys(COLUMNS[7:], CELL),
    },
)


@given(
    st.lists(PERSON, max_size=6),
    st.permutations(COLUMNS),
    st.fixed_dictionaries(
        {
            "delimiter": st.sampled_from(",;"),
            "lineterminator": st.sampled_from(["\n", "\r\n", "\r"]),
            "quoting": st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
        }
    ),
    st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_rows_are_read_as_a_csv_writer_wrote_them(people, columns, dialect, encoding):
    if any(end in text for person in people for text in person.values() for end in "\r\n"):
        dialect["quoting"] = csv.QUOTE_ALL  # the writer does not quote every kind of line end
    out = io.StringIO()
    writer = csv.writer(out, **dialect)
    writer.writerow(columns)
    writer.writerows([person.get(name, "") for name in columns] for person in people)
    rows = read_people(out.getvalue().encode(encoding))
    assert [row.reference for row in rows] == [person["reference"].strip() for person in people]
    for row, written in zip(rows, people, strict=True):
        for name in ("name", *COLUMNS[7:]):
            assert row.values[name] == written.get(name, "").strip()
        assert row.values["language"] == written.get("language", "").lower()
        assert row.values["kind"] == (written.get("kind", "").lower() or "person")
        assert row.values["shared"] == (written.get("shared") in {"yes", "ie"})
        expected = [
            f"+44{part.strip()[1:].replace(' ', '')}" for part in written["numbers"].split("|")
        ]
        assert [number.e164 for number in row.numbers] == list(dict.fromkeys(expected))


@given(st.text(max_size=300))
def test_any_text_is_read_or_raises_import_file_error(text):
    for head in ("", HEADER):
        with contextlib.suppress(ImportFileError):
            read_people(head + text)


@given(st.binary(max_size=300))
@example("reference,name,numbers\nC-1,Elin,01632 960001\n".encode("utf-16"))
def test_any_bytes_are_read_or_raise_import_file_error(content):
    for head in (b"", HEADER.encode()):
        with contextlib.suppress(ImportFileError):
            read_people(head + content)
