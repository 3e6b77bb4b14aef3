"""`galwad audit`: list, export and verify the audit chain, and save anchors of the chain."""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from galwad.archive.commands.audit_chain import (
    ChainReader,
    add_anchor,
    as_json,
    fetch_chain,
    read_anchors,
    read_chain,
    search,
    unanchored,
)
from galwad.cli.support.administration import administration, on_the_server
from galwad.cli.support.archive_client import fetch_index_check
from galwad.cli.support.console import CliError, date_and_time, one_line, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
    DEFAULT_PATH,
    Config,
    Json,
    Server,
    checked_id,
    checked_period,
    load_settings,
    read_period,
)
from galwad.cli.support.output_file import atomic_file
from recording.audit.anchors import Anchor, Restore
from recording.audit.chain import ChainEntry, ChainVerification, verify_entries

app = new_command()


@app.command("list", epilog="Example: galwad audit list --kind recording.fetched --when yesterday")
def list_(
    *,
    kind: Annotated[str, typer.Option(help="Only this kind, such as recording.fetched.")] = "",
    when: Annotated[
        str, typer.Option(help='Only of: today, "last week", 2026-11-24, 2026-11.')
    ] = "",
    recording: Annotated[str, typer.Option(help="Only about this recording: its id.")] = "",
    by: Annotated[
        str, typer.Option(help="Only by this user; or os:root, for root on the server.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 50,
    server: Server = "",
    json: Json = False,
) -> None:
    """List entries, sorted from old to new. Erased names of people are not shown.

    Each use of this command is itself entered in the audit. A day runs from midnight to midnight in
    the centre's time zone. `audit list --recording ID` shows who did what with a recording.
    """
    wanted = {
        "kind": kind,
        "when": checked_period(when, "--when"),
        "call_id": checked_id(recording) if recording else "",
        "actor": by,
    }
    query = {key: value for key, value in wanted.items() if value}
    rows = [as_json(link) for link in search(server, query, limit)]
    if json:
        print_json(rows)
        return
    print_table(
        ("ENTRY", "TIME", "KIND", "FACTS", "WHO AND WHAT"),
        (
            (
                str(row["seq"]),
                date_and_time(row["at"]),
                row["kind"],
                ", ".join(f"{name} {value}" for name, value in row["facts"].items()),
                ", ".join(f"{name} {value}" for name, value in row["personal"].items()),
            )
            for row in rows
        ),
        empty="No entry matches.",
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

    The export contains names of people and telephone numbers, except those that were erased from
    the chain.
    """
    count = 0
    with atomic_file(output, replace=force) as file:
        for link in fetch_chain(server):
            file.write(f"{link}\n".encode())
            count += 1
    output_facts = {"output": str(output), "entries": count}
    print(jsonlib.dumps(output_facts, indent=2) if json else f"{output}  {count} entries")


@app.command(epilog="Example: galwad audit verify chain.jsonl --anchors anchors.jsonl")
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="An export (offline); by default, the server's chain.")
    ] = None,
    *,
    anchors: Annotated[
        Path | None, typer.Option(help="A file of anchors that was kept outside the server.")
    ] = None,
    recordings: Annotated[
        Path | None, typer.Option(help="An archive, or a copy, to compare with the chain.")
    ] = None,
    payloads: Annotated[
        bool,
        typer.Option(
            "--payloads", help="With --recordings: also read and hash every payload; this is slow."
        ),
    ] = False,
    since: Annotated[
        str, typer.Option(help="With --recordings or the server: only calls from this day on.")
    ] = "",
    restored: Annotated[
        list[str] | None,
        typer.Option(
            help="The hash that `backup restore` printed, for a restore that you know of."
        ),
    ] = None,
    server: Server = "",
    json: Json = False,
) -> None:
    """Verify the chain: each hash, each day's signature, each anchor.

    If the server's chain is verified, the server also compares the rows of its index and its ledger
    of calls with the chain and the signed manifests. A row that was changed, deleted or exchanged
    is a problem. With --recordings, also check that each indexed recording still exists, and that
    its manifest has not changed since it was indexed. Payloads, which have the sound, are compared
    with their manifests only with --payloads. Each problem is printed with its entry or its
    recording.

    After a restore, the entries made after the backup are missing, and the chain continues with a
    new key, which the earlier key did not sign. Therefore a restore is reported as a problem. If
    you know of the restore, give its hash with --restored: then it is not reported.
    """
    if payloads and recordings is None:
        raise CliError("--payloads needs an archive", "add --recordings FOLDER", status=2)
    # Read the anchors before the chain. If they were read after it, a new anchor could name an
    # entry that was added to the chain after the chain was read.
    kept = read_anchors(anchors) if anchors is not None else None
    links: Iterable[ChainEntry] = read_chain(file) if file is not None else fetch_chain(server)
    known: list[Restore] = []
    # read all entries before the verification, because the entry of a restore can explain a problem
    # of an entry that comes before it in the chain
    if restored:
        links = list(links)
        known = _restores(links, restored)
    # It loads numpy, and the help of the command must not wait for it.
    from galwad.archive.commands.audit_archive import ChainFacts, compare_with_archive  # noqa: PLC0415

    facts = ChainFacts()
    reader = ChainReader(links, facts.add if recordings is not None else lambda _: None)
    result = _verify(reader, kept or (), known)
    problems = [f"entry {finding.seq}: {finding.problem}" for finding in result.findings]
    if kept is not None and result.entries:
        problems += unanchored(reader.node, kept)
    notes = [str(each) for each in known]
    if recordings is not None:
        differences = compare_with_archive(facts, recordings, since, with_payloads=payloads)
        problems += differences.problems
        notes += [f"{text}; its entry may come after the chain's end" for text in differences.late]
    if file is None:
        span = read_period(since, "--since")
        index = fetch_index_check(server, since=0.0 if span is None else span.since)
        problems += index.problems
        notes += index.notes
    unread = recordings is not None and not payloads
    if json:
        _print_json(result, problems, notes, payloads_read=payloads)
    else:
        _print(result, [*notes, *problems], unread=unread)
    if not result.entries:
        raise CliError("there is no entry to verify", "export the chain with `galwad audit export`")
    if problems:
        raise CliError(
            f"problems found: {len(problems)}; the audit, the archive or the index has changed",
            "keep both as they are, and the anchors; compare them with the copies",
        )


def _print_json(
    result: ChainVerification,
    problems: Sequence[str],
    notes: Sequence[str],
    *,
    payloads_read: bool,
) -> None:
    head = None if result.head is None else {"seq": result.head.seq, "hash": result.head.hash}
    print_json(
        {
            "entries": result.entries,
            "head": head,
            "problems": problems,
            "notes": notes,
            "payloads_read": payloads_read,
        }
    )


def _print(result: ChainVerification, lines: Iterable[str], *, unread: bool) -> None:
    for line in lines:
        print(one_line(line))
    if unread:
        print("no payload was read: add --payloads to compare them with their manifests")
    if result.head is not None:
        print(f"{result.entries} entries, the last {result.head.hash}")


def _restores(links: Iterable[ChainEntry], hashes: Collection[str]) -> list[Restore]:
    """Return the restores whose entries in the chain have the hashes `hashes`.

    The command `backup restore` adds an entry to the chain, and prints the hash of the entry.

    Raises:
        CliError: One of the hashes is not the hash of a restore in the chain.
    """
    there = {link.hash: found for link in links if (found := Restore.parse(link)) is not None}
    strangers = [each for each in hashes if each not in there]
    if strangers:
        raise CliError(
            f"no restore in the chain has the hash {strangers[0]}",
            "give the hash that `galwad backup restore` printed; if it is another, find out why",
        )
    return [there[each] for each in hashes]


def _verify(
    links: ChainReader, anchors: Iterable[Anchor], known: Collection[Restore] = ()
) -> ChainVerification:
    """Verify a chain, and compare it with anchors.

    The anchors of other nodes are ignored. An anchor is also ignored if a restore in `known`
    removed the entry that the anchor names.
    """
    heads = [
        anchor.head
        for anchor in anchors
        if anchor.node == links.node and not any(restore.explains(anchor) for restore in known)
    ]
    unsigned = [
        restore.unsigned_day_key for restore in known if restore.unsigned_day_key is not None
    ]
    return verify_entries(links, heads, unsigned)


class ErasureReason(StrEnum):
    """The reasons to erase values. The reason stays in the chain, so it is not a free text."""

    RIGHT = "right-to-erasure"
    ORDER = "order"
    MISTAKE = "mistake"


@app.command(epilog="Example: galwad audit erase 4711 --value reference --reason right-to-erasure")
def erase(
    entry: Annotated[int, typer.Argument(min=1, help="The number of the entry.")],
    *,
    reason: Annotated[
        ErasureReason, typer.Option(help="Why they are erased; it stays in the audit for ever.")
    ],
    value: Annotated[
        list[str] | None,
        typer.Option(help="The name of a value, such as actor; by default, all of the entry."),
    ] = None,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Erase values of one entry, such as a name or a number, because a person has the right to it.

    The chain stays valid, and gets an entry with the reason, which the day's key signs. Without
    such an entry, `audit verify` reports each value that is missing. So values that were deleted
    from the database in another way can be recorded with this command afterwards.
    """
    settings = load_settings(config)
    with on_the_server(settings):
        names = asyncio.run(
            administration(settings).erase_audit_values(entry, value or (), reason.value)
        )
    if json:
        print_json({"entry": entry, "erased": names, "reason": reason.value})
        return
    print(f"entry {entry}: erased {', '.join(names)} ({reason.value})")


@app.command(epilog="Example: galwad audit anchor -o anchors.jsonl")
def anchor(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file of anchors to add a line to.")
    ],
    server: Server = "",
    json: Json = False,
) -> None:
    """Append the newest entry's number and hash to a file that you keep.

    If you do this once a day, each change or removal of an older entry can be found. Run the
    command on a machine to which the server's administrators have no access. The command first
    checks that the chain still contains the entry of the newest anchor in the file. If it does not,
    the command fails and adds nothing to the file.
    """
    added = add_anchor(output, server)
    if json:
        print_json({"output": str(output), "seq": added.head.seq, "hash": added.head.hash})
    else:
        print(f"{output}  entry {added.head.seq}, {added.head.hash}")
