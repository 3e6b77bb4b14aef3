"""`galwad directory import`: add people to the directory from a CSV file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.support.administration import administration, on_the_server
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings

app = new_command()


@app.command("import", epilog="Example: galwad directory import people.csv")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with reference, name, numbers and more.")],
    *,
    remove_absent: Annotated[
        bool, typer.Option("--remove-absent", help="Remove the people who are not in the file.")
    ] = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Import people from a CSV file. If any line has a fault, no line is imported.

    The first line names the columns: reference, name and numbers are required; language, kind,
    shared, do_not_pop, address, postcode, email, date_of_birth and notes are optional. A row
    replaces the person in the directory who has the same reference. Each fault is reported with its
    line number.
    """
    settings = load_settings(config)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CliError(f"{file} is not UTF-8 text", "save it as CSV UTF-8") from None
    except OSError as error:
        raise CliError(
            f"cannot read {file}: {(error.strerror or 'unreadable').lower()}", "give a CSV file"
        ) from None
    with on_the_server(settings):
        result = asyncio.run(
            administration(settings).import_directory(
                text, file.name, "remove" if remove_absent else "keep"
            )
        )
    counts = {"added": result.added, "replaced": result.replaced, "removed": result.removed}
    if json:
        print_json(counts)
    else:
        print(", ".join(f"{count} {what}" for what, count in counts.items()))
