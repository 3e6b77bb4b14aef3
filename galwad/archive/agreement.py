"""Acts that two administrators must agree to, such as the release of a legal hold.

An administrator could make a second account, or give another one a password, and agree with it, or
ask with it. So two accounts do not count if one of them has made or changed the other in the last
30 days, or if both are linked so through further accounts.
"""

from __future__ import annotations

from collections import defaultdict
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
    """Raise an `ApiError` (409) if the accounts are linked by accounts made or changed lately.

    `first` and `second` are names of administrators, and `now` is in Unix seconds. Raises
    `AuditError` if the audit cannot be read.
    """
    linked = defaultdict(set)
    for kind in _CHANGES:
        async for entry in audit.search_all(AuditFilter(kind, since=now - _COOLING_S)):
            actor, user = (entry.values.get(name, (b"", ""))[1] for name in ("actor", "user"))
            if actor.startswith("user:") and user:
                actor = actor.removeprefix("user:")
                linked[actor].add(user)
                linked[user].add(actor)
    found, new = {first}, {first}
    while new:
        new = set().union(*(linked[each] for each in new)) - found
        found |= new
    if second in found:
        raise ApiError(
            409,
            f"{first} and {second} do not count as two people: one account has made or changed the "
            "other in the last 30 days, perhaps through further accounts",
            "ask another administrator to agree",
        )
