"""Read public signing keys that the user gives as command-line arguments."""

from __future__ import annotations

from pathlib import Path

from galwad.cli.support.console import CliError
from recording.errors import KeySetError
from recording.keys.keyring import parse_public


def public_key(text: str, option: str) -> str:
    """Return a public signing key as base64 text.

    `text` is the key as base64, or the path of a file that contains the key as base64. `option` is
    the name of the command-line option, for the error message.

    Raises:
        CliError: `text` is neither a public key nor the path of a file with a public key.
    """
    path = Path(text)
    try:
        found = path.read_text(encoding="ascii").strip() if path.is_file() else text
        parse_public(found)
    except (KeySetError, OSError, UnicodeDecodeError):
        raise CliError(
            f"{option} is not a public key",
            "give its 44 characters of base64, or a file that holds them",
            status=2,
        ) from None
    return found
