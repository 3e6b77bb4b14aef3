"""Comparison of an archive with the audit chain: lost, replaced, added and disposed recordings.

The chain has the digest of the manifest of every indexed recording, and the digest of every header
that was replaced. It also has an entry for each order to dispose of a recording. The entry about an
event may be added to the chain some minutes after the event. Therefore the newest events in the
archive may have no entry yet. Differences that may have this cause are reported separately.
"""

from __future__ import annotations

import calendar
import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from galwad.cli.support.console import CliError
from galwad.cli.support.options import read_period
from recording.archive.disposal import CERTIFICATE, Certificate
from recording.archive.manifest import verify_manifest
from recording.archive.verify import check_when_stable, recordings_below
from recording.audit.chain import ChainEntry
from recording.errors import ManifestError
from recording.index.orphans import YOUNG_S

_US: Final = 1_000_000
_ORDERED: Final = "recording.purge-ordered"
_HEADERS: Final = {"header.replaced": 1, "header.not-replaced": -1}


@dataclass(slots=True)
class Differences:
    """The differences between an archive and an audit chain.

    A difference is in `late` if the chain lacks an entry that may still be added
    (`ChainFacts.with_timing`). All other differences are in `problems`.
    """

    problems: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)


class ChainFacts:
    """The facts about recordings that were collected from the entries of an audit chain."""

    def __init__(self) -> None:
        self.end_s = 0.0
        self.indexed: dict[str, str] = {}
        """The digest of the indexed manifest of each call id."""
        self._replaced: Counter[tuple[str, str]] = Counter()
        """The number of times that a header (call id, digest) was replaced by another header."""
        self._ordered: set[tuple[str, str, int, str]] = set()
        self._known_to_be_gone: set[str] = set()

    def add(self, link: ChainEntry) -> None:
        """Add the facts of one entry. Entries must be added in the sequence of the chain."""
        self.end_s = link.at_us / _US
        stated = link.facts
        call_id = str(stated.get("call_id"))
        if link.kind == "recording.indexed":
            self.indexed[call_id] = str(stated.get("manifest_sha256"))
        elif link.kind in _HEADERS and stated.get("old_sha256") != stated.get("new_sha256"):
            # If two commands replace the same header at the same time, the chain has an entry about
            # each replacement, and an entry about the refusal of one. The refusal subtracts 1.
            self._replaced[call_id, str(stated.get("old_sha256"))] += _HEADERS[link.kind]
        elif link.kind == _ORDERED:
            self._ordered.add((call_id, link.node, link.seq, link.hash))
        elif link.kind == "disposal.replayed" or (
            link.kind == "recording.reindexed" and stated.get("disposed") is True
        ):
            # A restore has removed the order for this disposal from the chain. The entry `link` was
            # added later, when the valid certificate of the disposal was found.
            self._known_to_be_gone.add(call_id)

    def orders(self, call_id: str, found: Certificate) -> bool:
        """Return whether the chain has the order for the disposal that `found` certifies."""
        place = found.audit
        order = call_id, place.node, place.seq, place.hash
        return order in self._ordered or call_id in self._known_to_be_gone

    def replaced(self, call_id: str, header_sha256: str) -> bool:
        """Return whether the header with this digest was replaced, according to the chain."""
        return self._replaced[call_id, header_sha256] > 0

    def with_timing(self, text: str, time_text: str) -> tuple[str, bool]:
        """Return `text`, and whether the chain may still get the entry that it lacks.

        The second value is true if the event, at `time_text`, is less than ten minutes before or
        after the chain's newest entry. It is false for an unreadable time. If the event is ten
        minutes or more after that entry, the text also says: export the chain again.
        """
        try:
            moment = calendar.timegm(time.strptime(time_text, "%Y-%m-%dT%H:%M:%SZ"))
        except ValueError:
            return text, False
        if moment >= self.end_s + YOUNG_S:
            return f"{text}; its date is after the chain's end: export the chain again", False
        return text, moment > self.end_s - YOUNG_S


def compare_with_archive(
    facts: ChainFacts, folder: Path, since: str, *, with_payloads: bool = False
) -> Differences:
    """Compare every copy of a recording below `folder` with the facts of the chain.

    `since` is a period such as "2026-11", or "" for all calls. Only calls from its first day on are
    compared. With `with_payloads`, each payload is compared with the digest in its manifest.

    Raises:
        CliError: `folder` is not a folder, or `since` cannot be read.
        OSError: The folder cannot be read.
    """
    if not folder.is_dir():
        raise CliError(f"{folder} is not a folder", "give the archive's folder, or that of a copy")
    span = read_period(since, "--since")
    first = "" if span is None else time.strftime("%Y%m%d", time.gmtime(span.since))
    there: dict[str, list[Path]] = {call_id: [] for call_id in facts.indexed}
    for parent, call_id in recordings_below(folder):
        there.setdefault(call_id, []).append(parent)
    differences = Differences()
    for call_id, folders in sorted(there.items()):
        if call_id[:8] < first:
            continue
        if not folders:
            differences.problems.append(f"{call_id}: it was indexed, but is missing")
        if len(folders) > 1:
            places = " and ".join(map(str, folders))
            differences.problems.append(f"{call_id}: it exists more than once: in {places}")
        for place in folders:
            compare = partial(_differences, facts, call_id, place, with_payloads=with_payloads)
            for text, late in check_when_stable(compare, _is_wrong, place, call_id):
                (differences.late if late else differences.problems).append(f"{call_id}: {text}")
    return differences


def _is_wrong(found: Iterable[tuple[str, bool]]) -> bool:
    return not all(late for _, late in found)


def _differences(
    facts: ChainFacts, call_id: str, folder: Path, *, with_payloads: bool
) -> list[tuple[str, bool]]:
    """Return each problem of a copy, and whether an entry that explains it may still be added."""
    paths = [folder / f"{call_id}.{each}" for each in ("manifest", "header", "disposal")]
    if any(path.exists() and not path.is_file() for path in paths):
        return [("its manifest, header or certificate of disposal is not a file", False)]
    manifest, header, disposal = paths
    found = [*_manifest(facts, call_id, manifest), *_header(facts, call_id, header)]
    if with_payloads and not found:
        found = list(_payload(manifest))
    return found or list(_disposal(facts, call_id, disposal))


def _manifest(facts: ChainFacts, call_id: str, path: Path) -> Iterator[tuple[str, bool]]:
    digest = facts.indexed.get(call_id)
    if digest is None:
        yield facts.with_timing("it exists, but was never indexed", _sealed(path))
        return
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            yield "its manifest is not the one that was indexed", False
    except OSError:
        yield "its manifest is missing", False


def _payload(manifest: Path) -> Iterator[tuple[str, bool]]:
    try:
        stated = verify_manifest(manifest).payload.sha256
        with manifest.with_suffix(".payload").open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != stated:
                yield "its payload was changed", False
    except FileNotFoundError:
        yield "its payload is missing", False
    except ManifestError:
        yield "its manifest cannot be read", False
    except OSError:
        yield "its payload cannot be read", False


def _header(facts: ChainFacts, call_id: str, path: Path) -> Iterator[tuple[str, bool]]:
    """Yield a problem if the chain says that a rewrap has replaced the header in `path`."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        # A disposal may have destroyed the header, which is not a problem. If there was no
        # disposal, the verification of the recording reports that the header cannot be read.
        return
    if facts.replaced(call_id, digest):
        yield (
            "its header is from before a rewrap: run `galwad keys rewrap`, or copy it again",
            False,
        )


def _sealed(path: Path) -> str:
    try:
        return verify_manifest(path).sealed
    except ManifestError:
        return ""


def _disposal(facts: ChainFacts, call_id: str, path: Path) -> Iterator[tuple[str, bool]]:
    try:
        found = CERTIFICATE.read(path.read_bytes())
    except FileNotFoundError:
        return
    except (ManifestError, OSError):
        yield "its certificate of disposal cannot be read", False
        return
    if not facts.orders(call_id, found):
        yield facts.with_timing("it was disposed of, but no entry ordered that", found.disposed)
