"""The files with certificates, keys and passwords that systemd passes to one unit only."""

from __future__ import annotations

from pathlib import Path

from config.directories import ExternalDirectory

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


def stored_directory(section: ExternalDirectory) -> ExternalDirectory:
    """Return the settings of a directory with the paths from which this process can read its files.

    See `stored`. The files are the certificates, the key and the secret.
    """
    tls, authentication = section.tls, section.authentication
    files = {name: getattr(tls, name) for name in type(tls).model_fields}
    readable = {name: stored(path) for name, path in files.items() if path is not None}
    changed: dict[str, object] = {"tls": tls.model_copy(update=readable)}
    if authentication is not None:
        secret = {"secret_file": stored(authentication.secret_file)}
        changed["authentication"] = authentication.model_copy(update=secret)
    return section.model_copy(update=changed)
