"""The files with certificates, keys and passwords that systemd passes to one unit only."""

from __future__ import annotations

from pathlib import Path

_CREDENTIALS = Path("/run/credentials")
_STORE = Path("/etc/credstore")


def stored(path: Path) -> Path:
    """Return the path from which this process can read a certificate, key or password.

    `path` is the file's path in the settings. A file in /run/credentials is systemd's copy of a
    file in /etc/credstore, and only one unit can read this copy. If this process has no such copy,
    return the path in /etc/credstore. In all other cases, return `path`.
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
