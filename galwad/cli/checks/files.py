"""Checks of the files that the services need: they exist, and the services' user can read them.

`galwad check` usually runs as root, who can read every file, but the units run as a user of their
own (DynamicUser=). So each file is opened with the rights of this user. systemd itself reads the
credentials in /run/credentials as root, so they are not checked in this way.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from config.section import Section
from galwad.cli.checks import CheckResult, fault, fine, warning
from recording.files.foreign import Owner, as_user

if TYPE_CHECKING:
    from galwad.settings import Settings

SectionT = TypeVar("SectionT", bound=Section)
_CREDENTIALS: Final = Path("/run/credentials")
_STORE: Final = Path("/etc/credstore")
_NOBODY: Final = Owner(65534, 65534)
UNIT: Final = "galwad-switch.service"
FOLDERS: Final = tuple(
    map(Path, ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"))
)
"""The folders of unit files. If two have the same unit, systemd uses the one that is first here."""
_PARTS: Final = ("keys", "finaliser", "desk", "switch")
"""The folders of the services in the state folder. `check_unit_files` opens each file in them."""


def stored(path: Path) -> Path:
    """Return the path from which this process can read a certificate, key or password.

    It is `path`, or the original in /etc/credstore if only a unit can read systemd's copy.
    """
    if path.exists() or not path.is_relative_to(_CREDENTIALS):
        return path
    return _STORE / path.name


def unreadable(path: Path) -> str:
    """Return why the file cannot be read, as the end of a sentence, or "" if it can be read."""
    try:
        path.read_bytes()
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({(error.strerror or 'refused').lower()})"
    return ""


def files_of(section: Section) -> Iterator[Path]:
    """Yield the files that the settings of a table name, including its inner tables."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            yield value
        elif isinstance(value, Section):
            yield from files_of(value)


def with_stored_files(section: SectionT) -> SectionT:
    """Return a copy of a table with each path as `stored` returns it."""
    changed: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            changed[name] = stored(value)
        elif isinstance(value, Section):
            changed[name] = with_stored_files(value)
    return section.model_copy(update=changed)


def check_unit_files(settings: Settings) -> Iterator[CheckResult]:
    """Check that the units' user can read the files in the settings and the services' folders.

    The set of recipients is left out, because `check_keys` checks it. Missing files are left out
    too, because other checks report them. There is no result if `unit_user` finds no user.
    """
    user = unit_user(settings)
    if user is None:
        return
    paths = [path for path in dict.fromkeys(_needed_files(settings)) if path != settings.recipients]
    problems = [
        (path, problem) for path in paths if (problem := unreadable_for_units(settings, path, user))
    ]
    for path, problem in problems:
        yield fault("files", f"{path} {problem}", fix_of(path, user))
    if not problems:
        yield fine("files", f"the units' user can read the {len(paths)} files that it needs")


def unit_user(settings: Settings) -> Owner | None:
    """Return the units' user, with whose rights files must be opened.

    This is the owner of the services' folders, if that is not root. Otherwise, it is the user
    `_NOBODY` if the units are installed: they have not run yet. The result is None if this process
    is not root, or if there is neither such a folder nor a unit.
    """
    if os.geteuid() != 0:
        return None
    for part in _PARTS:
        try:
            found = (settings.node.state / part).stat()
        except OSError:
            continue
        if found.st_uid:
            return Owner(found.st_uid, found.st_gid)
    return _NOBODY if any((folder / UNIT).is_file() for folder in FOLDERS) else None


def unreadable_for_units(settings: Settings, path: Path, user: Owner | None) -> str:
    """Return why `user` may not read a file, as the end of a sentence.

    Return "" if the user may, if `user` is None, or if the file is missing or its disk damaged.
    """
    if user is None:
        return ""
    base, way = _way_of(settings, path.resolve())
    try:
        folder = os.open(base, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return ""
    try:
        with as_user(user):
            os.close(os.open(way, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder))
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM}:
            return ""  # another check reports a missing file or a damaged disk
        return f"cannot be read by the units' user ({user.uid}), only by root"
    finally:
        os.close(folder)
    return ""


def fix_of(path: Path, user: Owner) -> str:
    """Return what makes a file readable for the units' user."""
    if user == _NOBODY:
        return f"chmod 644 {path}, or make it a credential (docs/operations/certificates.md)"
    return f"chown {user.uid}:{user.gid} {path}"


def _way_of(settings: Settings, path: Path) -> tuple[Path, str]:
    """Return the folder from which the units reach a file, and the file's path from there.

    systemd gives the units access to the services' folders. Without systemd, only root could enter
    them, because they are in /var/lib/private.
    """
    for part in _PARTS:
        folder = (settings.node.state / part).resolve()
        if path.is_relative_to(folder):
            return folder, str(path.relative_to(folder))
    return Path("/"), str(path.relative_to("/"))


def _needed_files(settings: Settings) -> Iterator[Path]:
    tables: list[Section] = [settings.desk, settings.sip, *settings.trunks, *settings.directories]
    tables += [each for each in (settings.webhook, settings.sign_in) if each is not None]
    for path in (path for table in tables for path in files_of(table)):
        if not path.is_relative_to(_CREDENTIALS) and path.is_file():
            yield path
    for part in _PARTS:
        folder = settings.node.state / part
        if folder.is_dir():
            yield from (path for path in sorted(folder.iterdir()) if path.is_file())


def check_trunk_passwords(settings: Settings) -> Iterator[CheckResult]:
    """Check that each trunk's password is in a file and not in the settings, and can be read."""
    for trunk in settings.trunks:
        if trunk.password is not None:
            yield warning(
                "trunks",
                f"the password of trunk {trunk.name} is in the settings, which the desk and the "
                "finaliser can read too",
                "put the password into the file "
                f"/etc/credstore/galwad.trunk.{trunk.name}, readable only for root, and use "
                '"password_file" in its place',
            )
        elif trunk.password_file is not None:
            path = stored(trunk.password_file)
            problem = unreadable(path)
            if problem:
                fix = (
                    "put the password into this file, and restart galwad-switch; a file in "
                    "/etc/credstore must be readable only for root"
                )
                yield fault("trunks", f"{path} {problem}", fix)
            else:
                yield fine("trunks", f"the password of trunk {trunk.name} can be read")
