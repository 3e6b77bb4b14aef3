"""Request bodies for the control of a user's own phone, and of the user's own calls."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import StringConstraints

from galwad.host.bodies import NO_CARD_NUMBER, RequestBody

ActName: TypeAlias = Literal["answer", "hold", "resume", "hangup", "transfer", "welsh"]
Dialled: TypeAlias = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=64, pattern=r"^\+?[A-Za-z0-9 ().*#_/-]+$"
    ),
    NO_CARD_NUMBER,
]
"""A number or destination to dial. Spaces, dots, hyphens and brackets do not count."""


class PhoneOrder(RequestBody):
    """A request to do something with the signed-in user's own call.

    `number` is the number or destination of the act "transfer"; the other acts need none. The act
    "welsh" transfers the caller to the destination `[desk] welsh_destination`.
    """

    act: ActName
    number: Dialled | None = None


class DialOrder(RequestBody):
    """A request to ring the signed-in user's phone, and then to call `number` for it."""

    number: Dialled
