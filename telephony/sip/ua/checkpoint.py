"""Functions that read the checkpoints of an earlier process: of its dialogs and its INVITEs.

A dialog is restored. An INVITE that the process sent is cancelled. An INVITE that it received is
read again. Connections end with their process, so a restored address has `Address.flow` 0, and a
`send_to` that was the peer's connection becomes None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from telephony.errors import ParseError, ProtocolError
from telephony.sip.compose import Draft
from telephony.sip.dialog import Dialog, Dialogs
from telephony.sip.dialog_addresses import DialogId
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, parse_message
from telephony.sip.message.uri import Uri
from telephony.sip.transport.address import Address
from telephony.sip.ua.uac import InviteClient
from telephony.sip.ua.user_agent import UserAgent

_MALFORMED: Final = (LookupError, TypeError, ValueError, ParseError)
"""The exceptions that occur while `data` is read, if it is not a checkpoint."""


def restore_dialog(dialogs: Dialogs, data: dict[str, object]) -> Dialog:
    """Make a confirmed dialog from a `Dialog.checkpoint`, as `Endpoint.restore_dialog`."""
    try:
        return _restore(dialogs, data)
    except _MALFORMED as error:
        raise ProtocolError("not the checkpoint of a dialog") from error


def _restore(dialogs: Dialogs, data: dict[str, object]) -> Dialog:
    if data["version"] != 2:
        raise ProtocolError("a checkpoint of another version")
    local = NameAddr.parse(_text(data["local"]))
    remote = NameAddr.parse(_text(data["remote"]))
    call_id = _text(data["call_id"])
    if DialogId(call_id, local.tag or "", remote.tag or "") in dialogs:
        raise ProtocolError("the dialog already exists")
    remote_cseq = data["remote_cseq"]
    peer = _address(data["peer"])
    by_connection = bool(data["send_to"] and cast("list[object]", data["send_to"])[-1])
    send_to = None if data["send_to"] is None else _address(data["send_to"])
    hosts = cast("list[object]", data.get("path_hosts", []))
    path_hosts = frozenset(_text(host) for host in hosts)
    dialog = Dialog(
        dialogs,
        call_id=call_id,
        local=local,
        remote=remote,
        remote_target=Uri.parse(_text(data["remote_target"])),
        routes=[NameAddr.parse(_text(route)) for route in cast("list[object]", data["routes"])],
        local_cseq=_number(data["local_cseq"]),
        remote_cseq=None if remote_cseq is None else _number(remote_cseq),
        caller=bool(data["caller"]),
        local_address=dialogs.core.local_addresses.choose(_address(data["local_address"]), peer),
        peer=peer,
        contact=_text(data["contact"]),
    )
    dialog.path_hosts = path_hosts
    dialog.restore(None if by_connection else send_to)
    return dialog


def cancel_restored(
    agent: UserAgent, data: Mapping[str, object], owner: object, now: float
) -> InviteClient:
    """Cancel an INVITE that an earlier process sent, as `Endpoint.cancel_restored`.

    A CANCEL may follow only a provisional response (RFC 3261 section 9.1), so the INVITE is sent
    once more: the peer repeats its provisional response, or a 2xx.
    """
    try:
        request, destination = _request(data), _address(data["destination"])
        draft = Draft(
            method="INVITE",
            uri=request.uri,
            from_=request.from_,
            to=request.to,
            call_id=request.call_id,
            cseq=request.cseq.number,
            destination=destination,
            local=agent.core.local_addresses.choose(_address(data["local"]), destination),
            contact_user=request.from_.uri.user or "",
        )
    except _MALFORMED as error:
        raise ProtocolError("not the checkpoint of an INVITE") from error
    client = InviteClient(agent, draft, owner=owner, sent=request)
    client.cancel(now=now)
    client.begin(now)
    return client


def parse_invite(data: Mapping[str, object]) -> tuple[Request, Address, Address]:
    """Return the request in `data` with its source and local address. Raises `ProtocolError`."""
    try:
        return _request(data), _address(data["source"]), _address(data["local"])
    except _MALFORMED as error:
        raise ProtocolError("not the checkpoint of an INVITE") from error


def _request(data: Mapping[str, object]) -> Request:
    message = parse_message(_text(data["request"]).encode("latin-1"))
    if isinstance(message, Request):
        return message
    raise TypeError


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError


def _number(value: object) -> int:
    if isinstance(value, int):
        return value
    raise TypeError


def _address(value: object) -> Address:
    host, port, transport, name, _ = cast("list[object]", value)
    return Address(_text(host), _number(port), _text(transport), _text(name))
