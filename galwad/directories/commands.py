"""`galwad directory`: import people into the embedded directory, on the server."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from callerid.errors import WatchedFileError
from callerid.import_folder import ImportFolder, WatchedFile
from galwad.cli.support.administration import administration, on_the_server
from galwad.cli.support.console import CliError, one_line, print_json, progress_bar
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from recording.errors import reason_of

if TYPE_CHECKING:
    from galwad.settings import Settings

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

    The first hundred faults are reported with their line numbers. With --skip-faults, a line with a
    fault is left out, but a person with at least one readable number is imported without the
    unreadable ones. Calls and requests do not wait for the import, and callers are looked up in the
    previous directory until the new one is complete.
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
            f"cannot read {file}: {(error.strerror or 'unreadable').lower()}",
            "give the path of a CSV file that you can read",
        ) from None


def _lines(csv: BinaryIO) -> int | None:
    """Return the number of lines after the first, and go back to the start; None for a pipe."""
    if not csv.seekable():
        return None
    lines = 0
    while part := csv.read(_READ_AT_ONCE):
        lines += part.count(b"\n")
    csv.seek(0)
    return max(0, lines - 1)


@dataclass(frozen=True, slots=True)
class FileReport:
    """The outcome of the import of one file. It has no names and no numbers of people."""

    file: str
    error: str = ""
    """The reasons why the file was refused, one a line; "" if it was imported."""
    added: int = 0
    replaced: int = 0
    removed: int = 0
    left_out: int = 0
    fault_count: int = 0
    faults: tuple[str, ...] = ()
    """The first hundred faults that were skipped."""

    def __str__(self) -> str:
        if self.error:
            first = f"{self.file}: not imported, and the directory is as it was before"
            return "\n".join([first, *map(one_line, self.error.splitlines())])
        counts = (
            f"{self.added} added, {self.replaced} replaced, {self.removed} removed, "
            f"{self.left_out} left out, {self.fault_count} faults"
        )
        more = self.fault_count - len(self.faults)
        last = (f"... and {more} more",) if more else ()
        return "\n".join([f"{self.file}: {counts}", *map(one_line, self.faults), *last])


@app.command(
    "import-folder", epilog="Example: galwad directory import-folder /srv/galwad-import --json"
)
def import_folder(
    folder: Annotated[Path, typer.Argument(help="The folder with CSV files to import.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Import the CSV files in a folder, the oldest first, and remove each file that was imported.

    systemd runs this as soon as another system has put a file into the watched folder. A file that
    is refused is moved to the subfolder `failed`, with a report of the faults, and the directory
    stays as it was. `[directory]` in the settings has the rules: watch_skip_faults,
    watch_remove_absent and watch_least.
    """
    settings = load_settings(config)
    reports = []
    try:
        with ImportFolder(folder) as watched:
            while (file := watched.next_file()) is not None:
                report = _imported(settings, file)
                if report is None:
                    continue
                if report.error:
                    watched.refuse(file, f"{report}\n")
                else:
                    watched.accept(file, f"{report}\n")
                    if settings.directory.watch_remove_absent:
                        watched.remove_refused()  # this file replaces the refused ones
                reports.append(report)
                if not json:
                    print(report, flush=True)
    except (WatchedFileError, OSError) as error:
        reason = str(error) if isinstance(error, WatchedFileError) else reason_of(error)
        hint = "docs/operations/directory.md says how to make the folder"
        raise CliError(f"{folder}: {reason}", hint) from None
    if json:
        print_json([asdict(report) for report in reports])
    if any(report.error for report in reports):
        raise typer.Exit(1)


def _imported(settings: Settings, file: WatchedFile) -> FileReport | None:
    """Import one file, and return its report; None if it was changed meanwhile."""
    from callerid.import_file import ImportFile  # noqa: PLC0415 - phonenumbers takes long to load

    rules = settings.directory
    try:
        with closing(file.open()) as csv, on_the_server(settings):
            csv_file = ImportFile(
                csv,
                file.name,
                area_code=rules.area_code,
                on_fault="skip" if rules.watch_skip_faults else "refuse",
            )
            result = administration(settings).import_directory(
                settings.directory_file,
                csv_file,
                "remove" if rules.watch_remove_absent else "keep",
                least=rules.watch_least,
                wait=True,
                check=file.check_unchanged,
            )
    except (WatchedFileError, CliError) as error:
        if not file.is_unchanged():
            return None
        reason = error.message if isinstance(error, CliError) else f"The file {error}."
        return FileReport(file.shown_name, reason)
    return FileReport(
        file.name,
        "",
        result.added,
        result.replaced,
        result.removed,
        csv_file.left_out_count,
        csv_file.fault_count,
        tuple(map(str, csv_file.faults)),
    )
