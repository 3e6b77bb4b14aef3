"""Which transaction a message belongs to (RFC 3261 17.1.3 and 17.2.3)."""

from __future__ import annotations

from telephony.sip.message import Request, Response

MAGIC = "z9hG4bK"
"""What the branch of an RFC 3261 element starts with."""

ClientKey = tuple[str, str]
ServerKey = tuple[str, ...]


def client_key(message: Request | Response) -> ClientKey:
    """Branch of the top Via and method of the CSeq: a CANCEL shares its INVITE's branch."""
    return message.via.branch or "", message.cseq.method


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """Branch, sent-by and method; what RFC 2543 had instead for a branch without the cookie.

    The CSeq number is in both: a retransmission, an ACK and a CANCEL have their request's, and a
    phone that uses a branch again, as pyVoIP does after a 401, has begun another transaction.

    ACK belongs to its INVITE's transaction (if that ended in a non-2xx). `method` puts another in
    place of the request's: INVITE, to find what a CANCEL cancels.
    """
    method = method or request.method
    if method == "ACK":
        method = "INVITE"
    via = request.via
    branch = via.branch or ""
    if branch.lower().startswith(MAGIC.lower()) and len(branch) > len(MAGIC):
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
