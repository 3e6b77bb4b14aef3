"""The files of the page, under addresses that change with their content.

The page's HTML names a file as `/static/VERSION/name`. The version is a digest of all files, so a
browser may keep the file for a year. A page from before an upgrade asks for an old version. This
page gets the present file, and the browser must ask again before each use. `/static/name` is valid
too.

Only public responses are compressed. A response with a caller's details or a token must never be
compressed: its length would show whether it repeats a text that an attacker has put into the
request (the attack BREACH).
"""

from __future__ import annotations

import hashlib
import re
from importlib.resources import as_file, files
from pathlib import Path

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

_KEPT = "public, max-age=31536000, immutable"
_VERSIONED = re.compile(r"([0-9a-f]{16})/(.+)")


class PageFiles(StaticFiles):
    """The ASGI application for the paths under `/static`."""

    def __init__(self) -> None:
        with as_file(files("galwad.page")) as package:
            self._folder = Path(package) / "static"
        super().__init__(directory=self._folder, check_dir=False)
        self.version = _digest(self._folder)
        self._pages = {path.name: self._versioned(path) for path in self._folder.glob("*.html")}

    def page(self, name: str) -> HTMLResponse:
        """Return a page of this name, in which the addresses of the files have the version."""
        return HTMLResponse(self._pages[name])

    def _versioned(self, path: Path) -> str:
        text = path.read_text(encoding="utf-8")
        return text.replace('"/static/', f'"/static/{self.version}/')

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file at `path`, which may begin with a version."""
        versioned = _VERSIONED.fullmatch(path)
        if versioned is None:
            return await super().get_response(path, scope)
        version, name = versioned.groups()
        response = await super().get_response(name, scope)
        if version == self.version and response.status_code in (200, 304):
            response.headers["Cache-Control"] = _KEPT
        return response


def _digest(folder: Path) -> str:
    """Return 16 hexadecimal digits that depend on the names and contents of all files."""
    found = hashlib.sha256()
    for path in sorted(each for each in folder.iterdir() if each.is_file()):
        content = path.read_bytes()
        found.update(f"{path.name} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


PUBLIC = ("/static/", "/api/v1/strings/", "/api/v1/openapi.json")
"""The beginnings of the paths whose responses have no personal data and depend on no session."""
_SMALLEST = 1000
"""Responses of fewer octets are sent as they are, because they fit into one packet in any case."""


class PublicFileCompression:
    """ASGI middleware that compresses the responses for the paths in `PUBLIC` with gzip."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._compressed = GZipMiddleware(app, minimum_size=_SMALLEST, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and compress the response if its path is public."""
        public = scope["type"] == "http" and scope["path"].startswith(PUBLIC)
        await (self._compressed if public else self._app)(scope, receive, send)
