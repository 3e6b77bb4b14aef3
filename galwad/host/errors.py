"""The errors that the desk sends to a client as the response to a request."""

from __future__ import annotations

from collections.abc import Mapping


class ApiError(Exception):
    """An error that the desk sends as the response to a request.

    `hint` says what the user can do. `retry_after` is in seconds; 0 if not known. `reason` names
    the error for a program, where errors with the same status differ.
    """

    def __init__(
        self, status: int, error: str, hint: str = "", retry_after: int = 0, reason: str = ""
    ) -> None:
        super().__init__(error)
        self.reason = reason
        self.status = status
        self.error = error
        self.hint = hint
        self.retry_after = retry_after


class NotPermittedError(ApiError):
    """The user's role or rights do not permit the request, which has the status 403.

    The refusal is audited with `facts`, which must not be personal (`galwad.host.errors`).
    """

    def __init__(
        self, error: str, hint: str, reason: str = "", facts: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(403, error, hint, reason=reason)
        self.facts = facts or {}


class SwitchDownError(ApiError):
    """The switch is not connected, or did not reply in time; status 503 of the response."""

    def __init__(self, error: str = "the switch cannot be reached") -> None:
        super().__init__(
            503, error, "assume that nothing changed; pause with the code on the phone"
        )
