"""Taking up a dialog that an earlier process had (the other half of `Dialog.checkpoint`)."""

from __future__ import annotations

from typing import cast

from telephony.errors import ParseError, ProtocolError
from telephony.sip.core import Core
from telephony.sip.dialog import Dialog, DialogId
from telephony.sip.events import Address
from telephony.sip.headers import NameAddr
from telephony.sip.uri import Uri


def restore(core: Core, data: dict[str, object]) -> Dialog:
    """Make the dialog anew, confirmed.

    Raises:
        ProtocolError: `data` is not a checkpoint; its local address is not ours any more; the
            dialog is here already.
    """
    try:
        return _restore(core, data)
    except (KeyError, TypeError, ValueError, ParseError) as error:
        raise ProtocolError("not the checkpoint of a dialog") from error


def _restore(core: Core, data: dict[str, object]) -> Dialog:
    if data["version"] != 2:
        raise ProtocolError("a checkpoint of another version")
    local = NameAddr.parse(_text(data["local"]))
    remote = NameAddr.parse(_text(data["remote"]))
    call_id = _text(data["call_id"])
    if DialogId(call_id, local.tag or "", remote.tag or "") in core.dialogs:
        raise ProtocolError("that dialog is here already")
    remote_cseq = data["remote_cseq"]
    peer = _address(data["peer"])
    send_to = data["send_to"]
    dialog = Dialog(
        core,
        call_id=call_id,
        local=local,
        remote=remote,
        remote_target=Uri.parse(_text(data["remote_target"])),
        routes=[NameAddr.parse(_text(route)) for route in cast("list[object]", data["routes"])],
        local_cseq=_number(data["local_cseq"]),
        remote_cseq=None if remote_cseq is None else _number(remote_cseq),
        caller=bool(data["caller"]),
        at=core.local(_address(data["local_address"]), peer),
        peer=peer,
        contact=_text(data["contact"]),
    )
    dialog.resume(None if send_to is None else _address(send_to))
    return dialog


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError


def _number(value: object) -> int:
    if isinstance(value, int):
        return value
    raise TypeError


def _address(value: object) -> Address:
    host, port, transport, name, flow = cast("list[object]", value)
    return Address(_text(host), _number(port), _text(transport), _text(name), _number(flow))
