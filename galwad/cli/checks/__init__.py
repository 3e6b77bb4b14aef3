"""The checks of `galwad check`: one small module for each subject, each yielding findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from config.settings import Settings
from galwad.cli.checks import (
    certificates,
    coverage,
    database,
    folders,
    host,
    keys,
    peers,
    ports,
    spools,
    srtp,
)
from galwad.cli.checks.result import Finding, Grade, fault

__all__ = ["Finding", "Grade", "run"]

Look: TypeAlias = Callable[[Settings], Iterator[Finding]]

_LOOKS: Final[tuple[Look, ...]] = (
    folders.look,
    ports.look,
    peers.look,
    keys.look,
    certificates.look,
    srtp.look,
    database.look,
    spools.look,
    coverage.look,
    host.look,
)


def run(settings: Settings) -> list[Finding]:
    """Run all checks, in the order in which faults are best mended, and return their findings."""
    return [finding for look in _LOOKS for finding in _seen(look, settings)]


def _seen(look: Look, settings: Settings) -> Iterator[Finding]:
    """Yield the findings of one check; a disk error becomes a fault, and other checks go on."""
    try:
        yield from look(settings)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        ours = isinstance(error, PermissionError)
        fix = "run this as root, or as the user who runs galwad" if ours else "look at that disk"
        yield fault("disk", f"{error.filename or settings.node.state}: {reason}", fix)
