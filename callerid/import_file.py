"""The CSV file from which people are imported into the embedded directory.

The file is in UTF-8, with a comma or a semicolon between cells. The first line names the columns,
which may be in any sequence:

| column | needed | meaning |
|---|---|---|
| reference | yes | the CRM's identifier, by which later imports find the person |
| name | yes | the name of the person, as the screen-pop shows it |
| numbers | yes | telephone numbers, separated by `|` ; `01970 625000 x12` has an extension |
| language | no | the preferred language: `cy`, `en` or empty |
| kind | no | `person` (default), `organisation`, `payphone` |
| shared | no | yes/no: several people use the number, so the screen-pop shows a warning |
| do_not_pop | no | yes/no: if yes, a screen-pop never shows the person |
| address, postcode, email, date_of_birth, notes | no | details of the person |

A cell that seems to contain the number of a payment card is a fault.

The file is read row by row, so its size does not matter. This module does not store people:
`callerid.directory` does.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

from callerid.card_number import ADVICE, has_card_number
from callerid.errors import ImportFault, ImportFileError, NumberError
from callerid.number import REGION, PhoneNumber
from callerid.person import PersonKind

DETAILS = ("reference", "address", "postcode", "email", "date_of_birth", "notes")
_NEEDED = ("reference", "name", "numbers")
_OPTIONAL = ("language", "kind", "shared", "do_not_pop", *DETAILS[1:])
_DEFAULTS = dict.fromkeys(_OPTIONAL, "")
_LANGUAGES = ("", "cy", "en")
_KINDS = tuple(kind.value for kind in PersonKind)
_YES = frozenset({"yes", "y", "true", "1", "ie", "ydy"})
_NO = frozenset({"", "no", "n", "false", "0", "na", "nac ydy"})
_MOST_FAULTS = 100
_MOST_CHARACTERS = 200
_LONGEST_LINE = 1_000_000
"""The most characters of a line. Without it, a file without line ends could fill the memory."""


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

    Args:
        file: The file, opened for reading. It does not have to be seekable, so it may be a pipe.
        name: The name of the file, for the messages about faults.
        region: The country to which numbers without a country code belong, such as "GB".
    """

    def __init__(self, file: BinaryIO, name: str = "people.csv", region: str = REGION) -> None:
        self._file = file
        self._name = name
        self._region = region
        self._lines_read = 0
        self._faults: list[ImportFault] = []

    def fault(self, line: int, column: str, problem: str) -> None:
        """Add a fault. `column` is empty if the fault concerns the whole line."""
        self._faults.append(ImportFault(self._name, line, column, problem))

    def check(self) -> None:
        """Check that the file has no fault so far.

        Raises:
            ImportFileError: The file has faults. The error lists the first hundred, by line.
        """
        if self._faults:
            faults = sorted(self._faults, key=lambda fault: fault.line)
            raise ImportFileError(faults[:_MOST_FAULTS])

    def rows(self) -> Iterator[ImportRow]:
        """Yield the valid rows of the file, in their sequence.

        A row with a fault is left out, and the fault is added. Reading stops after the row with the
        hundredth fault. No error is raised: call `check` after the last row.
        """
        rows = None
        try:
            lines = self._lines()
            first = next(lines, "")
            delimiter = ";" if first.count(";") > first.count(",") else ","
            rows = csv.reader(chain((first,), lines), delimiter=delimiter, strict=True)
            names = [name.strip().lower() for name in next(rows, [])]
            self._check_header(names)
            if self._faults:
                return
            for cells in rows:
                row = self._row(names, [cell.strip() for cell in cells], rows.line_num)
                if row is not None:
                    yield row
                if len(self._faults) >= _MOST_FAULTS:
                    return
        except csv.Error as error:
            line = 1 if rows is None else rows.line_num
            self.fault(line, "", f"cannot be read as CSV: {error}")
        except _UnreadableError as error:
            self.fault(self._lines_read, "", str(error))

    def _lines(self) -> Iterator[str]:
        """Yield the lines of the file, each with its line end.

        Raises:
            _UnreadableError: A line is not UTF-8, is too long, or cannot be read from the disk.
        """
        # A byte that is not UTF-8 becomes a lone surrogate. Without this, the decoder would raise
        # an error that does not tell in which line the byte is.
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
        if not _is_text(line):
            raise _UnreadableError("is not UTF-8 text; save the file as CSV UTF-8")
        return line

    def _check_header(self, names: list[str]) -> None:
        for name in _NEEDED:
            if name not in names:
                self.fault(1, name, "add this column, which is required")
        for name in names:
            if name not in _NEEDED + _OPTIONAL:
                known = ", ".join(_NEEDED + _OPTIONAL)
                self.fault(1, name, f"is not a known column; the columns are {known}")
            elif names.count(name) > 1:
                self.fault(1, name, "occurs twice in the header")

    def _row(self, names: list[str], cells: list[str], line: int) -> ImportRow | None:
        """Return the row with these cells; None if it is empty or has a fault."""
        if not any(cells):
            return None
        if len(cells) != len(names):
            self.fault(line, "", f"has {len(cells)} fields, but the header has {len(names)}")
            return None
        before = len(self._faults)
        given = {**_DEFAULTS, **dict(zip(names, cells, strict=True))}
        values: dict[str, str | bool] = {**given}
        for name in ("reference", "name"):
            self._check_text(line, name, given[name])
        values["language"] = self._word(line, "language", given["language"], _LANGUAGES)
        values["kind"] = self._word(line, "kind", given["kind"] or PersonKind.PERSON, _KINDS)
        for name in ("shared", "do_not_pop"):
            values[name] = self._flag(line, name, given[name])
        for name, text in given.items():
            if name != "numbers" and has_card_number(text):
                self.fault(line, name, f"seems to contain a payment card number: {ADVICE}")
        numbers = self._numbers(line, given["numbers"])
        if len(self._faults) > before:
            return None
        return ImportRow(line, given["reference"], values, numbers)

    def _check_text(self, line: int, name: str, value: str) -> None:
        if not value:
            self.fault(line, name, "must not be empty")
        elif len(value) > _MOST_CHARACTERS:
            self.fault(line, name, f"must not be longer than {_MOST_CHARACTERS} characters")

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
        found: list[PhoneNumber] = []
        parts = [part for part in map(str.strip, text.split("|")) if part]
        for part in parts:
            try:
                number = PhoneNumber.parse(part, self._region)
            except NumberError as error:
                self.fault(line, "numbers", str(error))
            else:
                if number not in found:
                    found.append(number)
        if not parts:
            self.fault(line, "numbers", "must not be empty")
        return tuple(found)


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
