"""The keys by which the transaction of a message is found (RFC 3261 sections 17.1.3 and 17.2.3)."""

from __future__ import annotations

from telephony.sip.message.messages import Request, Response

MAGIC_COOKIE = "z9hG4bK"
"""The first characters of every Via branch that an RFC 3261 element makes (the "magic cookie")."""

ClientKey = tuple[str, str]
ServerKey = tuple[str, ...]
MergeKey = tuple[str, str, int, str]


def client_key(message: Request | Response) -> ClientKey:
    """Return the key of a client transaction: the branch of the top Via, and the CSeq method.

    The method is part of the key because a CANCEL has the branch of its INVITE.
    """
    return message.via.branch or "", message.cseq.method


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """Return the key of a server transaction: branch, sent-by, CSeq number and method.

    If the branch does not start with the magic cookie, the key consists of the fields that RFC 2543
    used. The key always contains the CSeq number. A retransmission, an ACK and a CANCEL have the
    CSeq number of their request, so they find its transaction. A new request of a phone that uses a
    branch again, as pyVoIP does after a 401, starts another transaction.

    An ACK to a non-2xx belongs to the transaction of its INVITE, so the key of an ACK contains
    INVITE as the method. If `method` is given, it replaces the request's method in the key. With
    INVITE as `method`, the key of a CANCEL is that of the transaction to cancel.
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
    """Return the values that are equal in all copies of a request, whatever path a copy took.

    These are Call-ID, From tag, CSeq number and CSeq method (RFC 3261 section 8.2.2.2).
    """
    cseq = request.cseq
    return request.call_id, request.from_.tag or "", cseq.number, cseq.method
