"""`galwad audit`: list, export and verify the audit chain, erase values in it, and save anchors.

The chain is read from a server or from a file. In the code, an entry of the chain is called a link.
An anchor is the number and the hash of the newest entry of a chain, stored outside the server.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from galwad.cli.support.administration import administration, on_the_server
from galwad.cli.support.archive_client import fetch_index_check
from galwad.cli.support.client import ask
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
from recording.audit.anchors import Anchor, Restore, append_anchor, parse_anchors
from recording.audit.chain import ChainEntry, ChainVerification, read_export, verify_entries
from recording.errors import ChainError

app = new_command()
_PAGE: Final = 1000
_LONGEST: Final = 1 << 24
"""The maximum number of characters that are read as one line. A line with an entry has only a few
hundred characters."""
_US: Final = 1_000_000


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
    """List entries, sorted from old to new. Values that were erased are not shown.

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
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
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
            help="The hash that `backup restore` printed, so that this restore is not reported."
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
    # Read the anchors before the chain. Otherwise, a new anchor could name an entry that was added
    # to the chain after the chain was read.
    kept = read_anchors(anchors) if anchors is not None else None
    links: Iterable[ChainEntry] = read_chain(file) if file is not None else fetch_chain(server)
    known: list[Restore] = []
    # Read all entries before the verification, because the entry of a restore can explain a problem
    # of an earlier entry.
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
        with file_errors(recordings):
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
            "keep audit, archive and anchors as they are, and compare them with your copies",
        )


def _print_json(
    result: ChainVerification, problems: Sequence[str], notes: Sequence[str], *, payloads_read: bool
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
        print("no payload was read: add --payloads to compare payloads with their manifests")
    if result.head is not None:
        print(f"{result.entries} entries, the last {result.head.hash}")


def _restores(links: Iterable[ChainEntry], hashes: Collection[str]) -> list[Restore]:
    there = {link.hash: found for link in links if (found := Restore.parse(link)) is not None}
    strangers = [each for each in hashes if each not in there]
    if strangers:
        raise CliError(
            f"no restore in the chain has the hash {strangers[0]}",
            "compare the hash with that of `galwad backup restore`; if they are equal, find out "
            "why the chain lacks the entry",
        )
    return [there[each] for each in hashes]


def _verify(
    links: ChainReader, anchors: Iterable[Anchor], known: Collection[Restore] = ()
) -> ChainVerification:
    """Verify a chain, and compare the anchors of its node with its entries.

    An anchor is not compared if a restore in `known` explains that its entry is missing.
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
        ErasureReason,
        typer.Option(help="Why the values are erased; the audit keeps this for ever."),
    ],
    value: Annotated[
        list[str] | None,
        typer.Option(help="The name of a value, such as actor; by default, all of the entry."),
    ] = None,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Erase values of one entry, such as a name or a number, for one of the reasons of --reason.

    The chain stays valid, and gets an entry with the reason, which the day's key signs. Without
    such an entry, `audit verify` reports each value that is missing. If values were deleted from
    the database in another way, this command can add such an entry afterwards.
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


def fetch_chain(server: str) -> Iterator[ChainEntry]:
    """Yield all entries of the server's audit chain, from the first to the newest.

    An entry that contradicts the columns of its database row gets the kind "", so that `verify`
    reports it.
    """
    after = 0
    while True:
        page = ask(server, "GET", f"/audit?after={after}&limit={_PAGE}")
        odd = set(page.get("contradicting", ()))
        for link in map(ChainEntry.parse, page["lines"]):
            yield replace(link, kind="") if link.seq in odd else link
        if len(page["lines"]) < _PAGE:
            return
        after = page["last"]


def read_chain(path: Path) -> Iterator[ChainEntry]:
    """Yield the entries of an audit chain in the export at `path`. Raises `CliError`."""
    with file_errors(path):
        yield from read_export(lines_of(path))


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file, in parts of at most `_LONGEST` characters.

    So a very long line of a damaged file cannot fill the memory.
    """
    with path.open(encoding="utf-8") as file:
        while line := file.readline(_LONGEST):
            yield line


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn an error of reading the file `path` into a `CliError`."""
    try:
        yield
    except ChainError as error:
        raise CliError(f"{path}: {error}", "check that this is the right file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "it is not text").lower()
        where = getattr(error, "filename", None) or path
        raise CliError(f"cannot read {where}: {reason}", "choose another file") from None


class ChainReader:
    """An iterator over the entries of an audit chain, which also gives each entry to a callback.

    The entries are read one at a time, because a chain of many years would fill the memory.
    """

    def __init__(self, links: Iterable[ChainEntry], on_link: Callable[[ChainEntry], None]) -> None:
        """Read the first entry of `links`. Before an entry is yielded, `on_link` gets it."""
        self._links = iter(links)
        self._on_link = on_link
        self._first = next(self._links, None)
        self.node = "" if self._first is None else self._first.node
        """The name of the node to which the chain belongs; empty if the chain is empty."""

    def __iter__(self) -> Iterator[ChainEntry]:
        """Yield every entry of the chain. This works only once."""
        for link in chain(() if self._first is None else (self._first,), self._links):
            self._on_link(link)
            yield link


def search(server: str, query: Mapping[str, str], limit: int) -> list[ChainEntry]:
    """Return the newest `limit` entries that match the fields `query`, sorted from old to new."""
    found: list[ChainEntry] = []
    before: dict[str, int] = {}
    while len(found) < limit:
        want = min(limit - len(found), _PAGE)
        page = ask(server, "POST", "/audit/search", {**query, **before, "limit": want})
        found += [ChainEntry.parse(line) for line in page["lines"]]
        if len(page["lines"]) < want:
            break
        before = {"before": page["last"]}
    return found[::-1]


def as_json(link: ChainEntry) -> dict[str, Any]:
    """Return an entry as a mapping for JSON output."""
    return {
        "seq": link.seq,
        "at": link.at_us / _US,
        "kind": link.kind,
        "facts": link.facts,
        "personal": {name: value for name, (_, value) in link.values.items()},
    }


def read_anchors(path: Path) -> list[Anchor]:
    """Return the anchors in a file, in the sequence of its lines. Raises `CliError`."""
    with file_errors(path):
        return parse_anchors(lines_of(path))


def unanchored(node: str, anchors: Iterable[Anchor]) -> Iterator[str]:
    """Yield a problem if no anchor is from this node, because `verify` then compared none."""
    others = sorted({anchor.node for anchor in anchors})
    if node not in others:
        whose = f": they are from {', '.join(others)}" if others else ""
        yield f"no anchor is from node {node}{whose}"


def add_anchor(path: Path, server: str) -> Anchor:
    """Append the head of the server's audit chain to a file of anchors, and return the new anchor.

    Nothing is appended, and `CliError` is raised, if the file cannot be read or written, if its
    newest anchor is from another node than the server, or if the chain no longer contains the entry
    of this anchor.
    """
    if path.exists() and not path.is_file():
        raise CliError(f"{path} is not a file", "give the file of your anchors")
    known = read_anchors(path) if path.exists() else []
    last = known[-1] if known else None
    answer = ask(server, "GET", f"/audit/head?seq={last.head.seq if last else 0}")
    try:
        anchor = Anchor.parse(answer["anchor"])
    except ChainError as error:
        raise CliError(
            f"cannot read the server's answer: {error}", "check the server's address"
        ) from None
    if last is not None and anchor.node != last.node:
        raise CliError(
            f"the server is node {anchor.node}, and the last anchor in {path} is of {last.node}",
            "nothing was added; use one file of anchors for each node. If both names are of the "
            "same node, find out why its name has changed",
        )
    if last is not None and answer["earlier"] != last.head.hash:
        raise CliError(
            f"the chain no longer has entry {last.head.seq} as it was noted on {last.at}",
            "nothing was added; keep the file, and verify the audit with it as --anchors",
        )
    try:
        append_anchor(path, anchor)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CliError(f"cannot write {path}: {reason}", "choose another file") from None
    return anchor
