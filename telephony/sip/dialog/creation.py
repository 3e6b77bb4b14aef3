"""The creation of a dialog by a response to an INVITE (RFC 3261 section 12.1), sent or received."""

from __future__ import annotations

from telephony.sip.dialog.dialog import Dialog, Dialogs
from telephony.sip.dialog.route_set import path_hosts, recorded_routes, target_of, wants_sips
from telephony.sip.message.messages import Request, Response
from telephony.sip.request.compose import Draft, own_contact
from telephony.sip.transport.address import Address
from telephony.sip.transport.local_addresses import LocalAddress


def dialog_at_client(dialogs: Dialogs, draft: Draft, response: Response, owner: object) -> Dialog:
    """Make and store the dialog of a received 1xx or 2xx to our INVITE (RFC 3261 12.1.2)."""
    dialog = Dialog(
        dialogs,
        call_id=draft.call_id,
        local=draft.from_,
        remote=response.to,
        remote_target=draft.uri,
        routes=(),
        local_cseq=draft.cseq,
        remote_cseq=None,
        caller=True,
        local_address=draft.local,
        peer=draft.destination,
        contact=own_contact(draft.contact_user, draft.local, secure=draft.secure),
        owner=owner,
    )
    dialog.refresh(response)
    return dialog


def dialog_at_server(
    dialogs: Dialogs,
    request: Request,
    tag: str,
    *,
    source: Address,
    local: LocalAddress,
    owner: object,
) -> Dialog:
    """Make and store the dialog of our 1xx or 2xx, with To tag `tag` (RFC 3261 12.1.1)."""
    dialog = Dialog(
        dialogs,
        call_id=request.call_id,
        local=request.to.with_tag(tag),
        remote=request.from_,
        remote_target=target_of(request) or request.from_.uri,
        routes=recorded_routes(request),
        local_cseq=dialogs.core.rng.getrandbits(15),
        remote_cseq=request.cseq.number,
        caller=False,
        local_address=local,
        peer=source,
        contact=own_contact(request.uri.user, local, secure=wants_sips(request)),
        owner=owner,
    )
    dialog.path_hosts = path_hosts(request)
    return dialog
