"""The embedded directory: its tables, and the import from CSV.

If an import file has a fault, nothing is imported. All faults are reported, with file, line and
column. A row replaces the person with the same `reference`. The argument `absent` of `import_csv`
decides about the people who are in the directory but not in the file: with "keep" they stay
unchanged, with "remove" they are removed.

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

The screen-pop shows the details only after the advisor has confirmed who the caller is.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callerid.errors import ImportFault, ImportFileError, NumberError
from callerid.number import REGION, PhoneNumber
from callerid.person import PersonKind

metadata = MetaData()

people = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reference", String(200), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("language", String(2), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("do_not_pop", Boolean, nullable=False),
    Column("address", String, nullable=False),
    Column("postcode", String, nullable=False),
    Column("email", String, nullable=False),
    Column("date_of_birth", String, nullable=False),
    Column("notes", String, nullable=False),
)

numbers = Table(
    "numbers",
    metadata,
    Column("person_id", Integer, ForeignKey("people.id", ondelete="CASCADE"), primary_key=True),
    Column("e164", String(20), primary_key=True),
    Column("extension", String(8), primary_key=True),
    Index("numbers_by_e164", "e164", "extension"),
)

DETAILS = ("reference", "address", "postcode", "email", "date_of_birth", "notes")
_NEEDED = ("reference", "name", "numbers")
_OPTIONAL = ("language", "kind", "shared", "do_not_pop", *DETAILS[1:])
_YES = frozenset({"yes", "y", "true", "1", "ie", "ydy"})
_NO = frozenset({"", "no", "n", "false", "0", "na", "nac ydy"})
_MOST_FAULTS = 100
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One valid row of an import file, which describes one person."""

    values: dict[str, str | bool]
    numbers: tuple[PhoneNumber, ...]


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The counts of the people whom an import added, replaced and removed."""

    added: int
    replaced: int
    removed: int


@dataclass(slots=True)
class _Reader:
    file: str
    region: str
    faults: list[ImportFault] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def fault(self, line: int, column: str, problem: str) -> None:
        self.faults.append(ImportFault(self.file, line, column, problem))

    def header(self, names: list[str]) -> None:
        for name in _NEEDED:
            if name not in names:
                self.fault(1, name, "add this column, which is required")
        for name in names:
            if name not in _NEEDED + _OPTIONAL:
                known = ", ".join(_NEEDED + _OPTIONAL)
                self.fault(1, name, f"is not a known column; the columns are {known}")
            elif names.count(name) > 1:
                self.fault(1, name, "occurs twice in the header")

    def row(self, line: int, cells: dict[str, str]) -> ImportRow | None:
        before = len(self.faults)
        values: dict[str, str | bool] = {name: cells.get(name, "") for name in DETAILS}
        values["name"] = cells.get("name", "")
        for name in ("reference", "name"):
            self._text(line, name, str(values[name]))
        self._unique(line, str(values["reference"]))
        values["language"] = self._word(line, "language", cells, ("", "cy", "en"))
        values["kind"] = (
            self._word(line, "kind", cells, tuple(PersonKind)) if cells.get("kind") else "person"
        )
        for name in ("shared", "do_not_pop"):
            values[name] = self._flag(line, name, cells.get(name, ""))
        found = self._numbers(line, cells.get("numbers", ""))
        return ImportRow(values, found) if len(self.faults) == before else None

    def _text(self, line: int, name: str, value: str) -> None:
        if not value:
            self.fault(line, name, "must not be empty")
        elif len(value) > _MOST_CHARACTERS:
            self.fault(line, name, f"must not be longer than {_MOST_CHARACTERS} characters")

    def _unique(self, line: int, reference: str) -> None:
        if reference and reference in self.seen:
            self.fault(line, "reference", f"is the same as in line {self.seen[reference]}")
        self.seen.setdefault(reference, line)

    def _word(self, line: int, name: str, cells: dict[str, str], known: tuple[str, ...]) -> str:
        value = cells.get(name, "").lower()
        if value not in known:
            choice = ", ".join(word for word in known if word)
            self.fault(line, name, f"must be one of {choice}")
        return value

    def _flag(self, line: int, name: str, value: str) -> bool:
        if value.lower() not in _YES | _NO:
            self.fault(line, name, "must be yes or no")
        return value.lower() in _YES

    def _numbers(self, line: int, text: str) -> tuple[PhoneNumber, ...]:
        found: dict[PhoneNumber, None] = {}
        for part in filter(None, (part.strip() for part in text.split("|"))):
            try:
                found[PhoneNumber.parse(part, self.region)] = None
            except NumberError as error:
                self.fault(line, "numbers", str(error))
        if not text.strip(" |"):
            self.fault(line, "numbers", "must not be empty")
        return tuple(found)


def read_csv(text: str, file: str = "people.csv", region: str = REGION) -> list[ImportRow]:
    """Read an import file and return its rows.

    Args:
        text: The text of the file.
        file: The name of the file, for the messages about faults.
        region: The country to which numbers without a country code belong, such as "GB".

    Raises:
        ImportFileError: The file has faults. The error lists them. If the rows have more than a
            hundred faults, reading stops after the row with the hundredth fault.
    """
    reader = _Reader(file, region)
    text = text.removeprefix("\ufeff")
    first = text.split("\n", 1)[0]
    rows = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=";" if first.count(";") > first.count(",") else ",",
        strict=True,
    )
    entries: list[ImportRow] = []
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        reader.header(names)
        if not reader.faults:
            for row in rows:
                _read_row(reader, names, row, rows.line_num, entries)
                if len(reader.faults) >= _MOST_FAULTS:
                    break
    except csv.Error as error:
        reader.fault(rows.line_num, "", f"cannot be read as CSV: {error}")
    if reader.faults:
        raise ImportFileError(reader.faults)
    return entries


def _read_row(
    reader: _Reader, names: list[str], row: list[str], line: int, entries: list[ImportRow]
) -> None:
    if not any(cell.strip() for cell in row):
        return
    if len(row) != len(names):
        reader.fault(line, "", f"has {len(row)} fields, but the header has {len(names)}")
        return
    cells = {name: cell.strip() for name, cell in zip(names, row, strict=True)}
    entry = reader.row(line, cells)
    if entry is not None:
        entries.append(entry)


async def import_csv(
    engine: AsyncEngine,
    text: str,
    file: str = "people.csv",
    *,
    region: str = REGION,
    absent: Literal["keep", "remove"] = "keep",
) -> ImportResult:
    """Import a whole file in one transaction.

    Args:
        engine: The database.
        text: The text of the file.
        file: The name of the file, for the messages about faults.
        region: The country to which numbers without a country code belong, such as "GB".
        absent: With "keep", people who are in the directory but not in the file stay in the
            directory. With "remove", these people are removed.

    Raises:
        ImportFileError: The file has faults, and nothing was changed.
    """
    entries = read_csv(text, file, region)
    async with engine.execution_options(immediate=True).begin() as connection:
        rows = await connection.execute(select(people.c.reference, people.c.id))
        known = {str(row.reference): int(row.id) for row in rows}
        for entry in entries:
            await _store(connection, entry, known.get(str(entry.values["reference"])))
        given = {str(entry.values["reference"]) for entry in entries}
        replaced = len(given & known.keys())
        gone = known.keys() - given if absent == "remove" else set()
        for reference in gone:
            await connection.execute(delete(people).where(people.c.id == known[reference]))
    return ImportResult(len(entries) - replaced, replaced, len(gone))


async def _store(connection: AsyncConnection, entry: ImportRow, person_id: int | None) -> None:
    if person_id is None:
        statement = insert(people).values(**entry.values).returning(people.c.id)
        person_id = (await connection.execute(statement)).scalar_one()
    else:
        await connection.execute(
            update(people).where(people.c.id == person_id).values(**entry.values)
        )
        await connection.execute(delete(numbers).where(numbers.c.person_id == person_id))
    rows = [
        {"person_id": person_id, "e164": number.e164, "extension": number.extension}
        for number in entry.numbers
    ]
    await connection.execute(insert(numbers), rows)
