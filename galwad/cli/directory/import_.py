"""`galwad directory import`: add people to the directory from a CSV file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from galwad.cli.support.administration import administration, on_the_server
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.support.progress import progress_bar

app = new_command()
_NICENESS = 5
"""The amount by which the import lowers its priority, because calls on this server come first."""
_READ_AT_ONCE = 1 << 20


@app.command("import", epilog="Example: galwad directory import people.csv")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with reference, name, numbers and more.")],
    *,
    remove_absent: Annotated[
        bool, typer.Option("--remove-absent", help="Remove the people who are not in the file.")
    ] = False,
    skip_faults: Annotated[
        bool, typer.Option("--skip-faults", help="Report lines with faults, and import the others.")
    ] = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Import people from a CSV file. Normally, no line is imported if any line has a fault.

    The first line names the columns: reference, name and numbers are required; language, kind,
    shared, do_not_pop, address, postcode, email, date_of_birth and notes are optional. A row
    replaces the person in the directory who has the same reference. Numbers are read as people
    write them, also several in one cell. `[directory] area_code` completes local numbers.

    Each fault is reported with its line number. With --skip-faults, a line with a fault is left
    out, but a person with at least one readable number is imported without the others. Calls and
    requests do not wait for the import, and callers are looked up in the previous directory until
    the new one is complete.
    """
    from callerid.import_file import ImportFile  # noqa: PLC0415 - phonenumbers takes long to load

    settings = load_settings(config)
    os.nice(_NICENESS)
    with (
        _opened(file) as csv,
        on_the_server(settings),
        progress_bar("importing", quiet=json) as shown,
    ):
        csv_file = ImportFile(
            csv,
            file.name,
            area_code=settings.directory.area_code,
            on_fault="skip" if skip_faults else "refuse",
        )
        csv_file.check_size()
        task = shown.add_task("importing", total=_lines(csv))
        result = administration(settings).import_directory(
            settings.directory_file,
            csv_file,
            "remove" if remove_absent else "keep",
            lambda people: shown.update(task, completed=people),
        )
        people = result.added + result.replaced
        shown.update(task, completed=people, total=people)
    counts = {"added": result.added, "replaced": result.replaced, "removed": result.removed}
    if skip_faults:
        counts |= {"left_out": csv_file.left_out_count, "faults": csv_file.fault_count}
    for fault in csv_file.faults:
        print(fault, file=sys.stderr)
    if csv_file.fault_count > len(csv_file.faults):
        print(f"... and {csv_file.fault_count - len(csv_file.faults)} more", file=sys.stderr)
    if json:
        print_json(counts)
    else:
        print(", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items()))


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise CliError(
            f"cannot read {file}: {(error.strerror or 'unreadable').lower()}", "give a CSV file"
        ) from None


def _lines(csv: BinaryIO) -> int | None:
    """Return the number of lines after the first, and go back to the start of the file.

    Return None if the file is a pipe, which can be read only once.
    """
    if not csv.seekable():
        return None
    lines = 0
    while part := csv.read(_READ_AT_ONCE):
        lines += part.count(b"\n")
    csv.seek(0)
    return max(0, lines - 1)
