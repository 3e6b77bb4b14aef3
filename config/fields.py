"""The types of the fields of settings: which values are valid, and the error for other values.

The text of each error here begins with "must …", because the message puts the name of the setting
before the text. The module values.py contains the classes of values that are written in a special
form, such as ranges.
"""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import Field, PlainValidator

_SIP_URI = re.compile(r"sips?:[^\s<>\"@]+(?:@[^\s<>\"@]+)?")
_HOST = re.compile(r"[^\s:/\[\]]+|[0-9A-Fa-f:]+")
_DTMF_CODE = re.compile(r"[0-9*#]{2,8}")


def parse_with(kind: Any) -> PlainValidator:
    """Return a validator for a field whose values are objects of the class `kind`.

    The validator accepts an object of this class. It also accepts a text, and replaces the text by
    the object that `kind.parse` makes from it.
    """

    def validate(value: object) -> object:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise ValueError("must be text in quotes")  # noqa: TRY004 - pydantic needs ValueError
        return kind.parse(value)

    return PlainValidator(validate)


def _sip_uri(value: object) -> str:
    if not isinstance(value, str) or _SIP_URI.fullmatch(value) is None:
        raise ValueError('must be a SIP URI, such as "sip:301@192.0.2.20:5060"')
    return value


def _sip_uris(value: object) -> tuple[str, ...]:
    found = value if isinstance(value, list | tuple) else (value,)
    try:
        uris = tuple(map(_sip_uri, found))
    except ValueError:
        uris = ()
    if not uris or len(set(uris)) != len(uris):
        raise ValueError(
            'must be a SIP URI, such as "sip:301@192.0.2.20:5060", or a list of different ones'
        )
    return uris


def _absolute(value: object) -> Path:
    if not isinstance(value, str | Path) or not Path(value).is_absolute():
        raise ValueError('must be a full path, which begins with "/"')
    return Path(value)


def _time_zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ValueError, KeyError, OSError):
        example = 'such as "Europe/London"'
        raise ValueError(f"must be a time zone that this machine knows, {example}") from None


def _public_key(value: object) -> str:
    try:
        raw = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32 or not any(raw):
        raise ValueError("must be the officer's public key that `galwad keys show` prints")
    return str(value)


def _dtmf_code(value: object) -> str:
    if not isinstance(value, str) or _DTMF_CODE.fullmatch(value) is None:
        raise ValueError('must be two to eight of 0-9 * #, such as "*71"')
    return value


def _hosts(value: object) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(
        isinstance(host, str) and _HOST.fullmatch(host) for host in found
    ):
        raise ValueError('must be a host, such as "192.0.2.10", or a list of them')
    families = [":" in host for host in found]
    if not found or len(set(families)) != len(families):
        raise ValueError("must have one host for IPv4, one for IPv6, or both")
    return tuple(found)


def _addresses(value: object) -> tuple[str, ...]:
    try:
        return tuple(str(ip_address(host)) for host in _hosts(value))
    except ValueError:
        raise ValueError("must be an IP address, or a list with one of each family") from None


IpAddresses: TypeAlias = Annotated[tuple[str, ...], PlainValidator(_addresses)]
Hosts: TypeAlias = Annotated[tuple[str, ...], PlainValidator(_hosts)]
SipUri: TypeAlias = Annotated[str, PlainValidator(_sip_uri)]
SipUris: TypeAlias = Annotated[tuple[str, ...], PlainValidator(_sip_uris)]
FilePath: TypeAlias = Annotated[Path, PlainValidator(_absolute)]
TimeZone: TypeAlias = Annotated[ZoneInfo, PlainValidator(_time_zone)]
DtmfCode: TypeAlias = Annotated[str, PlainValidator(_dtmf_code)]
PublicKey: TypeAlias = Annotated[str, PlainValidator(_public_key)]
Whole: TypeAlias = Annotated[int, Field(strict=True)]
Number: TypeAlias = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag: TypeAlias = Annotated[bool, Field(strict=True)]
Extension: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
