"""The keys by which a message's transaction is found (RFC 3261 sections 17.1.3 and 17.2.3).

A transaction key is a dict key, not a secret.
"""

from __future__ import annotations

from telephony.sip.message.messages import Request, Response

MAGIC_COOKIE = "z9hG4bK"
"""Every Via branch of an RFC 3261 element begins with this "magic cookie"."""

ClientKey = tuple[str, str]
ServerKey = tuple[str, ...]
MergeKey = tuple[str, str, int, str]


def client_key(message: Request | Response) -> ClientKey:
    """Return the key of a client transaction: the top Via's branch and the CSeq method.

    The method is part of it, because a CANCEL has the same branch as its INVITE.
    """
    return message.via.branch or "", message.cseq.method


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """Return the key of a server transaction: branch, sent-by, CSeq number and method.

    Without the magic cookie, it has the values by which RFC 2543 identifies a transaction. The CSeq
    number is in both, because some phones use one branch for different requests (pyVoIP after a
    401); it is the same in a request, its retransmissions, its ACK and its CANCEL. An ACK has the
    method INVITE, because one to a non-2xx belongs to its INVITE's transaction. `server_key(cancel,
    "INVITE")` is the key of a CANCEL's INVITE.
    """
    method = method or request.method
    if method == "ACK":
        method = "INVITE"
    via = request.via
    branch = via.branch or ""
    if branch.lower().startswith(MAGIC_COOKIE.lower()) and len(branch) > len(MAGIC_COOKIE):
        number = str(request.cseq.number)
        return branch, via.host.lower(), str(via.port or 5060), number, method
    return (
        "rfc2543",
        str(request.uri),
        request.from_.tag or "",
        request.call_id,
        str(request.cseq.number),
        str(via),
        method,
    )


def merge_key(request: Request) -> MergeKey:
    """Return what copies of a request, made by a forking proxy, share (RFC 3261 8.2.2.2)."""
    cseq = request.cseq
    return request.call_id, request.from_.tag or "", cseq.number, cseq.method
