#!/usr/bin/env python3
"""Follow the call events of Galwad: append each event to a file, as one line of JSON.

    follow.py https://galwad.example --token-file token --out events.jsonl

The file is also the memory of this program: it continues after the id in the last line. So it can
be killed at any time, and no event is lost or written twice. The first line has the type "ready"
and the position from which the events are complete. A line with the type "missed" says that events
are missing before the next line, because this program was not running for too long.

It needs only Python 3.11. The exit status is 1 if the desk refuses the token or has no stream.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

SILENCE_S = 30.0
"""The desk sends at least a comment every ten seconds. After this silence, connect again."""
LONGEST_WAIT_S = 60.0
LONGEST_LINE = 65_536
OLDEST = "oldest"
"""The position before the oldest event that the desk has stored."""


class RefusedError(Exception):
    """The desk refuses the request, and would refuse it again."""


class MissedError(Exception):
    """Events after the present position are not stored any more."""


@dataclass
class Journal:
    """The file with the events. `position` is the id after which the stream must continue."""

    file: BinaryIO
    position: str = ""

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open the file; cut off a line that was not written completely."""
        file = path.open("a+b")
        file.seek(0)
        content = file.read()
        complete = content[: content.rfind(b"\n") + 1]
        file.truncate(len(complete))
        lines = complete.splitlines()
        return cls(file, json.loads(lines[-1])["id"] if lines else "")

    def append(self, document: dict[str, object]) -> None:
        """Write one line to the disk."""
        self.file.write(json.dumps(document, ensure_ascii=False).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.position = str(document["id"])


@dataclass
class Event:
    """One server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

    kind: str = ""
    event_id: str = ""
    data: list[str] = field(default_factory=list)


def events(response: http.client.HTTPResponse) -> Iterator[Event]:
    """Yield the events of a stream until its end."""
    event = Event()
    while line := response.readline(LONGEST_LINE):
        if not line.endswith(b"\n"):
            raise ConnectionError("a line of the stream is too long or was cut off")
        text = line.decode().rstrip("\r\n")
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text:
            if event.data:
                yield event
            event = Event()
        elif name == "event":
            event.kind = value
        elif name == "id":
            event.event_id = value
        elif name == "data":
            event.data.append(value)


def connect(url: str, ca: str | None) -> http.client.HTTPConnection:
    """Return a connection to the desk."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        trust = ssl.create_default_context(cafile=ca)
        return http.client.HTTPSConnection(host, parts.port, timeout=SILENCE_S, context=trust)
    return http.client.HTTPConnection(host, parts.port, timeout=SILENCE_S)


def follow_once(connection: http.client.HTTPConnection, token: str, journal: Journal) -> None:
    """Append the events of one stream until it ends.

    Raises:
        RefusedError: The desk refuses the request.
        MissedError: Events are missing.
        OSError: The connection is lost.
    """
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    if journal.position:
        headers["Last-Event-ID"] = journal.position
    connection.request("GET", "/api/v1/events", headers=headers)
    response = connection.getresponse()
    if response.status == http.HTTPStatus.GONE:
        raise MissedError
    if response.status in {401, 403, 404, 422}:
        raise RefusedError(
            f"status {response.status}: {response.read(1000).decode(errors='replace')}"
        )
    if response.status != http.HTTPStatus.OK:
        raise ConnectionError(f"status {response.status}")
    for event in events(response):
        if event.kind.startswith("call."):
            journal.append(json.loads("\n".join(event.data)))
        elif event.kind == "ready" and not journal.position:
            journal.append({"type": "ready", "id": event.event_id})
        elif event.kind == "missed":
            raise MissedError
        elif event.kind == "replaced":
            raise RefusedError("another program follows the events with this machine's tokens")


def follow(url: str, token: str, journal: Journal, ca: str | None) -> None:
    """Append events for ever; connect again after each loss of the connection.

    Raises:
        RefusedError: The desk refuses the request.
    """
    wait_s = 1.0
    while True:
        connection, began = connect(url, ca), time.monotonic()
        try:
            follow_once(connection, token, journal)
        except MissedError:
            print("some events are missing", file=sys.stderr)
            journal.append({"type": "missed", "id": OLDEST})
        except (OSError, http.client.HTTPException) as error:
            print(f"the connection is lost: {error}", file=sys.stderr)
        finally:
            connection.close()
        if time.monotonic() - began > SILENCE_S:
            wait_s = 1.0
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def main() -> int:
    """Follow the events until the desk refuses the token."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("url", help="the address of the desk, such as https://galwad.example")
    parser.add_argument("--token-file", type=Path, required=True, help="a file with the token")
    parser.add_argument("--out", type=Path, required=True, help="the file to append to")
    parser.add_argument("--ca", help="a file with the authority of the desk's certificate")
    arguments = parser.parse_args()
    token = arguments.token_file.read_text(encoding="utf-8").strip()
    try:
        follow(arguments.url, token, Journal.open(arguments.out), arguments.ca)
    except RefusedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
