"""The phones that may register: their secrets, their users and their present addresses.

The accounts come from the settings and from the desk. The desk sends all its accounts in a message,
and the switch stores them in `phones.json`. The bindings are stored in `bindings.json`. Both files
are in the state folder, so that the switch can start, register phones and ring them while the desk
does not run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from galwad.messages import Party, PhoneCredentials
from galwad.settings.switch import Phone
from recording.files.atomic import replace_unsynced
from recording.files.disk import WatchedDisk
from telephony.sip.events import Address
from telephony.sip.message.messages import Request, Response
from telephony.sip.registrar import Binding, Registrar

log = structlog.get_logger()
T = TypeVar("T")


class Phones:
    """The accounts and the bindings of the phones.

    Call `save` to write changed bindings to the disk.
    """

    def __init__(self, folder: Path, configured: Iterable[Phone], realm: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._accounts_file = folder / "phones.json"
        self._bindings_file = folder / "bindings.json"
        self._realm = realm
        self._configured = {
            phone.extension: PhoneCredentials(
                extension=phone.extension,
                user=phone.user,
                ha1_md5=phone.ha1_md5,
                ha1_sha256=phone.ha1_sha256,
            )
            for phone in configured
        }
        self._accounts: dict[str, PhoneCredentials] = dict(self._configured)
        self._add(_read(self._accounts_file, list[PhoneCredentials]) or ())
        saved = _read(self._bindings_file, dict[str, object])
        self._registrar = Registrar.from_dict(saved or {}, time.monotonic())
        self._changed = False
        self._unwritten: dict[Path, bytes] = {}
        self._disk = WatchedDisk()
        self._silent = False
        self.on_moved: Callable[[Address, Address], None] = lambda _old, _new: None
        """Gets the old and new address of a known phone that registers over a new connection."""

    def set_accounts(self, accounts: Iterable[PhoneCredentials]) -> None:
        """Replace the desk's accounts.

        If an extension has no account any more, or another user or SIP password, its bindings are
        removed. If the settings also have an account for an extension, that account is in use.
        """
        accounts = tuple(accounts)
        before = self._accounts
        self._accounts = dict(self._configured)
        self._add(accounts)
        for extension, account in before.items():
            if self._accounts.get(extension) == account:
                continue
            self._registrar.remove(extension)
            self._changed = True
        self._unwritten[self._accounts_file] = msgspec.json.encode(accounts)
        self._write()

    def _add(self, accounts: Iterable[PhoneCredentials]) -> None:
        for account in accounts:
            self._accounts.setdefault(account.extension, account)

    def ha1(self, username: str, realm: str, algorithm: str) -> str | None:
        """Return a phone's digest secret (HA1, RFC 7616); None without one or in another realm."""
        account = self._accounts.get(username)
        if account is None or realm != self._realm:
            return None
        secret = account.ha1_md5 if algorithm.upper() == "MD5" else account.ha1_sha256
        return secret or None

    def known(self, extension: str) -> bool:
        """Return whether there is an account for this extension."""
        return extension in self._accounts

    def user_of(self, extension: str) -> str:
        """Return the user name of the advisor at this extension; "" if there is no advisor."""
        account = self._accounts.get(extension)
        return "" if account is None else account.user

    def bindings(self, extension: str, now: float) -> list[Binding]:
        """Return the extension's bindings with their proxies (Path), highest q value first."""
        return self._registrar.reachable(extension, now)

    def registered(self, now: float) -> int:
        """Return the number of bindings of all phones at the time `now`."""
        return self._registrar.count(now)

    def devices(self, now: float) -> dict[Party, int]:
        """Return how many devices are registered for each extension that has any."""
        counts = self._registrar.counts(now)
        return {Party(each, self.user_of(each)): count for each, count in counts.items()}

    def register(self, extension: str, request: Request, source: Address, now: float) -> Response:
        """Store the bindings that an authenticated REGISTER requests; return the response to send.

        The rules are in RFC 3261 section 10.3.
        """
        self._changed = True
        before = self._registrar.bindings(extension, now)
        answer = self._registrar.register(extension, request, source, now)
        if source.flow and source not in {binding.source for binding in before}:
            for binding in self._registrar.bindings(extension, now):
                if binding.source == source:
                    for old in {b.source for b in before if is_same_phone(b, binding)}:
                        self.on_moved(old, source)
        return answer

    def hosts(self, now: float) -> set[str]:
        """Return the source IP addresses of all bindings at the time `now`."""
        return self._registrar.hosts(now)

    def save(self, now: float) -> None:
        """Remove the expired bindings. Write all bindings to the disk if any binding has changed.

        If the bindings cannot be written, the next call of `save` tries again.
        """
        if self._registrar.expire(now) or self._changed:
            self._changed = False
            bindings = msgspec.json.encode(self._registrar.to_dict(now))
            self._unwritten[self._bindings_file] = bindings
        self._write()

    def _write(self) -> None:
        try:
            for path, data in list(self._unwritten.items()):
                # The file is not synced to the disk. After a power failure, the desk sends its
                # accounts again, and the phones register again.
                self._disk.run(partial(replace_unsynced, path, data))
                del self._unwritten[path]
        except OSError as error:
            if not self._silent:
                log.error("phones.not_written", reason=error.strerror)  # noqa: TRY400 - no traceback needed
            self._silent = True
        else:
            self._silent = False


def is_same_phone(one: Binding, other: Binding) -> bool:
    """Return whether two bindings, registered over connections such as TCP, are of one phone.

    Both must have the same `+sip.instance`. If `one` has no `+sip.instance`, both must have the
    same user part of the Contact and the same source IP address.
    """
    if not (one.source.flow and other.source.flow):
        return False
    instance = one.contact.parameter("+sip.instance")
    if instance:
        return instance == other.contact.parameter("+sip.instance")
    user = one.contact.uri.user
    return bool(user) and (user, one.source.host) == (other.contact.uri.user, other.source.host)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        log.warning("phones.damaged", file=path.name)
        return None
