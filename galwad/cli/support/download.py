"""Download an encrypted recording, without decrypting it.

The recording's header is stored in memory, and its payload in a temporary file. The payload stays
encrypted there, so this module never writes decrypted audio to the disk.
"""

from __future__ import annotations

import hashlib
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
    body = {"purpose": purpose, "reference": reference} | ({"raw": True} if raw else {})
    path = f"/recordings/{call_id}/fetch"
    with _temporary_file_errors(), tempfile.TemporaryFile() as payload:
        header = b""
        digest = hashlib.sha256()
        with client.stream("POST", path, json=body) as response:
            check_response(response)
            header_length = int(response.headers.get("X-Galwad-Header-Length", "0"))
            wanted = response.headers.get("X-Galwad-Payload-SHA256", "")
            for block in response.iter_bytes():
                missing = header_length - len(header)
                header += block[:missing]
                digest.update(block[missing:])
                payload.write(block[missing:])
        if not header or digest.hexdigest() != wanted:
            raise CliError(
                "the download differs from the digests in the server's index",
                f"`galwad recordings verify {call_id}` shows more",
            )
        payload.seek(0)
        yield header, payload


@contextmanager
def _temporary_file_errors() -> Iterator[None]:
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
