"""The demo's CRM: a small HTTP service with two people, in a process of its own.

    demo_crm.py HOST PORT TOKEN_FILE

It answers a search by telephone number after 150 ms, as a CRM in a data centre does. It finds a
person by the spelling in which its clerks wrote the number, and requires a token.
"""

from __future__ import annotations

import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

PEOPLE: Final = (
    {
        "id": "R-1001",
        "fullname": "Protheroe, Gwen",
        "phones": ["+44 1632 960123"],
        "language": "Cymraeg",
        "openCase": "CT-4471: council tax, arrears",
    },
    {
        "id": "R-2044",
        "fullname": "Aberdrama Rugby Club",
        "phones": ["01632 960789"],
        "language": "English",
        "openCase": "",
    },
)
_DELAY_S: Final = 0.15
_LARGEST: Final = 10_000


class Crm(ThreadingHTTPServer):
    """The server; `token` is the token that a request must have."""

    def __init__(self, host: str, port: int, token: str) -> None:
        super().__init__((host, port), Search)
        self.token = token


class Search(BaseHTTPRequestHandler):
    """Answers POST /people/search."""

    protocol_version = "HTTP/1.1"
    server: Crm

    def do_POST(self) -> None:
        """Answer with the people who have one of the spellings in the request."""
        length = int(self.headers.get("Content-Length", "0"))
        if length > _LARGEST:
            self.close_connection = True
            self._answer(413, {"error": "too large"})
            return
        body = self.rfile.read(length)
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given, f"Bearer {self.server.token}"):
            self._answer(401, {"error": "the token is not right"})
            return
        sought = set(json.loads(body)["phones"])
        time.sleep(_DELAY_S)
        self._answer(200, {"people": [each for each in PEOPLE if sought & set(each["phones"])]})

    def _answer(self, status: int, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Write no log: the address of a request could have a number."""


def main() -> None:
    """Serve until the process is ended."""
    host, port, token = sys.argv[1:]
    server = Crm(host, int(port), Path(token).read_text(encoding="utf-8").strip())
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
