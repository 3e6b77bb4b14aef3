"""The audit chain on the command line: read from the server or an export, searched and verified."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from galwad.cli.client import ask
from galwad.cli.console import CliError
from galwad.when import HINT, Period, period
from recording.audit.anchors import Anchor, Restore, append_anchor, parse_anchors
from recording.audit.chain import Link, Verification, read_export, verify_links
from recording.errors import ChainError

_PAGE: Final = 1000
_LONGEST: Final = 1 << 24
"""The most characters of a line; an entry has a few hundred."""
_US: Final = 1_000_000


def fetch(server: str) -> Iterator[Link]:
    """Yield the links of the server's chain, up to its present end."""
    after = 0
    while True:
        page = ask(server, "GET", f"/audit?after={after}&limit={_PAGE}")
        odd = set(page.get("contradicting", ()))
        for link in map(Link.parse, page["lines"]):
            yield replace(link, kind="") if link.seq in odd else link
        if len(page["lines"]) < _PAGE:
            return
        after = page["last"]


def read(path: Path) -> Iterator[Link]:
    """Yield the links of an exported chain."""
    with told_as_ours(path):
        yield from read_export(_lines(path))


def read_anchors(path: Path) -> list[Anchor]:
    """Return the anchors in a file."""
    with told_as_ours(path):
        return parse_anchors(_lines(path))


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, each at most `_LONGEST` characters.

    A longer line is not from Galwad; it is cut into parts, so that it cannot fill the memory.
    """
    with path.open(encoding="utf-8") as file:
        while line := file.readline(_LONGEST):
            yield line


@contextmanager
def told_as_ours(path: Path) -> Iterator[None]:
    """Turn the faults of a file into a `CliError` of one line and a hint."""
    try:
        yield
    except ChainError as error:
        raise CliError(f"{path}: {error}", "is it the file that you meant?") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "it is no text").lower()
        where = getattr(error, "filename", None) or path
        raise CliError(f"{where} cannot be read: {reason}", "name another") from None


def restores(links: Iterable[Link], hashes: Collection[str]) -> list[Restore]:
    """Return the restores whose entries have these hashes, as `backup restore` printed them."""
    there = {link.hash: found for link in links if (found := Restore.of(link)) is not None}
    strangers = [each for each in hashes if each not in there]
    if strangers:
        raise CliError(
            f"no entry of a restore has the hash {strangers[0]}",
            "give it as `galwad backup restore` printed it; if the chain has another, ask why",
        )
    return [there[each] for each in hashes]


class Reading:
    """The links of a chain on their way to the check, one at a time.

    A chain of many years would fill the memory.

    Attributes:
        node: The node whose chain it is, from its first link; empty if the chain is empty.
    """

    def __init__(self, links: Iterable[Link], told: Callable[[Link], None]) -> None:
        """Read the first link; the callback will receive every link."""
        self._links = iter(links)
        self._told = told
        self._first = next(self._links, None)
        self.node = "" if self._first is None else self._first.node

    def __iter__(self) -> Iterator[Link]:
        """Yield every link; this works only once."""
        for link in chain(() if self._first is None else (self._first,), self._links):
            self._told(link)
            yield link


def verify(
    links: Reading, anchors: Iterable[Anchor], known: Collection[Restore] = ()
) -> Verification:
    """Verify a chain against anchors.

    Anchors of other nodes are left out, and so are those of entries that a restore in `known` lost.
    """
    heads = [
        anchor.head
        for anchor in anchors
        if anchor.node == links.node and not any(restore.lost(anchor) for restore in known)
    ]
    unsigned = [restore.day_key for restore in known if restore.day_key is not None]
    return verify_links(links, heads, unsigned)


def search(server: str, query: Mapping[str, str], limit: int) -> list[Link]:
    """Return the newest entries that match, at most `limit`, with the newest last."""
    found: list[Link] = []
    before: dict[str, int] = {}
    while len(found) < limit:
        want = min(limit - len(found), _PAGE)
        page = ask(server, "POST", "/audit/search", {**query, **before, "limit": want})
        found += [Link.parse(line) for line in page["lines"]]
        if len(page["lines"]) < want:
            break
        before = {"before": page["last"]}
    return found[::-1]


def checked_time(words: str) -> str:
    """Return the words if they name a time; the server interprets them by the centre's days."""
    span_of(words)
    return words


def as_json(link: Link) -> dict[str, Any]:
    """Return an entry for JSON output."""
    return {
        "seq": link.seq,
        "at": link.at_us / _US,
        "kind": link.kind,
        "facts": link.facts,
        "personal": {name: value for name, (_, value) in link.values.items()},
    }


def unanchored(node: str, anchors: Iterable[Anchor]) -> Iterator[str]:
    """Yield a problem if no anchor is of this node's chain.

    `verify` leaves the anchors of other nodes out, so the chain was compared with none.
    """
    others = sorted({anchor.node for anchor in anchors})
    if node not in others:
        whose = f": they are of {', '.join(others)}" if others else ""
        yield f"none of the anchors is of node {node}{whose}"


def note(path: Path, server: str) -> Anchor:
    """Add the server's head to a file of anchors, if the chain still has the last one there."""
    if path.exists() and not path.is_file():
        raise CliError(f"{path} is no file", "name one that keeps your anchors")
    known = read_anchors(path) if path.exists() else []
    last = known[-1] if known else None
    answer = ask(server, "GET", f"/audit/head?seq={last.head.seq if last else 0}")
    try:
        anchor = Anchor.parse(answer["anchor"])
    except ChainError as error:
        raise CliError(f"the server's answer: {error}", "check the address") from None
    if last is not None and anchor.node != last.node:
        raise CliError(
            f"the server is node {anchor.node}, and the last anchor in {path} is of {last.node}",
            "nothing was added; keep a file for each node. If it is the same one, ask why",
        )
    if last is not None and answer["earlier"] != last.head.hash:
        raise CliError(
            f"the chain no longer has entry {last.head.seq} as it was noted on {last.at}",
            "nothing was added; keep the file, and have the audit verified against it",
        )
    try:
        append_anchor(path, anchor)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CliError(f"{path} cannot be written: {reason}", "name another") from None
    return anchor


def span_of(words: str) -> Period | None:
    """Return the span that the words for a time mean; None for an empty text."""
    if not words:
        return None
    try:
        return period(words, time.time())
    except ValueError:
        raise CliError("that is no time", HINT, status=2) from None
