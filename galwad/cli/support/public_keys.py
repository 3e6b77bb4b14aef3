"""Read the public signing keys that a command trusts: from its options, or from a trust file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from galwad.cli.support.console import CliError
from recording.errors import KeySetError
from recording.files.atomic import read_small
from recording.keys.keyring import parse_public
from recording.keys.trust_file import FILE_NAME, trusted_nodes


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


def trusted_keys(
    trust: Path | None, identity: Path | None, officers: Sequence[str]
) -> Sequence[str]:
    """Return the keys of the nodes in the trust file `trust`, or in the one beside `identity`.

    Return nothing if `trust` is None and there is no trust file beside the key file `identity`.

    Raises:
        CliError: The file cannot be read, or none of `officers` (public signing keys) signed it.
    """
    if trust is None:
        beside = None if identity is None else identity.parent / FILE_NAME
        if beside is None or not beside.is_file():
            return ()
        trust = beside
    if not officers:
        raise CliError(
            "the trust file proves nothing without its officer's key",
            "add --officer-key, or --identity with the officer's key file",
            status=2,
        )
    try:
        return trusted_nodes(read_small(trust), officers)
    except KeySetError as error:
        raise CliError(f"{trust}: {error}", error.hint) from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CliError(f"cannot read {trust}: {reason}", "choose another file") from None
