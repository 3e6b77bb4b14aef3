"""The keys by which a message finds its transaction (RFC 3261 17.1.3 and 17.2.3)."""

from __future__ import annotations

from telephony.sip.message.messages import Request, Response

MAGIC_COOKIE = "z9hG4bK"
"""The first characters of every branch that an RFC 3261 element makes (the magic cookie)."""

ClientKey = tuple[str, str]
ServerKey = tuple[str, ...]
MergeKey = tuple[str, str, int, str]


def client_key(message: Request | Response) -> ClientKey:
    """Return the top Via's branch and the CSeq method: a CANCEL shares its INVITE's branch."""
    return message.via.branch or "", message.cseq.method


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """Return branch, sent-by, CSeq number and method; RFC 2543's fields if there is no cookie.

    Both kinds of key contain the CSeq number: a retransmission, an ACK and a CANCEL have their
    request's number. A phone that reuses a branch, as pyVoIP does after a 401, starts another
    transaction.

    An ACK to a non-2xx belongs to its INVITE's transaction, so ACK counts as INVITE. `method`
    replaces the request's own: INVITE finds the transaction that a CANCEL cancels.
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
    """Return the values that all copies of one request share, whatever their path (8.2.2.2)."""
    cseq = request.cseq
    return request.call_id, request.from_.tag or "", cseq.number, cseq.method
