"""`galwad audit verify`: verify an audit chain, and compare it with anchors and an archive."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.audit import anchors as anchor_files
from galwad.cli.audit import chain
from galwad.cli.support.console import CliError, one_line, print_json
from galwad.cli.support.index_check import fetch_index_check
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.cli.support.periods import read_period
from recording.audit.anchors import Anchor, Restore
from recording.audit.chain import ChainEntry, ChainVerification, verify_entries

app = new_command()


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
    kept = anchor_files.read_anchors(anchors) if anchors is not None else None
    links: Iterable[ChainEntry] = chain.read(file) if file is not None else chain.fetch(server)
    known: list[Restore] = []
    # read all entries before the verification, because the entry of a restore can explain a problem
    # of an entry that comes before it in the chain
    if restored:
        links = list(links)
        known = _restores(links, restored)
    # It loads numpy, and the help of the command must not wait for it.
    from galwad.cli.audit.archive_comparison import (  # noqa: PLC0415
        ChainFacts,
        compare_with_archive,
    )

    facts = ChainFacts()
    reader = chain.ChainReader(links, facts.add if recordings is not None else lambda _: None)
    result = _verify(reader, kept or (), known)
    problems = [f"entry {finding.seq}: {finding.problem}" for finding in result.findings]
    if kept is not None and result.entries:
        problems += anchor_files.unanchored(reader.node, kept)
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
    links: chain.ChainReader, anchors: Iterable[Anchor], known: Collection[Restore] = ()
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
