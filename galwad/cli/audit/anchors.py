"""Files of anchors. An anchor is the head of a server's audit chain, stored outside that server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from galwad.cli.audit.chain import file_errors, lines_of
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError
from recording.audit.anchors import Anchor, append_anchor, parse_anchors
from recording.errors import ChainError


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
