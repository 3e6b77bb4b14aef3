"""The exceptions of the package `net`.

ServerError          a server cannot be used now
├── ServerBusyError  a server asks us to send no requests for a while
└── StatusError      a server answers a request with an error
"""

from __future__ import annotations


class ServerError(Exception):
    """A server, or a secret or certificate for it, cannot be used now.

    The message may have the status, the error code and the requested rest of an answer. It has no
    other part of an answer or of a request, because these may have personal data.
    """


class ServerBusyError(ServerError):
    """A server has asked us to send no requests for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the server asks us to wait for {seconds:.0f} s")
        self.seconds = seconds


class StatusError(ServerError):
    """A server answers a request with the error `status`.

    `code` is the server's own name of the error, such as "INVALID_FIELD"; "" if there is none.
    """

    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(f"the server answers {status}" + (f" ({code})" if code else ""))
        self.status = status
        self.code = code
