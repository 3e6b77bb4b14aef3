"""Requests about the server's archive: list the index, check it, and download a sealed recording.

A downloaded header is kept in memory, and the payload in a temporary file. The payload stays
encrypted there, so this module never writes decrypted audio to the disk.
"""

from __future__ import annotations

import hashlib
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import urlencode

from galwad.cli.support.client import ask, check_response
from galwad.cli.support.console import CliError

if TYPE_CHECKING:
    import httpx2

_PAGE: Final = 500
_TIMEOUT_S: Final = 900.0
"""The seconds to wait for a check of the index. It takes minutes for a year of a busy centre."""


def indexed_rows(server: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Yield the index rows that match `query`, fetched page by page. Raises `CliError`."""
    query["limit"] = _PAGE
    while True:
        page = ask(server, "POST", "/recordings/search", query)
        yield from page["rows"]
        if page["after"] is None:
            return
        query["after"] = page["after"]


@dataclass(frozen=True, slots=True)
class FetchPurpose:
    """Why a recording is fetched: a purpose, a reference, and a number in a register, or None.

    `disclosure` or `case` is the number of the disclosure or case for which it is fetched.
    """

    purpose: str
    reference: str
    disclosure: int | None = None
    case: int | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The fields of a request to fetch the recording."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        """Return the options of a command that fetches it again."""
        return " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in self.body.items())


@contextmanager
def download(
    call_id: str, why: FetchPurpose, client: httpx2.Client, *, raw: bool = False
) -> Iterator[tuple[bytes, BinaryIO]]:
    """Fetch an encrypted recording; yield its header and a file with its payload.

    The digest is checked first. With `raw`, the file has the packets that could not be decoded.
    Raises `CliError` if the server refuses the request, the digest of the payload is wrong, or the
    temporary file cannot be written.
    """
    with temporary_file_errors(), tempfile.TemporaryFile() as payload:
        header, is_as_indexed = receive(call_id, why, client, payload, raw=raw)
        if not is_as_indexed:
            raise CliError(
                "the download differs from the digests in the server's index",
                f"`galwad recordings verify {call_id} {why}` names the file that was changed",
            )
        payload.seek(0)
        yield header, payload


def receive(
    call_id: str, why: FetchPurpose, client: httpx2.Client, payload: BinaryIO, *, raw: bool = False
) -> tuple[bytes, bool]:
    """Fetch an encrypted recording, and write its payload to the file `payload`.

    Return the header, and True if it is not empty and the payload has the digest in the server's
    index. With `raw`, the payload has the packets that could not be decoded.

    Raises:
        CliError: The server refused the request.
        OSError: The file cannot be written.
    """
    body = why.body | ({"raw": True} if raw else {})
    header = b""
    digest = hashlib.sha256()
    with client.stream("POST", f"/recordings/{call_id}/fetch", json=body) as response:
        check_response(response)
        header_length = int(response.headers.get("X-Galwad-Header-Length", "0"))
        wanted = response.headers.get("X-Galwad-Payload-SHA256", "")
        for block in response.iter_bytes():
            missing = header_length - len(header)
            header += block[:missing]
            digest.update(block[missing:])
            payload.write(block[missing:])
    return header, bool(header) and digest.hexdigest() == wanted


@contextmanager
def temporary_file_errors() -> Iterator[None]:
    """Turn an `OSError` of the temporary file into a `CliError`.

    Errors of the output file do not arrive here, because `atomic_file` handles them.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or "no folder can be used").lower()
        raise CliError(
            f"cannot write to the folder for temporary files: {reason}",
            "set $TMPDIR to a folder with more space",
        ) from None


@dataclass(frozen=True, slots=True)
class IndexFindings:
    """The result of the server's check of its index.

    Attributes:
        findings: The contradictions of each call, by call id. A call without a contradiction is not
            in the mapping. Contradictions about alarms have the key "alarms".
        not_committed: The number of recordings whose manifest has no commitments to the number,
            line and advisor, because older software sealed them.
        more: The number of contradictions that the server did not list.
    """

    findings: dict[str, list[str]]
    not_committed: int = 0
    more: int = 0

    @property
    def problems(self) -> list[str]:
        """A line for each contradiction, and a last line if the server did not list all."""
        lines = [f"{key}: {each}" for key, problems in self.findings.items() for each in problems]
        return [*lines, f"and {self.more} more contradictions"] if self.more else lines

    @property
    def notes(self) -> list[str]:
        """A line with the number of recordings without commitments; [] if there are none."""
        return [not_committed_note(self.not_committed)] if self.not_committed else []


def fetch_index_check(server: str, *, since: float = 0.0, call_id: str = "") -> IndexFindings:
    """Let the server check its index: one call, or all since a Unix time. Raises `CliError`."""
    query: dict[str, Any] = {"call_id": call_id} if call_id else {"since": since}
    answer = ask(server, "GET", f"/index?{urlencode(query)}", timeout_s=_TIMEOUT_S)
    findings: dict[str, list[str]] = {}
    for each in answer["findings"]:
        findings.setdefault(each["call_id"], []).append(each["problem"])
    return IndexFindings(findings, answer["not_committed"], answer["more_findings"])


def not_committed_note(count: int) -> str:
    """Return the note that `count` recordings have no commitments in their manifests."""
    what = "1 recording is" if count == 1 else f"{count} recordings are"
    return (
        f"{what} not committed: older software sealed them, so a changed number, line or advisor "
        "in the index cannot be found"
    )
