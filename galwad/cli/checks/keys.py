"""Checks of keys and certificates: recordings can be sealed and opened, and TLS can be used."""

from __future__ import annotations

import contextlib
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from galwad.archive.periodic import RECIPIENTS_CHANGED, highest_serial
from galwad.cli.checks import CheckResult, fault, fine, warning
from galwad.cli.checks.files import (
    fix_of,
    stored,
    unit_user,
    unreadable,
    unreadable_for_units,
)
from galwad.settings import EXAMPLE, Settings
from recording.audit.chain import ChainEntry
from recording.errors import KeySetError, SpoolError, WrongOfficerError
from recording.keys.keyring import RecipientsFile
from recording.spool import SpoolHeader, read_header
from recording.spool.recovery import boot_key_for, recovered_keys

_NODE_KEY_LENGTH: Final = 32
_MAX_SHOWN: Final = 10
_SOON: Final = timedelta(days=30)


def check_keys(settings: Settings) -> Iterator[CheckResult]:
    """Check the recipient set and the node's signing key; warn if unattended recovery is on."""
    yield _recipients(settings)
    yield from _node_key(settings.node.state / "finaliser" / "manifest.key")
    if settings.recording.unattended_recovery:
        yield warning(
            "recovery",
            "[recording] unattended_recovery is true: the disk is enough to read calls in progress",
            "set [recording] unattended_recovery = false, and recover after a reboot by hand",
        )


def _node_key(path: Path) -> Iterator[CheckResult]:
    """Check the length of the node's signing key.

    A missing key is not a fault, because the finaliser makes the key later. A key that this process
    may not read is not checked.
    """
    try:
        length = len(path.read_bytes())
    except (FileNotFoundError, PermissionError):
        return
    if length != _NODE_KEY_LENGTH:
        yield fault(
            "node key",
            f"{path} is not a key of {_NODE_KEY_LENGTH} bytes: no recording can be sealed",
            "restore the file from a backup, which has it as manifest.key",
        )


def _newest(settings: Settings) -> int:
    """Return the highest serial number of the officer's recipient sets in the audit chain.

    Return 0 if the chain has no such set, or if the database cannot be read.
    """
    query = "SELECT body FROM audit_entries WHERE node = ? AND kind = ?"
    if not settings.database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{settings.database}?mode=ro", uri=True)) as connection:
            rows = connection.execute(query, (settings.node.name, RECIPIENTS_CHANGED)).fetchall()
    except sqlite3.Error:
        return 0  # The check of the database has already reported this error.
    noted = (ChainEntry.of_body(body, "").facts for (body,) in rows)
    return highest_serial(noted, settings.recording.officer_key)


def _recipients(settings: Settings) -> CheckResult:
    user, path = unit_user(settings), settings.recipients
    problem = unreadable_for_units(settings, path, user)
    if problem and user is not None:
        return fault("recipients", f"{path} {problem}: no recording is sealed", fix_of(path, user))
    try:
        in_force = _file(settings).read()
    except KeySetError as error:
        verb = "show" if isinstance(error, WrongOfficerError) else "sign"
        return fault("recipients", str(error), f"{error.hint}: galwad keys {verb}")
    found = in_force.recipients
    if in_force.put_back is not None:
        return warning(
            "recipients",
            f"set number {in_force.put_back.serial} is refused, because number {found.serial} is "
            "newer and in force",
            f"put number {found.serial} back; to go back to older recipients, sign them again: "
            "galwad keys sign --recipients-of OLD --replaces NEWEST",
        )
    pairs = zip(found.named, found.fingerprints, strict=True)
    newest = _newest(settings)
    if found.serial < newest:
        return warning(
            "recipients",
            f"set number {found.serial} is in force, but number {newest} is newer",
            "restore the newest one, then: galwad keys rewrap",
        )
    names = ", ".join(f"{entry.name} {mark}" for entry, mark in pairs)
    if len(found.named) == 1:
        return warning(
            "recipients",
            f"only {names} can open recordings: if this key is lost, all recordings are lost",
            "add a second recipient, with the officer's keys in FOLDER: galwad keys sign FOLDER "
            "--replaces OLD --recipient NAME=age1… --output NEW",
        )
    return fine("recipients", f"set number {found.serial}, signed; {names} can open recordings")


def _file(settings: Settings) -> RecipientsFile:
    return RecipientsFile(
        settings.recipients,
        settings.newest_recipients("switch", "finaliser", "desk"),
        settings.recording.officer_key,
    )


def check_certificates(settings: Settings) -> Iterator[CheckResult]:
    """Check the page's certificate, the SIP certificate, and the CA certificates for SIP peers.

    All must be readable. The certificates of the page and of SIP must be valid now, fit their keys,
    and name the hosts that use them.
    """
    yield from _page_certificate(settings)
    sip = settings.sip
    if sip.tls_certificate is not None and sip.tls_key is not None:
        hosts = sip.advertise or tuple(
            listener.host
            for listener in sip.listen
            if listener.transport == "tls" and not ip_address(listener.host).is_unspecified
        )
        yield from _pair("sip tls", sip.tls_certificate, sip.tls_key, hosts)
    for path in (sip.tls_client_ca, sip.tls_ca):
        if path is not None:
            yield _authorities(path)


def _page_certificate(settings: Settings) -> Iterator[CheckResult]:
    desk = settings.desk
    if desk.tls_certificate is not None and desk.tls_key is not None:
        host = urlsplit(desk.origin).hostname or ""
        named = () if _is_wild(host) else (host,)
        yield from _pair("tls", desk.tls_certificate, desk.tls_key, named)
    elif desk.origin.startswith("https:"):
        yield fine("tls", "TLS is not used here: a proxy on this machine provides it")
    else:
        yield warning(
            "tls",
            "TLS is not used: only this machine can open the page",
            f"see [desk] in {EXAMPLE}",
        )


def _pair(name: str, certificate: Path, key: Path, hosts: tuple[str, ...]) -> Iterator[CheckResult]:
    """Check a certificate and its key: both readable, a pair, valid now, and for all `hosts`."""
    certificate, key = stored(certificate), stored(key)
    for path in (certificate, key):
        problem = unreadable(path)
        if problem:
            yield fault(name, f"{path} {problem}", "put it there, readable for the service's user")
            return
    try:
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    except ValueError:
        yield fault(
            name,
            f"{certificate} holds no certificate",
            "use a PEM file, with the server's certificate first",
        )
        return
    try:
        secret = load_pem_private_key(key.read_bytes(), password=None)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (TypeError, ValueError):
        yield fault(name, f"{key} holds no unencrypted key", "use a PEM file, not encrypted")
        return
    except ssl.SSLError:
        secret = None
    if secret is None or secret.public_key() != parsed.public_key():
        yield fault(
            name,
            f"{key} is not the key of {certificate}",
            "use a certificate and a key that belong together",
        )
        return
    yield _dates(name, certificate, parsed)
    missing = [host for host in hosts if not _is_for(parsed, host)]
    if missing:
        yield fault(
            name,
            f"{certificate} does not name {', '.join(missing)}: peers would refuse it",
            "use a certificate with that subject alternative name",
        )


def _dates(name: str, path: Path, parsed: x509.Certificate) -> CheckResult:
    now = datetime.now(UTC)
    left = parsed.not_valid_after_utc - now
    if left < timedelta():
        return fault(name, f"{path} has expired", "renew it")
    if parsed.not_valid_before_utc > now:
        return fault(name, f"{path} is not valid yet", "check this machine's clock, or wait")
    if left < _SOON:
        return warning(name, f"{path} expires in {left.days} days", "renew it")
    return fine(name, f"{path} is valid for {left.days} days")


def _is_for(parsed: x509.Certificate, host: str) -> bool:
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        known = {name.lower() for name in names.get_values_for_type(x509.DNSName)}
        wild = "*." + host.lower().partition(".")[2]
        return host.lower() in known or wild in known


def _authorities(path: Path) -> CheckResult:
    path = stored(path)
    problem = unreadable(path)
    if problem:
        return fault(
            "sip tls", f"{path} {problem}", "put it there, readable for the service's user"
        )
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(path)
    except ssl.SSLError:
        return fault("sip tls", f"{path} holds no authority", "use a PEM file of authorities")
    return fine("sip tls", f"{path} holds {len(context.get_ca_certs())} authorities")


def _is_wild(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def check_spools(settings: Settings) -> Iterator[CheckResult]:
    """Yield a fault for each spool that neither the boot keys nor a recovered key opens.

    Also yield a fault for each recovered key that the finaliser cannot read, and a warning if there
    are spools in the spare folder, which is used after a disk failure. If there are more than
    `_MAX_SHOWN` faults, the last result has the number of the rest.
    """
    keys = settings.node.runtime / "spool-keys"
    found: list[CheckResult] = []
    with contextlib.suppress(PermissionError):  # the check of the folders reports this error
        boot_keys = [path.read_bytes() for path in settings.boot_keys if path.exists()]
        found += _misplaced(keys)
        for path in sorted(
            each for folder in settings.spool_folders for each in folder.glob("*.spool")
        ):
            # errors are ignored here: the spool has just been sealed and removed, or the file is
            # not a spool
            with contextlib.suppress(SpoolError, FileNotFoundError):
                header = read_header(path)
                if not boot_key_for(header, boot_keys) and not recovered_keys(keys, [path]):
                    found.append(_locked(path, header))
        yield from _moved(settings.spare_folder)
    yield from found[:_MAX_SHOWN]
    if len(found) > _MAX_SHOWN:
        yield fault(
            "spools", f"and {len(found) - _MAX_SHOWN} more", "correct these first, then check again"
        )


def _moved(spare: Path) -> Iterator[CheckResult]:
    calls = {path.name.partition(".")[0] for path in spare.glob("*.spool")}
    if calls:
        what = f"the recording of {len(calls)} calls" if len(calls) > 1 else "a call's recording"
        yield warning(
            "spools",
            f"{what} is in {spare}: the disk of the spools failed",
            "see docs/operations/disks.md; sealing the call ends this",
        )


def _locked(path: Path, header: SpoolHeader) -> CheckResult:
    if header.recipients_wrapped:
        fix = f"copy it to the officer's machine, and there: galwad recordings recover {path.name}"
        return fault("spools", f"{path.name} is from before a reboot, and locked", fix)
    return fault(
        "spools",
        f"{path.name} is from before a reboot, and there was no signed set: no key opens it",
        "keep this spool for the record, or delete it",
    )


def _misplaced(keys: Path) -> Iterator[CheckResult]:
    for path in sorted(keys.glob("*.recovered")):
        if path.stat().st_uid != keys.stat().st_uid:
            fix = f"chown --reference={keys} {path}"
            yield fault("spools", f"the service cannot read {path.name}", fix)
