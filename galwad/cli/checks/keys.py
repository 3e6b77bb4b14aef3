"""Who can open recordings: the signed set."""

from __future__ import annotations

from collections.abc import Iterator

from config.settings import Settings
from galwad.cli.checks.finding import Finding, fault, fine, warning
from recording.errors import KeySetError
from recording.keys import RecipientSet


def look(settings: Settings) -> Iterator[Finding]:
    """The set of recipients, and recovery."""
    yield _recipients(settings)
    if settings.recording.unattended_recovery:
        yield warning(
            "recovery",
            "spools are recovered unattended: whoever has this disk can read calls in progress",
            "set [recording] unattended_recovery = false, and recover after a reboot by hand",
        )


def _recipients(settings: Settings) -> Finding:
    path = settings.recipients
    try:
        found = RecipientSet.load(path, settings.recording.officer_key)
    except KeySetError as error:
        return fault("recipients", str(error), error.hint)
    pairs = zip(found.named, found.fingerprints, strict=True)
    names = ", ".join(f"{entry.name} {mark}" for entry, mark in pairs)
    if len(found.named) == 1:
        return warning(
            "recipients",
            f"only {names} can open recordings: a lost key loses all of them",
            "sign a second recipient: galwad keys sign --recipient NAME=age1…",
        )
    return fine("recipients", f"set number {found.serial}, signed; {names} can open recordings")
