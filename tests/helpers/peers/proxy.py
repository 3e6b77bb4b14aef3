"""A proxy in front of the HTTP API that can lie to its client, to try what the client notices."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2

from helpers.peers.waiting import PATIENCE_S

HOP_BY_HOP = {"connection", "content-encoding", "content-length", "date", "server", "host"}
"""Header fields that are not passed on; `transfer-encoding` is one of them too."""


class LyingProxy:
    """Passes requests on to `url`; a context manager.

    `alter(method, path, document)` returns the JSON document that the client receives.
    `reply(method, path)` returns a JSON document with which the proxy answers by itself, or None.
    """

    def __init__(self, url, alter=None, reply=None):
        self.server = url
        self.alter = alter or (lambda _method, _path, document: document)
        self.reply = reply or (lambda _method, _path: None)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def answer(self, method, path, headers, body):
        """Return the status, the header fields and the body that the client receives."""
        own = self.reply(method, path)
        if own is not None:
            return 200, {"content-type": "application/json"}, json.dumps(own).encode()
        found = httpx2.request(
            method, self.server + path, headers=headers, content=body, timeout=PATIENCE_S
        )
        passed = {name: value for name, value in found.headers.items() if keeps(name)}
        if found.headers.get("content-type") != "application/json":
            return found.status_code, passed, found.content
        document = self.alter(method, path, found.json())
        return found.status_code, passed, json.dumps(document).encode()

    def _handler(proxy):  # noqa: N805 - the class below has a `self` of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: value for name, value in self.headers.items() if keeps(name)}
                status, passed, content = proxy.answer(self.command, self.path, headers, body)
                self.send_response(status)
                for name, value in passed.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_):
                """Print nothing."""

        return Handler


def keeps(name):
    """Return whether a header field is passed on."""
    return name.lower() not in HOP_BY_HOP | {"transfer-encoding"}
