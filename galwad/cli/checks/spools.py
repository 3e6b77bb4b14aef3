"""Checks for spools that this machine could not open after a power failure or a reboot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from galwad.cli.checks.result import CheckResult, fault, warning
from galwad.settings import Settings
from recording.errors import SpoolError
from recording.spool import SpoolHeader, read_header
from recording.spool.recovery import boot_key_for, recovered_keys

_MAX_SHOWN: Final = 10


def check(settings: Settings) -> Iterator[CheckResult]:
    """Yield a fault for each spool that cannot be opened without an officer.

    The check tries the boot keys of this machine, and the keys that an officer has already
    recovered. It also yields a fault for each recovered key that the finaliser cannot read, and a
    warning if there are spools in the spare folder, which is used after a disk failure.
    """
    keys = settings.node.runtime / "spool-keys"
    found: list[CheckResult] = []
    with contextlib.suppress(PermissionError):  # the check of the folders reports this error
        boot_keys = [path.read_bytes() for path in settings.boot_keys if path.exists()]
        found += _misplaced(keys)
        for path in sorted(
            each for folder in settings.spool_folders for each in folder.glob("*.spool")
        ):
            # errors are ignored here: the spool has just been sealed and removed, or the file is
            # not a spool
            with contextlib.suppress(SpoolError, FileNotFoundError):
                header = read_header(path)
                if not boot_key_for(header, boot_keys) and not recovered_keys(keys, [path]):
                    found.append(_locked(path, header))
        yield from _moved(settings.spare_folder)
    yield from found[:_MAX_SHOWN]
    if len(found) > _MAX_SHOWN:
        yield fault(
            "spools", f"and {len(found) - _MAX_SHOWN} more", f"they are in {settings.spool_folder}"
        )


def _moved(spare: Path) -> Iterator[CheckResult]:
    """Yield a warning if there are spools in the folder `spare`.

    Spools are made there only after the disk of the spool folder has failed.
    """
    calls = {path.name.partition(".")[0] for path in spare.glob("*.spool")}
    if calls:
        what = f"the recording of {len(calls)} calls" if len(calls) > 1 else "a call's recording"
        yield warning(
            "spools",
            f"{what} is in {spare}: the disk of the spools failed",
            "see docs/operations/disks.md; sealing the call ends this",
        )


def _locked(path: Path, header: SpoolHeader) -> CheckResult:
    if header.recipients_wrapped:
        fix = f"on the officer's machine: galwad recordings recover {path.name}"
        return fault("spools", f"{path.name} is from before a reboot, and locked", fix)
    return fault(
        "spools",
        f"{path.name} is from before a reboot, and there was no signed set: no key opens it",
        "keep it for the record, or delete it",
    )


def _misplaced(keys: Path) -> Iterator[CheckResult]:
    """Yield a fault for each recovered key that the finaliser cannot read.

    The finaliser cannot read a key file if its owner is not the owner of the folder `keys`, for
    example because root copied the file into the folder.
    """
    for path in sorted(keys.glob("*.recovered")):
        if path.stat().st_uid != keys.stat().st_uid:
            fix = f"chown --reference={keys} {path}"
            yield fault("spools", f"the service cannot read {path.name}", fix)
