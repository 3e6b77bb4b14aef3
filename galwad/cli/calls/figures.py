"""`galwad calls figures`: show or export how many calls there were, and how long callers waited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

import httpx2
import typer

from galwad.cli.support.atomic import atomic_file
from galwad.cli.support.centre_time import centre_zone
from galwad.cli.support.client import ask, check_response, http_errors, open_client
from galwad.cli.support.console import CliError, clock, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.cli.support.periods import checked_period

app = new_command()

Group = Literal["line", "hour", "language"]
_LANGUAGES: Final = {"en": "English", "cy": "Welsh", "": "not known"}
_TIMEOUT_S: Final = 120.0
"""The longest time in seconds to wait for the figures of a long period."""


@app.command(epilog="Example: galwad calls figures --date yesterday --by hour")
def figures(
    *,
    date: Annotated[
        str,
        typer.Option(help='The days: today, yesterday, monday, "last week", 2026-11-24, 2026-11.'),
    ] = "today",
    by: Annotated[Group, typer.Option(help="What the rows are.")] = "line",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write all figures to this CSV file instead."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Show the figures of the calls that ended: answered, missed, waiting, lengths, pauses.

    WAIT and LENGTH are means of the answered calls. The figures name no person. The server enters
    an export to a CSV file in the audit chain.
    """
    query = urlencode({"when": checked_period(date, "--date")})
    if output is not None:
        _export(query, output, server, replace=force)
        if json:
            print_json({"output": str(output)})
        else:
            print(output)
        return
    found = ask(server, "GET", f"/figures?{query}", timeout_s=_TIMEOUT_S)
    if json:
        print_json(found)
    elif found["total"]["calls"]:
        _show(found, by)
    else:
        print("No call ended in this period.")


def _show(found: dict[str, Any], by: Group) -> None:
    heads = ("ANSWERED", "MISSED", "ABANDONED", "REFUSED", "WAIT", "LENGTH", "PAUSES", "GAPS")
    rows = [*_rows(found, by), ("all", found["total"])]
    print_table(
        (f"HOUR ({centre_zone()})" if by == "hour" else by.upper(), "CALLS", *heads),
        (
            (
                name,
                *(str(row[each]) for each in ("calls", "answered", "missed", "abandoned")),
                str(row["refused"]),
                clock(row["mean_waiting_s"]),
                clock(row["mean_talk_s"]),
                str(row["pauses"]),
                str(row["gaps"]),
            )
            for name, row in rows
        ),
        empty="",
    )


def _rows(found: dict[str, Any], by: Group) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in found[f"by_{by}"]:
        if by == "hour":
            yield f"{row['hour']:02}:00", row
        elif by == "language":
            yield _LANGUAGES.get(row["language"], row["language"]), row
        else:
            yield row["line"] or "-", row


def _export(query: str, output: Path, server: str, *, replace: bool) -> None:
    """Write the server's CSV file to `output`.

    Raises:
        CliError: The request failed, or the file exists or cannot be written.
    """
    timeout = httpx2.Timeout(_TIMEOUT_S)
    with atomic_file(output, replace=replace) as file, http_errors(), open_client(server) as client:
        reply = client.get(f"/figures/export?{query}", timeout=timeout)
        check_response(reply)
        if not reply.headers.get("content-type", "").startswith("text/csv"):
            raise CliError("the answer is not from a Galwad server", "check the address")
        file.write(reply.content)
