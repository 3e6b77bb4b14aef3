"""Public signing keys as command-line arguments."""

from __future__ import annotations

from pathlib import Path

from galwad.cli.support.console import CliError
from recording.errors import KeySetError
from recording.keys.keyring import parse_public


def public_key(text: str, option: str) -> str:
    """Return the public signing key that `text` states, in base64.

    `text` is the key itself, or the path of a file that holds the key. `option` is named in the
    error.

    Raises:
        CliError: `text` gives no public key.
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
