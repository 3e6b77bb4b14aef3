"""Acts that two administrators must agree to, such as the release of a legal hold.

An administrator could make a second account, or give another one a password, and agree with it, or
ask with it. So two accounts do not count if one of them has made or changed the other in the last
30 days.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import Final

from galwad.host.errors import ApiError
from recording.audit.log import AuditFilter, AuditLog

_COOLING_S: Final = 30 * 86_400.0
_CHANGES: Final = (
    "user.added",
    "user.enabled",
    "user.linked",
    "user.password-set",
    "user.role-set",
    "user.rights-set",
    "user.second-factor-removed",
)
"""The kinds of the audit entries after which another person may be able to use an account."""


async def refuse_dependent(audit: AuditLog, first: str, second: str, now: float) -> None:
    """Raise an `ApiError` (409) if one account has made or changed the other lately.

    `first` and `second` are names of administrators, and `now` is in Unix seconds. Raises
    `AuditError` if the audit cannot be read.
    """
    for kind, (actor, user) in product(_CHANGES, permutations((first, second))):
        sought = AuditFilter(kind, actor=f"user:{actor}", since=now - _COOLING_S)
        async for entry in audit.search_all(sought):
            if entry.values.get("user", (b"", ""))[1] == user:
                raise ApiError(
                    409,
                    f"{actor} has made or changed the account of {user} in the last 30 days",
                    "ask another administrator to agree",
                )
