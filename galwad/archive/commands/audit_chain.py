"""Reads the entries of an audit chain and its anchors, from a server or from files.

In the code, an entry of the chain is called a link. An anchor is the number and the hash of the
newest entry of a chain, stored outside the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError
from recording.audit.anchors import Anchor, append_anchor, parse_anchors
from recording.audit.chain import ChainEntry, read_export
from recording.errors import ChainError

_PAGE: Final = 1000
_LONGEST: Final = 1 << 24
"""The maximum number of characters that are read as one line. A line with an entry has only a few
hundred characters."""
_US: Final = 1_000_000


def fetch_chain(server: str) -> Iterator[ChainEntry]:
    """Yield all entries of the server's audit chain, from the first to the newest."""
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
    """Yield the entries of an audit chain that was exported to the file `path`."""
    with file_errors(path):
        yield from read_export(lines_of(path))


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file; a line of more than `_LONGEST` characters is yielded in parts.

    Galwad writes no such line. A longer line is divided so that it cannot fill the memory.
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

    Attributes:
        node: The name of the node to which the chain belongs, from the first entry; empty if the
            chain is empty.
    """

    def __init__(self, links: Iterable[ChainEntry], on_link: Callable[[ChainEntry], None]) -> None:
        """Read the first entry of `links`. Before an entry is yielded, `on_link` gets it."""
        self._links = iter(links)
        self._on_link = on_link
        self._first = next(self._links, None)
        self.node = "" if self._first is None else self._first.node

    def __iter__(self) -> Iterator[ChainEntry]:
        """Yield every entry of the chain; this works only once."""
        for link in chain(() if self._first is None else (self._first,), self._links):
            self._on_link(link)
            yield link


def search(server: str, query: Mapping[str, str], limit: int) -> list[ChainEntry]:
    """Return the newest entries that match `query`, sorted from old to new.

    At most `limit` entries are returned. `query` has the fields of the server's audit search.
    """
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
    """Return the anchors in the file `path`, in the sequence of its lines.

    Raises:
        CliError: The file cannot be read, or a line is not an anchor.
    """
    with file_errors(path):
        return parse_anchors(lines_of(path))


def unanchored(node: str, anchors: Iterable[Anchor]) -> Iterator[str]:
    """Yield a problem if `anchors` has no anchor of this node's audit chain.

    The command `verify` ignores the anchors of other nodes. So if there is no anchor of this node,
    the command has not compared the chain with any anchor.
    """
    others = sorted({anchor.node for anchor in anchors})
    if node not in others:
        whose = f": they are from {', '.join(others)}" if others else ""
        yield f"no anchor is from node {node}{whose}"


def add_anchor(path: Path, server: str) -> Anchor:
    """Append the head of the server's audit chain to a file of anchors, and return the new anchor.

    Raises:
        CliError: The chain no longer contains the entry of the newest anchor in the file. Or the
            newest anchor in the file is from another node than the server. Or the file cannot be
            read or written. Nothing is appended in these cases.
    """
    if path.exists() and not path.is_file():
        raise CliError(f"{path} is not a file", "give the file of your anchors")
    known = read_anchors(path) if path.exists() else []
    last = known[-1] if known else None
    answer = ask(server, "GET", f"/audit/head?seq={last.head.seq if last else 0}")
    try:
        anchor = Anchor.parse(answer["anchor"])
    except ChainError as error:
        raise CliError(f"cannot read the server's answer: {error}", "check the address") from None
    if last is not None and anchor.node != last.node:
        raise CliError(
            f"the server is node {anchor.node}, and the last anchor in {path} is of {last.node}",
            "nothing was added; use one file for each node. If this is that node, find out why",
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
