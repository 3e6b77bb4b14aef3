"""The officer's keys, the set of recipients that the officer signs, and the keys of the node.

The server encrypts recordings only for recipients in a signed set; its settings name the officer's
public signing key. The officer's key file is an age identity file, which `age -d -i` accepts. A
comment in this file contains the secret signing key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from recording.age import bech32
from recording.age.file import Identity, Recipient
from recording.age.header import make_header
from recording.age.identity_file import Ask, IdentityFile, Passphrase, protected
from recording.errors import AgeError, KeyFileError, KeySetError, WrongOfficerError
from recording.files.atomic import FileState, read_small, state_of, write_new, write_shared

FORMAT: Final = "galwad-recipients-1"
_CONTEXT: Final = b"galwad recipients v1\n"
_SIGNING: Final = "GALWAD-SIGNING-KEY-"
_SIGNING_COMMENT: Final = "signing key"
_SETTLED_NS: Final = 2_000_000_000
"""The largest step, in ns, in which a file system counts the times of changes."""
_SIGN_HINT: Final = "the officer must sign the set of recipients again"
_READ_HINT: Final = (
    "correct the path or the mode of the file; if there is none, the officer must sign a set"
)


def fingerprint(recipient: Recipient) -> str:
    """Return the 32 hexadecimal digits that identify a recipient in manifests and on the page."""
    return hashlib.sha256(recipient.key).hexdigest()[:32]


def public_text(key: Ed25519PublicKey) -> str:
    """Return a public signing key in base64, as settings and manifests have it."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def parse_public(text: str) -> Ed25519PublicKey:
    """Parse a public signing key in base64. Raises `KeySetError`."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise KeySetError(
            "this is not a public signing key", "a public signing key is 44 characters of base64"
        ) from None


@dataclass(frozen=True, slots=True)
class OfficerKeys:
    """The officer's age identity and signing key, which are never stored on the server."""

    identity: Identity
    signing: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return new keys."""
        return cls(Identity.generate(), Ed25519PrivateKey.generate())

    @property
    def public_key(self) -> str:
        """The officer's public signing key, for the server's setting `recording.officer_key`."""
        return public_text(self.signing.public_key())

    def save(self, path: Path, passphrase: Passphrase | None = None) -> None:
        """Write the keys to a new file that only its owner can read.

        With a passphrase, the file is encrypted and armored as `age -p -a` does it.

        Raises:
            KeyFileError: The file exists already (it is never replaced), or cannot be written.
            WorkFactorError: There is not enough memory to encrypt with a passphrase.
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
        """Return the keys in a file. Raises `KeyFileError` if it has no signing key."""
        text = file.comments.get(_SIGNING_COMMENT)
        if text is None:
            raise KeyFileError(
                f"{file.path} contains no signing key",
                "use the officer's key file, which has both keys",
            )
        return cls(file.identities[0], _signing_key(text, file.path))

    @classmethod
    def load(cls, path: Path, ask: Ask | None = None) -> Self:
        """Read a file that `save` wrote; `ask` returns its passphrase. Raises `KeyFileError`."""
        return cls.of(IdentityFile.read(path, ask))


def _signing_key(text: str, path: Path) -> Ed25519PrivateKey:
    try:
        prefix, raw = bech32.decode(text)
    except AgeError as error:
        raise KeyFileError(f"{path}: the signing key: {error}") from None
    if prefix != _SIGNING or len(raw) != 32:
        raise KeyFileError(f"{path}: this is not a signing key")
    return Ed25519PrivateKey.from_private_bytes(raw)


class NamedRecipient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person who can decrypt recordings. The name may be a role, such as "IG officer"."""

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


@dataclass(frozen=True)
class RecipientSet:
    """The recipients who can decrypt new recordings. `signed_at` is in ISO 8601 and UTC.

    Each new set must have a higher serial number.
    """

    named: tuple[NamedRecipient, ...]
    serial: int
    signed_at: str

    @cached_property
    def recipients(self) -> list[Recipient]:
        """The public keys, in the order of the set."""
        return [Recipient.parse(entry.recipient) for entry in self.named]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints, in the order of the set."""
        return tuple(fingerprint(recipient) for recipient in self.recipients)

    @classmethod
    def of(cls, named: Iterable[tuple[str, Recipient]], serial: int) -> Self:
        """Return a new set, dated now. `serial` must be higher than that of the set it replaces."""
        entries = tuple(NamedRecipient(name, str(recipient)) for name, recipient in named)
        return cls(entries, serial, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """Sign the set with the officer's key, and return the content of its file."""
        bare = _SetFile(FORMAT, self.serial, self.signed_at, list(self.named))
        signature = base64.b64encode(key.sign(bare.signed_bytes())).decode()
        signed = msgspec.structs.replace(bare, signature=signature)
        return msgspec.json.format(msgspec.json.encode(signed), indent=2) + b"\n"

    @classmethod
    def parse(cls, data: bytes, officer_key: str) -> Self:
        """Parse a set's file, and verify the officer's signature. Raises `KeySetError`."""
        try:
            file = msgspec.json.decode(data, type=_SetFile)
        except msgspec.DecodeError as error:
            raise KeySetError(f"the set of recipients is malformed: {error}", _SIGN_HINT) from None
        if file.format != FORMAT:
            raise KeySetError("the set of recipients has an unknown format", _SIGN_HINT)
        if not file.signature:
            raise KeySetError("the set of recipients is not signed", _SIGN_HINT)
        try:
            signature = base64.b64decode(file.signature, validate=True)
            parse_public(officer_key).verify(signature, file.signed_bytes())
        except (InvalidSignature, binascii.Error, ValueError):
            raise WrongOfficerError(
                "the set of recipients is not signed by the officer with the expected key",
                "compare recording.officer_key with the officer's public signing key",
            ) from None
        found = cls(tuple(file.recipients), file.serial, file.signed_at)
        found.check()
        return found

    def check(self) -> None:
        """Raise `KeySetError` unless an age header can be made for the set."""
        if not self.named:
            raise KeySetError("the set of recipients is empty", _SIGN_HINT)
        try:
            make_header(bytes(16), self.recipients)
        except AgeError as error:
            raise KeySetError(f"the set of recipients: {error}", _SIGN_HINT) from None

    @classmethod
    def load(cls, path: Path, officer_key: str) -> RecipientSet:
        """Read a set's file, and verify the officer's signature. Raises `KeySetError`."""
        return cls.load_with_content(path, officer_key)[0]

    @classmethod
    def load_with_content(cls, path: Path, officer_key: str) -> tuple[RecipientSet, bytes]:
        """Return the set as `load` does, and the content of its file."""
        try:
            data = read_small(path)
        except OSError as error:
            raise KeySetError(f"{path}: {(error.strerror or '').lower()}", _READ_HINT) from None
        return _verified(data, officer_key), data


@lru_cache(maxsize=4)
def _verified(data: bytes, officer_key: str) -> RecipientSet:
    return RecipientSet.parse(data, officer_key)


def load_or_create_boot_key(path: Path) -> bytes:
    """Return the boot key (see `load_boot_key`); make it if necessary. Raises `KeyFileError`."""
    return _load_or_create(path, 0o640)


def load_boot_key(path: Path) -> bytes | None:
    """Return this machine's boot key: 32 bytes under which it encrypts the keys of its spools.

    None if the file does not exist. Raises `KeyFileError`.
    """
    return _load(path)


def load_or_create_signing_key(path: Path) -> Ed25519PrivateKey:
    """Return a signing key of this node; make it if there is no file. Raises `KeyFileError`.

    One such key signs the node's manifests, and another key signs its backups.
    """
    return Ed25519PrivateKey.from_private_bytes(_load_or_create(path, 0o600))


def load_signing_key(path: Path) -> Ed25519PrivateKey | None:
    """Return a signing key of this node; None if there is no file. Raises `KeyFileError`."""
    key = _load(path)
    return None if key is None else Ed25519PrivateKey.from_private_bytes(key)


def _load(path: Path) -> bytes | None:
    try:
        return _of_length(path.read_bytes(), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None


def _load_or_create(path: Path, mode: int) -> bytes:
    try:
        path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
        if not path.exists():
            try:
                write_new(path, os.urandom(32), mode)
            except FileExistsError:
                return _load_or_create(path, mode)  # another process created the file: read its key
        return _of_length(path.read_bytes(), path)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None


def _of_length(key: bytes, path: Path) -> bytes:
    if len(key) != 32:
        raise KeyFileError(f"{path} is not a key of 32 bytes", "restore it, or move it away")
    return key


@dataclass(frozen=True, slots=True)
class SetInForce:
    """The set of recipients that the server uses.

    `missing` are the copies that are missing, damaged or of another set. `put_back` is the set at
    `RecipientsFile.path` if it was refused because it is older; otherwise None.
    """

    recipients: RecipientSet
    content: bytes
    missing: tuple[Path, ...] = ()
    put_back: RecipientSet | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    """The set in force, and what `_states_of` returned before the files were read."""

    states: list[FileState] | None
    found: SetInForce


@dataclass(frozen=True, slots=True)
class RecipientsFile:
    """Reads the set of recipients that is in force, and remembers the newest one.

    The officer's signature of an older set stays valid. If the server used it, a person who was
    removed could open new recordings. So each process keeps the newest set in memory and in
    `copies`, and refuses a set with a lower serial number. `load` also refuses a set of which it
    can keep no copy, because after a restart it would not notice an older set. To go back, the
    officer signs the older recipients again, with a higher number.

    An administrator puts the signed set at `path`. Several processes may share a copy. A copy of
    another officer's set is replaced.
    """

    path: Path
    copies: tuple[Path, ...]
    officer_key: str
    _seen: list[_Reading] = field(default_factory=list, init=False, repr=False, compare=False)
    """The latest reading of this process, or nothing."""

    def read(self) -> SetInForce:
        """Return the set in force. Files that have not changed are usually not read again.

        Raises `KeySetError` if the set at `path` is missing, malformed or not signed by the
        officer.
        """
        states = _states_of((self.path, *self.copies))
        for seen in self._seen:
            if states is not None and states == seen.states:
                return seen.found
        found = self._read_files()
        self._seen[:] = [_Reading(states, found)]
        return found

    def _read_files(self) -> SetInForce:
        found, content = RecipientSet.load_with_content(self.path, self.officer_key)
        copies = {path: kept for path in self.copies if (kept := self._kept(path)) is not None}
        newest = SetInForce(found, content)
        for kept in (*copies.values(), *(seen.found for seen in self._seen)):
            if _age(kept.recipients) > _age(newest.recipients):
                newest = SetInForce(kept.recipients, kept.content, put_back=found)
        current = [path for path, kept in copies.items() if kept.content == newest.content]
        return replace(newest, missing=tuple(set(self.copies) - {*current}))

    def load(self) -> SetInForce:
        """Return the set in force, and write the copies of it that are missing.

        Raises `KeySetError` as `read`, or if there is no copy of the set and none can be written.
        """
        found = self.read()
        errors = list(self._write(found))
        if errors and len(errors) == len(self.copies):
            raise KeySetError(
                f"set number {found.recipients.serial} is not used, because its number cannot be "
                f"stored: {'; '.join(errors)}",
                "make these paths writable: free some space, or create the folder again",
            )
        return found

    def _write(self, found: SetInForce) -> Iterator[str]:
        """Write the missing copies; yield a text for each that cannot be written."""
        for path in found.missing:
            try:
                path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                write_shared(path, found.content)
            except OSError as error:
                yield f"{path}: {(error.strerror or '').lower()}"

    def _kept(self, path: Path) -> SetInForce | None:
        """Return the set in a copy; None if it is missing, damaged or another officer's."""
        try:
            return SetInForce(*RecipientSet.load_with_content(path, self.officer_key))
        except KeySetError:
            return None


def _states_of(paths: Iterable[Path]) -> list[FileState] | None:
    """Return the states of files, by which any later change can be seen.

    None if a file is missing, or changed so recently that a further change could have the same
    time.
    """
    now_ns, states = time.time_ns(), []
    for path in paths:
        state = state_of(path)
        if state is None or now_ns - state.changed_ns < _SETTLED_NS:
            return None
        states.append(state)
    return states


def _age(found: RecipientSet) -> tuple[int, str]:
    """Return a key that sorts sets by age. Two sets may have the same serial number."""
    return found.serial, found.signed_at
