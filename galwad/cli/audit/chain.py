"""Reads the entries of an audit chain, from a server or from an exported file.

`search` reads only the entries of the server that match a query. In the code, an entry of the chain
is called a link.
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
from recording.audit.chain import ChainEntry, read_export
from recording.errors import ChainError

_PAGE: Final = 1000
_LONGEST: Final = 1 << 24
"""The maximum number of characters that are read as one line. A line with an entry has only a few
hundred characters."""
_US: Final = 1_000_000


def fetch(server: str) -> Iterator[ChainEntry]:
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


def read(path: Path) -> Iterator[ChainEntry]:
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
