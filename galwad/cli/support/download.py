"""Download an encrypted recording, without decrypting it.

The recording's header is stored in memory, and its payload in a temporary file. The payload stays
encrypted there, so this module never writes decrypted audio to the disk.
"""

from __future__ import annotations

import hashlib
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import httpx2

from galwad.cli.support.client import check_response
from galwad.cli.support.console import CliError


@contextmanager
def download(
    call_id: str, purpose: str, reference: str, client: httpx2.Client, *, raw: bool = False
) -> Iterator[tuple[bytes, BinaryIO]]:
    """Fetch an encrypted recording; yield its header and a file with its payload.

    The digest of the payload is checked before the header and the file are yielded. If `raw` is
    true, the file has the packets that could not be decoded instead of the audio.

    Raises:
        CliError: The server refused the request, or the digest of the received file is wrong.
    """
    with temporary_file_errors(), tempfile.TemporaryFile() as payload:
        header, is_as_indexed = receive(call_id, purpose, reference, client, payload, raw=raw)
        if not is_as_indexed:
            why = f"--purpose {purpose} --reference {shlex.quote(reference)}"
            raise CliError(
                "the download differs from the digests in the server's index",
                f"`galwad recordings verify {call_id} {why}` names the file that was changed",
            )
        payload.seek(0)
        yield header, payload


def receive(
    call_id: str,
    purpose: str,
    reference: str,
    client: httpx2.Client,
    payload: BinaryIO,
    *,
    raw: bool = False,
) -> tuple[bytes, bool]:
    """Fetch an encrypted recording, and write its payload to the file `payload`.

    If `raw` is true, the packets that could not be decoded are written instead of the audio.

    Return the header, and whether the payload has the digest that the server's index has.

    Raises:
        CliError: The server refused the request.
        OSError: The file cannot be written.
    """
    body = {"purpose": purpose, "reference": reference} | ({"raw": True} if raw else {})
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

    The output file is also written inside this context manager. But `atomic_file` handles the
    errors of the output file, so they do not arrive here.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or "no folder can be used").lower()
        raise CliError(
            f"cannot write to the folder for temporary files: {reason}",
            "set $TMPDIR to a folder with more space",
        ) from None
