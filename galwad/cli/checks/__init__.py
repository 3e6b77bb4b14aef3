"""What `galwad check` looks at: one small module a subject, each giving findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from config.settings import Settings
from galwad.cli.checks import (
    books,
    certificates,
    folders,
    host,
    keys,
    peers,
    ports,
    protection,
    spools,
    stores,
)
from galwad.cli.checks.finding import Finding, Grade, fault

__all__ = ["Finding", "Grade", "run"]

Look: TypeAlias = Callable[[Settings], Iterator[Finding]]

_LOOKS: Final[tuple[Look, ...]] = (
    folders.look,
    ports.look,
    peers.look,
    keys.look,
    certificates.look,
    protection.look,
    stores.look,
    spools.look,
    books.look,
    host.look,
)


def run(settings: Settings) -> list[Finding]:
    """Everything, in an order in which faults are best mended."""
    return [finding for look in _LOOKS for finding in _seen(look, settings)]


def _seen(look: Look, settings: Settings) -> Iterator[Finding]:
    """What one look finds; a disk that does not let it is a fault, and the others go on."""
    try:
        yield from look(settings)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        ours = isinstance(error, PermissionError)
        fix = "run this as root, or as the user who runs galwad" if ours else "look at that disk"
        yield fault("disk", f"{error.filename or settings.node.state}: {reason}", fix)
