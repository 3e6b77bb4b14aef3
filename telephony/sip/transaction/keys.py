"""The values by which we find the transaction of a message (RFC 3261 sections 17.1.3 and 17.2.3).

Such a value, or tuple of values, is called a transaction key. It is a dict key, not a secret.
"""

from __future__ import annotations

from telephony.sip.message.messages import Request, Response

MAGIC_COOKIE = "z9hG4bK"
"""The first characters of every Via branch that an RFC 3261 element makes (the "magic cookie")."""

ClientKey = tuple[str, str]
ServerKey = tuple[str, ...]
MergeKey = tuple[str, str, int, str]


def client_key(message: Request | Response) -> ClientKey:
    """Return the key that identifies a client transaction: the Via branch and the CSeq method.

    The branch is that of the top Via. The method is part of the key, because a CANCEL has the same
    branch as its INVITE.
    """
    return message.via.branch or "", message.cseq.method


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """Return the key that identifies a server transaction: branch, sent-by, CSeq number and method.

    If the branch does not start with the magic cookie, the key consists instead of the values by
    which RFC 2543 identifies a transaction. Both forms of the key contain the CSeq number, because
    some phones use the same branch for different requests (pyVoIP does this after a 401). The CSeq
    number is the same in a request, its retransmissions, its ACK and its CANCEL.

    The key of an ACK contains the method INVITE, because an ACK to a non-2xx belongs to the
    transaction of its INVITE. If `method` is not None, it replaces the method of `request`. So the
    key of the INVITE that a CANCEL cancels is `server_key(cancel, "INVITE")`.
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
    """Return the values that show whether two requests are copies of one request.

    A proxy that forks a request can send us several copies of it. All copies have the same Call-ID,
    From tag, CSeq number and CSeq method (RFC 3261 section 8.2.2.2).
    """
    cseq = request.cseq
    return request.call_id, request.from_.tag or "", cseq.number, cseq.method
