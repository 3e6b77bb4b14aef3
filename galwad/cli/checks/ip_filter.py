"""Checks that the IP filter of the switch's unit lets its peers through.

The unit allows only loopback and private networks (`IPAddressAllow=`), so a trunk with a public
address needs a drop-in. Without it, systemd drops the trunk's packets before the switch sees them,
and no log shows it. The addresses of phones are not in the settings, so the check names the
networks from which phones can register.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, TypeAlias

from galwad.cli.checks.result import CheckResult, fine, warning
from galwad.settings import Settings
from telephony.errors import ParseError
from telephony.sip.message.uri import Uri

Network: TypeAlias = IPv4Network | IPv6Network

UNIT: Final = "galwad-switch.service"
FOLDERS: Final = tuple(
    map(Path, ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"))
)
"""The folders of unit files; a unit in an earlier folder counts."""
_WIDEST: Final = {4: 16, 6: 32}
"""The shortest prefix of a network that a provider of trunks may plausibly have, by IP version."""
_NAMES: Final = {
    "any": ("0.0.0.0/0", "::/0"),
    "localhost": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/64"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
}


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check the unit's IP filter; there is no result if the unit is not installed here."""
    yield from check_in(settings, FOLDERS)


def check_in(settings: Settings, folders: Sequence[Path]) -> Iterator[CheckResult]:
    """Check the IP filter of the unit in one of these folders."""
    files = _unit_files(folders)
    if not files:
        return
    allowed, denied = _settings_of(files, "IPAddressAllow"), _settings_of(files, "IPAddressDeny")
    # systemd lets a packet through if the list of allowed networks has its address, or if the list
    # of denied networks does not have it.
    barred = [
        (name, network)
        for name, network in _peers(settings)
        if not _within(network, allowed) and any(_overlap(network, each) for each in denied)
    ]
    for name, network in barred:
        place = network.network_address if network.num_addresses == 1 else network
        yield warning(
            "ip filter",
            f"{name}: the unit drops packets from and to {place}",
            _remedy(network, str(place)),
        )
    if not barred:
        yield fine("ip filter", "the unit lets all trunks and targets through")
    networks = ", ".join(map(str, allowed)) if denied else "all networks"
    yield fine("ip filter", f"phones can reach the switch from {networks or 'nowhere'}")


def _remedy(network: Network, place: str) -> str:
    """Return the remedy; never one that opens the filter to the whole world."""
    if network.prefixlen < _WIDEST[network.version]:
        return (
            "do not open the filter so far: each address in it may call as this trunk. Name only "
            "the provider's addresses in peers, and then here"
        )
    return (
        f"systemctl edit galwad-switch: add [Service] and IPAddressAllow={place}; then "
        "systemctl restart galwad-switch"
    )


def _peers(settings: Settings) -> Iterator[tuple[str, Network]]:
    """Yield the networks of the trunks and of the targets that are IP addresses, with a name."""
    for trunk in settings.trunks:
        for peer in trunk.peers:
            yield f"trunk {trunk.name}", peer.network
    for text in settings.target_uris:
        try:
            yield f"target {text}", ip_network(Uri.parse(text).host)
        except (ParseError, ValueError):
            continue  # The host is a name, which DNS may change.


def _unit_files(folders: Sequence[Path]) -> list[Path]:
    """Return the unit file and its drop-ins, in the order in which systemd reads them."""
    unit = next((each / UNIT for each in folders if (each / UNIT).is_file()), None)
    if unit is None:
        return []
    drop_ins = {
        path.name: path
        for folder in reversed(folders)
        for path in (folder / f"{UNIT}.d").glob("*.conf")
    }
    return [unit, *(drop_ins[name] for name in sorted(drop_ins))]


def _settings_of(files: Iterable[Path], key: str) -> list[Network]:
    """Return the networks that all lines `key=` name; an empty line removes those before it."""
    found: list[Network] = []
    for path in files:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, equals, value = line.partition("=")
            if not equals or name.strip() != key:
                continue
            if not value.strip():
                found = []
            for word in value.split():
                with suppress(ValueError):  # systemd ignores a word that is no network
                    found += [ip_network(each, strict=False) for each in _NAMES.get(word, (word,))]
    return found


def _within(network: Network, allowed: Iterable[Network]) -> bool:
    return any(
        network.version == each.version and network.subnet_of(each)  # type: ignore[arg-type]
        for each in allowed
    )


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
