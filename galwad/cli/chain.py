"""The audit's chain on the command line: from the server or an export, with faults told as ours."""

from __future__ import annotations

import calendar
import hashlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from galwad.cli.client import ask
from galwad.cli.console import CliError
from galwad.when import HINT, Period, period
from recording.anchors import Anchor, Restore, append_anchor, parse_anchors
from recording.chain import Link, Verification, read_export, verify_links
from recording.errors import ChainError, ManifestError
from recording.in_motion import at_rest
from recording.manifest import verify_manifest
from recording.orphans import YOUNG_S
from recording.verify import recordings_below

_PAGE: Final = 1000
_US: Final = 1_000_000


def fetch(server: str) -> Iterator[Link]:
    """The server's chain, to where it ends now."""
    after = 0
    while True:
        page = ask(server, "GET", f"/audit?after={after}&limit={_PAGE}")
        yield from (Link.parse(line) for line in page["lines"])
        if len(page["lines"]) < _PAGE:
            return
        after = page["last"]


def read(path: Path) -> Iterator[Link]:
    """An export's chain."""
    with _told(path), path.open(encoding="utf-8") as lines:
        yield from read_export(lines)


def read_anchors(path: Path) -> list[Anchor]:
    """A file of anchors."""
    with _told(path), path.open(encoding="utf-8") as lines:
        return parse_anchors(lines)


@contextmanager
def _told(path: Path) -> Iterator[None]:
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


def verify(
    links: Iterable[Link], anchors: Iterable[Anchor], known: Collection[Restore] = ()
) -> Verification:
    """Check a chain; anchors of other nodes are passed over, and what `known` restores explain."""
    chain = list(links)
    node = chain[0].node if chain else ""
    heads = [
        anchor.head
        for anchor in anchors
        if anchor.node == node and not any(restore.lost(anchor) for restore in known)
    ]
    unsigned = [restore.day_key for restore in known if restore.day_key is not None]
    return verify_links(chain, heads, unsigned)


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
    _span(words)
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


def unanchored(links: Sequence[Link], anchors: Iterable[Anchor]) -> Iterator[str]:
    """That no anchor is of this chain: one under another node's name would fit any."""
    node = links[0].node if links else ""
    others = sorted({anchor.node for anchor in anchors})
    if node not in others:
        whose = f": they are of {', '.join(others)}" if others else ""
        yield f"none of the anchors is of node {node}{whose}"


@dataclass(slots=True)
class Compared:
    """How an archive differs from what a chain says of it, and what came too late to be in it."""

    problems: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)


def against_archive(links: Sequence[Link], folder: Path, since: str) -> Compared:
    """Hold every copy of a recording that lies there against the chain."""
    if not folder.is_dir():
        raise CliError(f"{folder} is no folder", "name the archive's, or a copy's")
    span = _span(since)
    first = "" if span is None else time.strftime("%Y%m%d", time.gmtime(span.since))
    indexed = {
        str(link.facts.get("call_id")): str(link.facts.get("manifest_sha256"))
        for link in links
        if link.kind == "recording.indexed"
    }
    there: dict[str, list[Path]] = {call_id: [] for call_id in indexed}
    with _told(folder):
        for parent, call_id in recordings_below(folder):
            there.setdefault(call_id, []).append(parent)
    compared, end_s = Compared(), links[-1].at_us / _US if links else 0.0
    for call_id, folders in sorted(there.items()):
        if call_id[:8] < first:
            continue
        if not folders:
            compared.problems.append(f"{call_id}: it was indexed, and is gone")
        if len(folders) > 1:
            places = " and ".join(map(str, folders))
            compared.problems.append(f"{call_id}: it is there more than once, in {places}")
        for place in folders:
            look = partial(_difference, call_id, indexed.get(call_id), place, end_s)
            text, late = at_rest(look, lambda found: found[0] and not found[1], place, call_id)
            (compared.late if late else compared.problems).extend(filter(None, [text]))
    return compared


def _difference(call_id: str, digest: str | None, folder: Path, end_s: float) -> tuple[str, bool]:
    """How one copy differs, if it does; and whether it came too late for this chain."""
    path = folder / f"{call_id}.manifest"
    if digest is None:
        text = f"{call_id}: it is there, and was never indexed"
        return text, _sealed_about(end_s, path)
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return f"{call_id}: its manifest is missing", False
    same = found == digest
    return "" if same else f"{call_id}: its manifest is not the one that was indexed", False


def _sealed_about(end_s: float, path: Path) -> bool:
    """Whether it was on its way to the index when the chain was read: so its manifest says."""
    try:
        sealed = time.strptime(verify_manifest(path).sealed, "%Y-%m-%dT%H:%M:%SZ")
    except (ManifestError, ValueError):
        return False
    return abs(calendar.timegm(sealed) - end_s) < YOUNG_S


def note(path: Path, server: str) -> Anchor:
    """Add the server's head to a file of anchors, if the chain still has the last one there."""
    known = read_anchors(path) if path.exists() else []
    last = known[-1] if known else None
    answer = ask(server, "GET", f"/audit/head?seq={last.head.seq if last else 0}")
    try:
        anchor = Anchor.parse(answer["anchor"])
    except ChainError as error:
        raise CliError(f"the server's answer: {error}", "check the address") from None
    if last is not None and (anchor.node, answer["earlier"]) != (last.node, last.head.hash):
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


def _span(words: str) -> Period | None:
    if not words:
        return None
    try:
        return period(words, time.time())
    except ValueError:
        raise CliError("that is no time", HINT, status=2) from None
