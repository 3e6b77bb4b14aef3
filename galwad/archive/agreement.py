"""Acts that two administrators must agree to, such as the release of a legal hold.

An administrator could make a second account, or give another one a password, and agree with it. So
an account does not count that the first administrator has made or changed in the last 30 days.
"""

from __future__ import annotations

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
    """Raise an `ApiError` (409) if `first` has made or changed the account of `second` lately.

    Both are names of administrators, and `now` is in Unix seconds. Raises `AuditError` if the audit
    cannot be read.
    """
    for kind in _CHANGES:
        sought = AuditFilter(kind, actor=f"user:{first}", since=now - _COOLING_S)
        async for entry in audit.search_all(sought):
            if entry.values.get("user", (b"", ""))[1] == second:
                raise ApiError(
                    409,
                    f"{first} has made or changed your account in the last 30 days",
                    "ask another administrator to agree",
                )
