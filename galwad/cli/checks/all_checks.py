"""The list of all checks of `galwad check`, and the function that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from galwad.cli.checks import (
    certificates,
    contradictions,
    coverage,
    database,
    directories,
    directory_answers,
    folders,
    host,
    ip_filter,
    keys,
    peers,
    ports,
    processes,
    routes,
    sign_in,
    spools,
    srtp,
    trunk_passwords,
    unit_files,
    webhook,
)
from galwad.cli.checks.result import CheckResult, fault
from galwad.settings import Settings

Check: TypeAlias = Callable[[Settings], Iterator[CheckResult]]

_CHECKS: Final[tuple[Check, ...]] = (
    folders.check,
    processes.check,
    ports.check,
    ip_filter.check,
    routes.check,
    peers.check,
    contradictions.check,
    keys.check,
    unit_files.check,
    certificates.check,
    trunk_passwords.check,
    srtp.check,
    database.check,
    directories.check,
    directory_answers.check,
    webhook.check,
    sign_in.check,
    spools.check,
    coverage.check,
    host.check,
)


def run(settings: Settings) -> list[CheckResult]:
    """Run all checks and return their results.

    The results are in the sequence in which their faults should be corrected.
    """
    return [result for check in _CHECKS for result in _results(check, settings)]


def _results(check: Check, settings: Settings) -> Iterator[CheckResult]:
    """Yield the results of one check.

    If the check raises an `OSError`, a fault is yielded for the error, so that the other checks
    still run.
    """
    try:
        yield from check(settings)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        ours = isinstance(error, PermissionError)
        fix = "run this as root, or as the user who runs galwad" if ours else "check that disk"
        yield fault("disk", f"{error.filename or settings.node.state}: {reason}", fix)
