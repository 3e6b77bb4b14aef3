"""The response body of each request that fails."""

from __future__ import annotations

from pydantic import BaseModel


class Refusal(BaseModel):
    """The response to a request that fails. It never contains a value from the request.

    `error` says what is wrong, and `hint` what to do. The error 422 names each field, parameter or
    header field that is not valid. `reason` is there only where a program must tell errors with the
    same status apart, such as `card_number` and `draft_conflict`.
    """

    error: str
    hint: str
    reason: str | None = None
