"""Tokens that let a browser prove that an account has signed in on it before.

A browser gets such a token in a cookie at each sign-in with a password, and sends it only with
later sign-ins (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"). The token opens no
session. With a token, failed sign-ins of other clients do not delay this browser. The cookie has
the tokens of up to `MAX_TOKENS` accounts, because several advisors may share a computer.

A token is `ID.SIGNATURE`. The signature covers the id and the account's name with a key that only
this node has. So the desk stores no tokens, and a token does not show for which account it is.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

import structlog

from recording.files.atomic import write_atomic

MAX_TOKENS: Final = 8
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 12
_MAX_COOKIE: Final = 1024
log = structlog.get_logger()


class Devices:
    """Makes and checks the tokens of devices with the secret key in the file `path`.

    If the file is missing or damaged, it is written with a new key and the mode 0600. If the file
    cannot be read or written, a new key is in memory only, and its tokens end with the process.
    """

    def __init__(self, path: Path) -> None:
        self._key = _load(path)

    def device_of(self, account: str, cookie: str) -> str:
        """Return the id of the device if the cookie has a valid token for `account`, or ""."""
        for token in cookie[:_MAX_COOKIE].split("~"):
            name, _, signature = token.partition(".")
            if name and hmac.compare_digest(self._sign(account, name).encode(), signature.encode()):
                return name
        return ""

    def cookie_for(self, account: str, cookie: str) -> str:
        """Return the cookie's new value after a sign-in of `account`. `cookie` is the old value."""
        older = [each for each in cookie[:_MAX_COOKIE].split("~") if each]
        name = self.device_of(account, cookie) or secrets.token_urlsafe(_ID_BYTES)
        token = f"{name}.{self._sign(account, name)}"
        return "~".join([token, *(each for each in older if each != token)][:MAX_TOKENS])

    def _sign(self, account: str, name: str) -> str:
        return hmac.new(self._key, f"{name}\n{account}".encode(), hashlib.sha256).hexdigest()[:40]


def _load(path: Path) -> bytes:
    try:
        key = path.read_bytes()
        if len(key) == _KEY_BYTES:
            return key
        log.warning("devices.key_damaged")
    except FileNotFoundError:
        key = b""
    except OSError:
        log.warning("devices.key_not_read")
        return secrets.token_bytes(_KEY_BYTES)
    key = secrets.token_bytes(_KEY_BYTES)
    try:
        write_atomic(path, key, 0o600)
    except OSError:
        log.warning("devices.key_not_stored")
    return key
