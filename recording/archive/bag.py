"""Writes a BagIt bag (RFC 8493, version 1.0) as a tar archive, to a file with `write` and `tell`.

A bag is a folder with data files and tag files. Manifests with SHA-256 digests name every data file
(`manifest-sha256.txt`) and every tag file (`tagmanifest-sha256.txt`).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from typing import BinaryIO, Final

_DECLARATION: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_MODE: Final = 0o644


class BagWriter:
    """Writes one bag. `close` writes the tag files, without which the bag is not complete."""

    def __init__(self, target: BinaryIO, folder: str, made: int) -> None:
        """Begin a bag. `folder` is its name, `made` the time of its files in Unix seconds."""
        self._tar = tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._folder = folder
        self._made = made
        self._digests: dict[str, str] = {}
        self._octets = 0

    def add(self, name: str, content: bytes) -> None:
        """Write a data file. `name` is its path below `data/`, without `%` and line breaks."""
        path = f"data/{name}"
        self._digests[path] = self._write(path, content)
        self._octets += len(content)

    def close(self, info: Mapping[str, str]) -> None:
        """Write the tag files, with `info` in `bag-info.txt`, and end the tar archive."""
        count = len(self._digests)
        tags = {
            "bagit.txt": _DECLARATION,
            "bag-info.txt": _tag_file({**info, "Payload-Oxum": f"{self._octets}.{count}"}),
            "manifest-sha256.txt": _manifest(self._digests),
        }
        written = {name: self._write(name, content) for name, content in tags.items()}
        self._write("tagmanifest-sha256.txt", _manifest(written))
        self._tar.close()

    def _write(self, path: str, content: bytes) -> str:
        """Write a file, and return its SHA-256 in hexadecimal."""
        entry = tarfile.TarInfo(f"{self._folder}/{path}")
        entry.size, entry.mtime, entry.mode = len(content), self._made, _MODE
        self._tar.addfile(entry, io.BytesIO(content))
        return hashlib.sha256(content).hexdigest()


def _manifest(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {path}\n" for path, digest in digests.items()).encode()


def _tag_file(info: Mapping[str, str]) -> bytes:
    """Return the lines `label: value`. A line break in a value becomes a space."""
    return "".join(
        f"{label}: {' '.join(value.split())}\n" for label, value in info.items()
    ).encode()
