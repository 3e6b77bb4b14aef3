"""The audit's chain on the command line: from the server or an export, with faults told as ours."""

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
"""Characters of a line: an entry has some hundred."""
_US: Final = 1_000_000


def fetch(server: str) -> Iterator[Link]:
    """The server's chain, to where it ends now."""
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
    """An export's chain."""
    with told_as_ours(path):
        yield from read_export(_lines(path))


def read_anchors(path: Path) -> list[Anchor]:
    """A file of anchors."""
    with told_as_ours(path):
        return parse_anchors(_lines(path))


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file; one that never ends is none of ours, and is given in parts."""
    with path.open(encoding="utf-8") as file:
        while line := file.readline(_LONGEST):
            yield line


@contextmanager
def told_as_ours(path: Path) -> Iterator[None]:
    """Turn what is wrong with a file into one line and a hint."""
    try:
        yield
    except ChainError as error:
        raise CliError(f"{path}: {error}", "is it the file that you meant?") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "it is no text").lower()
        where = getattr(error, "filename", None) or path
        raise CliError(f"{where} cannot be read: {reason}", "name another") from None


def restores(links: Iterable[Link], hashes: Collection[str]) -> list[Restore]:
    """The restores whose entries have these hashes, as `backup restore` printed them."""
    there = {link.hash: found for link in links if (found := Restore.of(link)) is not None}
    strangers = [each for each in hashes if each not in there]
    if strangers:
        raise CliError(
            f"no entry of a restore has the hash {strangers[0]}",
            "give it as `galwad backup restore` printed it; if the chain has another, ask why",
        )
    return [there[each] for each in hashes]


class Reading:
    """Links on their way to who checks them, one at a time: a chain of years fills the memory.

    Attributes:
        node: whose chain it is, once the first one is read; empty for no chain.
    """

    def __init__(self, links: Iterable[Link], told: Callable[[Link], None]) -> None:
        """`told` hears of each."""
        self._links = iter(links)
        self._told = told
        self._first = next(self._links, None)
        self.node = "" if self._first is None else self._first.node

    def __iter__(self) -> Iterator[Link]:
        """All of them, once."""
        for link in chain(() if self._first is None else (self._first,), self._links):
            self._told(link)
            yield link


def verify(
    links: Reading, anchors: Iterable[Anchor], known: Collection[Restore] = ()
) -> Verification:
    """Check a chain; anchors of other nodes are passed over, and what `known` restores explain."""
    heads = [
        anchor.head
        for anchor in anchors
        if anchor.node == links.node and not any(restore.lost(anchor) for restore in known)
    ]
    unsigned = [restore.day_key for restore in known if restore.day_key is not None]
    return verify_links(links, heads, unsigned)


def search(server: str, query: Mapping[str, str], limit: int) -> list[Link]:
    """The newest entries that fit, the newest last; no more than so many."""
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
    """Words for a time; what they mean, the server says, for the days are the centre's."""
    span_of(words)
    return words


def as_json(link: Link) -> dict[str, Any]:
    """For machines."""
    return {
        "seq": link.seq,
        "at": link.at_us / _US,
        "kind": link.kind,
        "facts": link.facts,
        "personal": {name: value for name, (_, value) in link.values.items()},
    }


def unanchored(node: str, anchors: Iterable[Anchor]) -> Iterator[str]:
    """That no anchor is of this node's chain: one under another's name would fit any."""
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
    """What words for a time mean; None for none."""
    if not words:
        return None
    try:
        return period(words, time.time())
    except ValueError:
        raise CliError("that is no time", HINT, status=2) from None
