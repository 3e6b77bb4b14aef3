"""The errors that answer a request: a status, what is wrong, and what to do."""

from __future__ import annotations


class ApiError(Exception):
    """The error that answers a request with this status, error and hint."""

    def __init__(self, status: int, error: str, hint: str = "", retry_after: int = 0) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.hint = hint
        self.retry_after = retry_after


class SwitchDownError(ApiError):
    """The switch cannot be reached, or did not answer in time."""

    def __init__(self, error: str = "the switch cannot be reached") -> None:
        super().__init__(
            503, error, "assume that nothing changed; pause with the code on the phone"
        )
