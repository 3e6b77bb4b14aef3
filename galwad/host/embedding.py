"""The page in a panel of a CRM: its path, its cookie, and the token that protects its requests.

In a frame of another site, browsers do not send the page's usual cookie, which is SameSite=Strict.
So a session that was opened there has a cookie of its own. A browser sends this cookie only while
the same site is around the frame as at the sign-in (Partitioned,
https://datatracker.ietf.org/doc/draft-cutler-httpbis-partitioned-cookies/). But scripts of that
site can also make the browser send it. So each request that changes something also needs a token,
which only our own page can read (https://cheatsheetseries.owasp.org/, CSRF prevention).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Protocol

PATH: Final = "/embedded"
COOKIE: Final = "__Host-galwad-embedded"
CSRF_HEADER: Final = "X-Galwad-CSRF"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods of requests that change nothing (RFC 9110 section 9.2.1)."""


class PageSession(Protocol):
    """The session of a page, of which only the kind and the key are needed."""

    @property
    def kind(self) -> str:
        """The kind of client that has signed in, such as "embedded"."""

    @property
    def key(self) -> str:
        """The SHA-256 digest of the session's token."""


def csrf_token(session: PageSession) -> str | None:
    """Return the token that this session's changing requests need; None if they need none."""
    if session.kind != "embedded":
        return None
    return hashlib.sha256(f"csrf:{session.key}".encode()).hexdigest()


def has_csrf_token(session: PageSession, sent: str) -> bool:
    """Return whether `sent` is the token that this session needs; True if it needs none."""
    expected = csrf_token(session)
    return expected is None or hmac.compare_digest(sent.encode(), expected.encode())


def set_cookie(name: str, value: str, *, path: str = "/", max_age: int | None = None) -> str:
    """Return the value of the header field Set-Cookie for a cookie of an embedded page.

    `http.cookies` does not know the attribute Partitioned before Python 3.14.
    """
    lifetime = "" if max_age is None else f"; Max-Age={max_age}"
    return f"{name}={value}; Path={path}{lifetime}; Secure; HttpOnly; SameSite=None; Partitioned"
