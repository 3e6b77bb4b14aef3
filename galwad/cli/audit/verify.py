"""`galwad audit`: read the chain, verify it with anchors that others keep, note its head."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from galwad.cli import chain
from galwad.cli.archived import Told, against_archive
from galwad.cli.console import CliError, local_time, one_line, print_json, print_table
from galwad.cli.fetching import checked_id
from galwad.cli.options import Json, Server
from galwad.cli.whole import whole_file
from recording.audit.anchors import Restore
from recording.audit.chain import Link

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

Anchors = Annotated[Path | None, typer.Option(help="A file of anchors that somebody else kept.")]


@app.callback()
def audit() -> None:
    """The audit: who did what, as a chain that shows when it was touched."""


@app.command("list", epilog="Example: galwad audit list --kind recording.fetched --when yesterday")
def list_(
    *,
    kind: Annotated[str, typer.Option(help="Of this kind, such as recording.fetched.")] = "",
    when: Annotated[str, typer.Option(help='Of: today, "last week", 2026-11-24, 2026-11.')] = "",
    recording: Annotated[str, typer.Option(help="Of this recording: its id.")] = "",
    by: Annotated[str, typer.Option(help="By this user; or os:root, on the server.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    server: Server = "",
    json: Json = False,
) -> None:
    """List entries, the newest last, with the names that are not erased. Reading is audited.

    Days are those of the centre. `audit list --recording ID` shows who did what with a recording.
    """
    wanted = {
        "kind": kind,
        "when": chain.checked_time(when),
        "call_id": checked_id(recording) if recording else "",
        "actor": by,
    }
    query = {key: value for key, value in wanted.items() if value}
    rows = [chain.as_json(link) for link in chain.search(server, query, limit)]
    if json:
        print_json(rows)
        return
    print_table(
        ("ENTRY", "TIME", "KIND", "FACTS", "WHO AND WHAT"),
        (
            (
                str(row["seq"]),
                local_time(row["at"]),
                row["kind"],
                ", ".join(f"{name} {value}" for name, value in row["facts"].items()),
                ", ".join(f"{name} {value}" for name, value in row["personal"].items()),
            )
            for row in rows
        ),
        empty="No entry fits.",
    )


@app.command(epilog="Example: galwad audit export -o chain.jsonl")
def export(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace it if it exists.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Export the whole chain, one entry a line, for `audit verify` or standard tools.

    The export has all names and numbers that are not erased.
    """
    count = 0
    with whole_file(output, replace=force) as file:
        for link in chain.fetch(server):
            file.write(f"{link}\n".encode())
            count += 1
    told = {"output": str(output), "entries": count}
    print(jsonlib.dumps(told, indent=2) if json else f"{output}  {count} entries")


@app.command(epilog="Example: galwad audit verify chain.jsonl --anchors anchors.jsonl")
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="An export (offline); the server's chain if absent.")
    ] = None,
    *,
    anchors: Anchors = None,
    recordings: Annotated[
        Path | None, typer.Option(help="An archive, or a copy: held against the chain, too.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="With --recordings: of calls from this day on alone.")
    ] = "",
    restored: Annotated[
        list[str] | None,
        typer.Option(help="The hash that `backup restore` printed, of a restore that you know of."),
    ] = None,
    server: Server = "",
    json: Json = False,
) -> None:
    """Prove the chain whole: each hash, each day's signature, each anchor.

    With --recordings: also that every recording which was ever indexed is there, with the manifest
    that it had then. Names each entry and each recording that is not as it was.

    After a restore, the chain continues with a day key that no earlier key signed, and the entries
    after the backup are gone. That is named too, unless --restored says that you know of it.
    """
    # read first, before more entries are added to the chain
    noted = chain.read_anchors(anchors) if anchors is not None else None
    links: Iterable[Link] = chain.read(file) if file is not None else chain.fetch(server)
    known: list[Restore] = []
    if restored:  # the whole chain is needed first, as a restore explains entries before its own
        links = list(links)
        known = chain.restores(links, restored)
    told = Told()
    reading = chain.Reading(links, told.take if recordings is not None else lambda _: None)
    result = chain.verify(reading, noted or (), known)
    problems = [f"entry {finding.seq}: {finding.problem}" for finding in result.findings]
    if noted is not None and result.entries:
        problems += chain.unanchored(reading.node, noted)
    notes = [str(each) for each in known]
    if recordings is not None:
        compared = against_archive(told, recordings, since)
        problems += compared.problems
        notes += [f"{text} before the chain ended: it may be on its way" for text in compared.late]
    head = None if result.head is None else {"seq": result.head.seq, "hash": result.head.hash}
    if json:
        print_json({"entries": result.entries, "head": head, "problems": problems, "notes": notes})
    else:
        for line in (*notes, *problems):
            print(one_line(line))
        if result.head is not None:
            print(f"{result.entries} entries, the last {result.head.hash}")
    if not result.entries:
        raise CliError("there is no entry to verify", "export the chain with `galwad audit export`")
    if problems:
        raise CliError(
            f"{len(problems)} found: the audit, or the archive, is not as it was",
            "keep both as they are, and the anchors; ask whoever keeps the copies",
        )


@app.command(epilog="Example: galwad audit anchor -o anchors.jsonl")
def anchor(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file of anchors to add a line to.")
    ],
    server: Server = "",
    json: Json = False,
) -> None:
    """Note the chain's head in a file of yours, once a day: what is noted cannot be cut unseen.

    Run it where the server's administrators have no access. It first checks that the chain still
    has the last anchor in the file, and notes nothing if it does not.
    """
    noted = chain.note(output, server)
    if json:
        print_json({"output": str(output), "seq": noted.head.seq, "hash": noted.head.hash})
    else:
        print(f"{output}  entry {noted.head.seq}, {noted.head.hash}")
