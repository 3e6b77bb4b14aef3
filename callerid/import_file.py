"""The CSV file from which people are imported into the embedded directory.

The file is in UTF-8, with a comma or a semicolon between cells. The first line names the columns,
which may be in any sequence:

| column | needed | meaning |
|---|---|---|
| reference | yes | the CRM's identifier, by which later imports find the person |
| name | yes | the name of the person, as the screen-pop shows it |
| numbers | yes | telephone numbers as people write them (`callerid.written_numbers`) |
| language | no | the preferred language: `cy`, `en` or empty |
| kind | no | `person` (default), `organisation`, `payphone` |
| shared | no | yes/no: several people use the number, so the screen-pop shows a warning |
| do_not_pop | no | yes/no: if yes, a screen-pop never shows the person |
| address, postcode, email, date_of_birth, notes | no | details of the person |

A file has at most `LARGEST_FILE` bytes and `MOST_ROWS` rows. A reference or a name has at most 200
characters, and a detail `LONGEST_DETAIL`.

A cell that seems to contain the number of a payment card is a fault, except in the column numbers.
Normally, a file with a fault is refused. If faults are skipped instead, a row with a fault is left
out. But a row with readable and unreadable numbers, and no other fault, is imported with the
readable numbers. A file whose header has a fault, or that cannot be read to its end, is always
refused.

The file is read row by row and never kept in memory. This module does not store people:
`callerid.directory` does, and also checks how many people have the same number.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, Literal, NamedTuple

from callerid.card_number import ADVICE, has_card_number
from callerid.errors import ImportFault, ImportFileError
from callerid.number import REGION, PhoneNumber
from callerid.person import PersonKind
from callerid.written_numbers import read_numbers

DETAILS = ("reference", "address", "postcode", "email", "date_of_birth", "notes")
_NEEDED = ("reference", "name", "numbers")
_OPTIONAL = ("language", "kind", "shared", "do_not_pop", *DETAILS[1:])
_DEFAULTS = dict.fromkeys(_OPTIONAL, "")
_LANGUAGES = ("", "cy", "en")
_KINDS = tuple(kind.value for kind in PersonKind)
_YES = frozenset({"yes", "y", "true", "1", "ie", "ydy"})
_NO = frozenset({"", "no", "n", "false", "0", "na", "nac ydy"})
LARGEST_FILE = 1 << 30
"""The most bytes of a file. A million people with their addresses have about 130 MB."""
MOST_ROWS = 3_000_000
LONGEST_DETAIL = 2000
"""The most characters of a detail, as in the answer of any other directory."""
MOST_PEOPLE_OF_A_NUMBER = 500
"""The most people of a file with the same number. A search returns no more people than this."""
_TOO_LARGE = f"is too large: an import file may have at most {LARGEST_FILE >> 20} MB"
_MOST_FAULTS = 100
_MOST_CHARACTERS = 200
_MOST_CHARACTERS_OF = {
    **dict.fromkeys(DETAILS, LONGEST_DETAIL),
    **dict.fromkeys(("reference", "name"), _MOST_CHARACTERS),
}
_LONGEST_LINE = 1_000_000
"""The most characters of a line. A row may have twice as many, in several lines.

Without this, a file without line ends, or with one endless row, could fill the memory.
"""


class ImportRow(NamedTuple):
    """One valid row of an import file, which describes one person.

    `line` is the number of the row's last line in the file. `values` has the value of each column;
    a column that the file lacks has its default.
    """

    line: int
    reference: str
    values: dict[str, str | bool]
    numbers: tuple[PhoneNumber, ...]


class _UnreadableError(Exception):
    """A line of the file cannot be read, so the lines after it cannot be read either."""


class ImportFile:
    """Reads the rows of an import file, and collects the faults of the file.

    `file` may be a pipe. `name` is for messages about faults. `region` (such as "GB") and
    `area_code` (such as "01970") complete numbers. With `on_fault` "refuse", `check` refuses any
    file with a fault. With "skip", it refuses only a file whose header has a fault, or that cannot
    be read to its end.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str = "people.csv",
        *,
        region: str = REGION,
        area_code: str = "",
        on_fault: Literal["refuse", "skip"] = "refuse",
    ) -> None:
        self._file = file
        self._name = name
        self._region = region
        self._area_code = area_code
        self._on_fault = on_fault
        self._lines_read = 0
        self._row_characters = 0
        self._characters = 0
        self._unreadable = False
        self._faults: list[ImportFault] = []
        self.fault_count = 0
        self.left_out_count = 0
        self.left_out: set[str] = set()
        """The references of the rows left out; "" for a reference that is missing or too long."""

    @property
    def faults(self) -> tuple[ImportFault, ...]:
        """The first hundred faults that were found, sorted by line."""
        return tuple(sorted(self._faults, key=lambda fault: fault.line))

    def fault(self, line: int, column: str, problem: str) -> None:
        """Add a fault. `column` is empty if the fault concerns the whole line."""
        self.fault_count += 1
        if len(self._faults) < _MOST_FAULTS:
            self._faults.append(ImportFault(self._name, line, column, problem))

    def leave_out(self, reference: str) -> None:
        """Count a row with this reference that is left out because of its faults."""
        self.left_out_count += 1
        # No person in the directory has a longer reference. Many long ones would fill the memory.
        self.left_out.add(reference if len(reference) <= _MOST_CHARACTERS else "")

    def check(self) -> None:
        """Raise an ImportFileError with the first 100 faults, unless all faults are skipped."""
        if self.fault_count and (self._on_fault == "refuse" or self._unreadable):
            raise ImportFileError(list(self.faults))

    def check_size(self) -> None:
        """Raise ImportFileError if a regular file is larger than `LARGEST_FILE`."""
        if self._is_too_large():
            raise ImportFileError([ImportFault(self._name, 1, "", _TOO_LARGE)])

    def _is_too_large(self) -> bool:
        try:
            facts = os.fstat(self._file.fileno())
        except OSError:  # it is in memory
            return False
        return stat.S_ISREG(facts.st_mode) and facts.st_size > LARGEST_FILE

    def rows(self) -> Iterator[ImportRow]:
        """Yield the valid rows of the file, in their sequence.

        Each fault is added. A row with a fault is left out. But if faults are skipped, and only
        some numbers of a row have faults, the row is yielded with its other numbers. If faults are
        not skipped, reading stops after the row with the hundredth fault. No error is raised: call
        `check` after the last row.
        """
        rows = None
        try:
            lines = self._lines()
            first = next(lines, "")
            delimiter = ";" if first.count(";") > first.count(",") else ","
            rows = csv.reader(chain((first,), lines), delimiter=delimiter, strict=True)
            names = [name.strip().lower() for name in next(rows, [])]
            self._check_header(names)
            if self.fault_count:
                self._unreadable = True
                return
            for count, cells in enumerate(rows, 1):
                _check_count(count)
                self._row_characters = 0
                row = self._row(names, list(map(str.strip, cells)), rows.line_num)
                if row is not None:
                    yield row
                if self._on_fault == "refuse" and self.fault_count >= _MOST_FAULTS:
                    return
        except csv.Error as error:
            self._unreadable = True
            line = 1 if rows is None else rows.line_num
            self.fault(line, "", f"cannot be read as CSV: {error}")
        except _UnreadableError as error:
            self._unreadable = True
            self.fault(self._lines_read, "", str(error))

    def _lines(self) -> Iterator[str]:
        """Yield the lines with their ends. Raises `_UnreadableError` if a line cannot be read."""
        if self._is_too_large():
            self._lines_read = 1
            raise _UnreadableError(_TOO_LARGE)
        # A byte that is not UTF-8 becomes a lone surrogate. Without this, the decoder would raise
        # an error that does not say in which line the byte is.
        text = io.TextIOWrapper(self._file, "utf-8-sig", errors="surrogateescape", newline="")
        try:
            while line := self._line(text):
                yield line
        finally:
            text.detach()  # the caller closes the file

    def _line(self, text: io.TextIOWrapper) -> str:
        self._lines_read += 1
        try:
            line = text.readline(_LONGEST_LINE)
        except OSError as error:
            raise _UnreadableError(f"cannot be read: {error.strerror or 'disk error'}") from None
        if len(line) == _LONGEST_LINE and not line.endswith(("\n", "\r")):
            raise _UnreadableError(f"is longer than {_LONGEST_LINE} characters")
        self._characters += len(line)
        if self._characters > LARGEST_FILE:
            raise _UnreadableError(_TOO_LARGE)
        self._row_characters += len(line)
        if self._row_characters > 2 * _LONGEST_LINE:
            raise _UnreadableError(f"belongs to a row of more than {2 * _LONGEST_LINE} characters")
        if not _is_text(line):
            raise _UnreadableError("is not UTF-8 text; save the file as CSV UTF-8")
        return line

    def _check_header(self, names: list[str]) -> None:
        for name in _NEEDED:
            if name not in names:
                self.fault(1, name, "add this column, which is required")
        for place, name in enumerate(names, 1):
            if name not in _NEEDED + _OPTIONAL:
                known = ", ".join(_NEEDED + _OPTIONAL)
                # Without the name: in a file without a header, it is a person's name or number.
                problem = f"is not a known column; the columns are {known}"
                self.fault(1, f"column {place}", problem)
            elif names.count(name) > 1:
                self.fault(1, name, "occurs twice in the header")

    def _row(self, names: list[str], cells: list[str], line: int) -> ImportRow | None:
        """Return the row with these cells; None if it is empty, or left out because of a fault."""
        if not any(cells):
            return None
        if len(cells) != len(names):
            self.fault(line, "", f"has {len(cells)} fields, but the header has {len(names)}")
            self.leave_out(dict(zip(names, cells, strict=False)).get("reference", ""))
            return None
        before = self.fault_count
        given = {**_DEFAULTS, **dict(zip(names, cells, strict=True))}
        values: dict[str, str | bool] = {**given}
        self._check_texts(line, given)
        values["language"] = self._word(line, "language", given["language"], _LANGUAGES)
        values["kind"] = self._word(line, "kind", given["kind"] or PersonKind.PERSON, _KINDS)
        for name in ("shared", "do_not_pop"):
            values[name] = self._flag(line, name, given[name])
        for name, text in given.items():
            if name != "numbers" and has_card_number(text):
                self.fault(line, name, f"seems to contain a payment card number: {ADVICE}")
        before_numbers = self.fault_count
        numbers = self._numbers(line, given["numbers"])
        counted = before_numbers if self._on_fault == "skip" else self.fault_count
        if counted > before or not numbers:
            self.leave_out(given["reference"])
            return None
        return ImportRow(line, given["reference"], values, numbers)

    def _check_texts(self, line: int, given: dict[str, str]) -> None:
        for name in ("reference", "name"):
            if not given[name]:
                self.fault(line, name, "must not be empty")
        for name, most in _MOST_CHARACTERS_OF.items():
            if len(given[name]) > most:
                self.fault(line, name, f"must not be longer than {most} characters")

    def _word(self, line: int, name: str, value: str, known: tuple[str, ...]) -> str:
        value = value.lower()
        if value not in known:
            choice = ", ".join(word for word in known if word)
            self.fault(line, name, f"must be one of {choice}")
        return value

    def _flag(self, line: int, name: str, value: str) -> bool:
        value = value.lower()
        if value in _YES:
            return True
        if value not in _NO:
            self.fault(line, name, "must be yes or no")
        return False

    def _numbers(self, line: int, text: str) -> tuple[PhoneNumber, ...]:
        """Return the readable numbers of a cell. Add a fault for each unreadable number."""
        found = read_numbers(text, region=self._region, area_code=self._area_code)
        for problem in found.faults:
            self.fault(line, "numbers", problem)
        if not found.numbers and not found.faults:
            self.fault(line, "numbers", "must not be empty")
        return found.numbers


def _check_count(rows: int) -> None:
    if rows > MOST_ROWS:
        raise _UnreadableError(f"is one row too many: at most {MOST_ROWS} rows are imported")


def _is_text(line: str) -> bool:
    """Return whether a line has neither undecoded bytes nor NUL characters, as in UTF-16."""
    if "\0" in line:
        return False
    if line.isascii():
        return True
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
