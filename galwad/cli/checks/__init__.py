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
from galwad.cli.checks.finding import Finding, Grade

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
    return [finding for look in _LOOKS for finding in look(settings)]
