"""Changes of users as an administrator makes them, for tests that do not read the audit."""

from __future__ import annotations

from typing import Any, cast

from galwad.people.rules import ChangeResult, UserAdministration
from galwad.people.store import Users
from galwad.people.user import NEW, ProviderIdentity, UserChange
from recording.audit.log import AuditLog


class _NoAudit:
    async def append(self, *_entry: object) -> None:
        """Forget an entry."""


def administration(users: Users) -> UserAdministration:
    audit = cast("AuditLog", _NoAudit())
    return UserAdministration(users._engine, audit, "os:root", "galwad", users=users)


async def change(
    users: Users,
    name: str,
    *,
    password: str | None = None,
    link: ProviderIdentity | None = None,
    **values: Any,
) -> ChangeResult:
    """Change a user without an audit entry. The other `values` are those of a `UserChange`."""
    asked = UserChange(
        password=NEW if password else None, link=link.subject if link else None, **values
    )
    issuer = link.issuer if link else ""
    return await administration(users).change(name, asked, password=password, issuer=issuer)


async def remove(users: Users, name: str) -> None:
    """Remove a user without an audit entry."""
    await administration(users).remove(name)
