"""Keys: the officer's, the set of recipients that the officer signs, and the node's own.

The server knows only public recipients, and only those in a set signed by the officer whose public
key is in the settings. The officer's file is an ordinary age identity file, which `age -d -i`
accepts, protected by a passphrase or not; it holds the signing key in a comment.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from recording.age import bech32
from recording.age.file import Identity, Recipient, make_header
from recording.age.identity_file import Ask, IdentityFile, protected
from recording.age.passphrase import Passphrase
from recording.errors import AgeError, KeyFileError, KeySetError
from recording.files.atomic import read_small, write_new

FORMAT: Final = "galwad-recipients-1"
_CONTEXT: Final = b"galwad recipients v1\n"
_SIGNING: Final = "GALWAD-SIGNING-KEY-"
_SIGNING_COMMENT: Final = "signing key"
_SIGN_HINT: Final = "sign it on the officer's machine: galwad keys sign"


def fingerprint(recipient: Recipient) -> str:
    """Return 32 hexadecimal digits that stand for a recipient in manifests and on the page."""
    return hashlib.sha256(recipient.key).hexdigest()[:32]


def public_text(key: Ed25519PublicKey) -> str:
    """Return a public signing key as the settings and manifests write it: base64."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def parse_public(text: str) -> Ed25519PublicKey:
    """Parse the text of `public_text`. Raises `KeySetError`."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise KeySetError(
            "this is no public signing key", "44 characters of base64, from: galwad keys show"
        ) from None


@dataclass(frozen=True, slots=True)
class OfficerKeys:
    """The keys that the officer keeps off the server: an age identity and a signing key."""

    identity: Identity
    signing: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return new keys."""
        return cls(Identity.generate(), Ed25519PrivateKey.generate())

    @property
    def public_key(self) -> str:
        """The public signing key, for the server's `recording.officer_key`."""
        return public_text(self.signing.public_key())

    def save(self, path: Path, passphrase: Passphrase | None = None) -> None:
        """Write a new file that only its owner can read; an existing file is never replaced.

        With a passphrase the file is protected as by `age -p -a`.

        Raises:
            KeyFileError: The file exists already, or cannot be written.
        """
        text = self._text()
        content = text.encode() if passphrase is None else protected(text, passphrase)
        try:
            write_new(path, content, 0o600)
        except FileExistsError:
            raise KeyFileError(
                f"{path} exists", "choose another name: keys are never overwritten"
            ) from None
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from None

    def _text(self) -> str:
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        signing = bech32.encode(_SIGNING, self.signing.private_bytes_raw())
        return (
            f"# Galwad officer's keys, created {created}. Never copy this file to the server.\n"
            f"# public key: {self.identity.recipient}\n"
            f"# public signing key: {self.public_key}\n"
            f"# {_SIGNING_COMMENT}: {signing}\n"
            f"{self.identity}\n"
        )

    @classmethod
    def of(cls, file: IdentityFile) -> Self:
        """Return the keys in an identity file that `save` wrote. Raises `KeyFileError`."""
        text = file.comments.get(_SIGNING_COMMENT)
        if text is None:
            raise KeyFileError(f"{file.path} holds no signing key", "made by: galwad keys init")
        return cls(file.identities[0], _signing_key(text, file.path))

    @classmethod
    def load(cls, path: Path, ask: Ask | None = None) -> Self:
        """Read a file that `save` wrote. Raises `KeyFileError`.

        `ask` returns its passphrase, if it is protected.
        """
        return cls.of(IdentityFile.read(path, ask))


def _signing_key(text: str, path: Path) -> Ed25519PrivateKey:
    try:
        prefix, raw = bech32.decode(text)
    except AgeError as error:
        raise KeyFileError(f"{path}: the signing key: {error}") from None
    if prefix != _SIGNING or len(raw) != 32:
        raise KeyFileError(f"{path}: this is no signing key")
    return Ed25519PrivateKey.from_private_bytes(raw)


class NamedRecipient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person who can open recordings; the name is for people, such as "IG officer"."""

    name: str
    recipient: str


class _SetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    serial: int
    signed_at: str
    recipients: list[NamedRecipient]
    signature: str = ""

    def signed_bytes(self) -> bytes:
        fields = msgspec.to_builtins(self)
        del fields["signature"]
        return _CONTEXT + msgspec.json.encode(fields, order="sorted")


@dataclass(frozen=True, slots=True)
class RecipientSet:
    """The recipients to whom recordings are sealed, as the officer signed them."""

    named: tuple[NamedRecipient, ...]
    serial: int
    signed_at: str

    @property
    def recipients(self) -> list[Recipient]:
        """The keys of the recipients."""
        return [Recipient.parse(entry.recipient) for entry in self.named]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the recipients, in order."""
        return tuple(fingerprint(recipient) for recipient in self.recipients)

    @classmethod
    def of(cls, named: Iterable[tuple[str, Recipient]], serial: int) -> Self:
        """Return a new set, dated now; `serial` must exceed that of the set it replaces."""
        entries = tuple(NamedRecipient(name, str(recipient)) for name, recipient in named)
        return cls(entries, serial, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """Return the content of the signed file."""
        bare = _SetFile(FORMAT, self.serial, self.signed_at, list(self.named))
        signature = base64.b64encode(key.sign(bare.signed_bytes())).decode()
        signed = msgspec.structs.replace(bare, signature=signature)
        return msgspec.json.format(msgspec.json.encode(signed), indent=2) + b"\n"

    @classmethod
    def parse(cls, data: bytes, officer_key: str) -> Self:
        """Parse a set, and accept it only when this officer signed it. Raises `KeySetError`."""
        try:
            file = msgspec.json.decode(data, type=_SetFile)
        except msgspec.DecodeError as error:
            raise KeySetError(f"the set of recipients is malformed: {error}", _SIGN_HINT) from None
        if file.format != FORMAT:
            raise KeySetError("the set of recipients has another format", _SIGN_HINT)
        if not file.signature:
            raise KeySetError("the set of recipients is not signed", _SIGN_HINT)
        try:
            signature = base64.b64decode(file.signature, validate=True)
            parse_public(officer_key).verify(signature, file.signed_bytes())
        except (InvalidSignature, binascii.Error, ValueError):
            raise KeySetError(
                "the set of recipients is not signed by the officer of the settings",
                "compare recording.officer_key with: galwad keys show",
            ) from None
        found = cls(tuple(file.recipients), file.serial, file.signed_at)
        found.check()
        return found

    def check(self) -> None:
        """Refuse a set that is empty, or that has a recipient to whom nothing can be sealed.

        Raises `KeySetError`.
        """
        if not self.named:
            raise KeySetError("the set of recipients is empty", _SIGN_HINT)
        try:
            make_header(bytes(16), self.recipients)
        except AgeError as error:
            raise KeySetError(f"the set of recipients: {error}", _SIGN_HINT) from None

    @classmethod
    def load(cls, path: Path, officer_key: str) -> Self:
        """Read a set from a file, and accept it as `parse` does. Raises `KeySetError`."""
        try:
            data = read_small(path)
        except OSError as error:
            raise KeySetError(f"{path}: {(error.strerror or '').lower()}", _SIGN_HINT) from None
        return cls.parse(data, officer_key)


def load_or_create_boot_key(path: Path) -> bytes:
    """Return the 32 bytes that open this boot's spools; make them if absent.

    Raises `KeyFileError`.
    """
    return _load_or_create(path, 0o640)


def load_boot_key(path: Path) -> bytes | None:
    """Return the boot key; None if it does not exist (nothing was recorded since the boot).

    Raises `KeyFileError`.
    """
    try:
        return _of_length(path.read_bytes(), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None


def load_or_create_node_key(path: Path) -> Ed25519PrivateKey:
    """Return the key that signs this node's manifests; make it if absent. Raises `KeyFileError`."""
    return Ed25519PrivateKey.from_private_bytes(_load_or_create(path, 0o600))


def _load_or_create(path: Path, mode: int) -> bytes:
    try:
        path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
        if not path.exists():
            try:
                write_new(path, os.urandom(32), mode)
            except FileExistsError:
                return _load_or_create(path, mode)  # another process was faster
        return _of_length(path.read_bytes(), path)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None


def _of_length(key: bytes, path: Path) -> bytes:
    if len(key) != 32:
        raise KeyFileError(f"{path} is not a key of 32 bytes", "restore it, or move it away")
    return key
