"""The users who sign in with the account of an OpenID provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.people.identities import IdentifiedUser, Identities
from galwad.people.oidc.id_token import IdToken
from galwad.people.oidc.provider_sign_in import ProviderSignIn
from galwad.people.user import ProviderIdentity
from galwad.settings.desk import SignInSection


class RefusedError(Exception):
    """The provider has signed a person in, but the person may not use Galwad or step up.

    `reason` is "no_role" or "disabled". At a step-up, it can also be "other_person", or "ended" if
    the session has ended. `user` is the name of the user; "" if there is no user.
    """

    def __init__(self, reason: str, user: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.user = user


@dataclass(frozen=True, slots=True)
class ProviderAccounts:
    """The flow at the provider, and the identities that are linked to users."""

    flow: ProviderSignIn
    identities: Identities

    @classmethod
    def opened(
        cls,
        section: SignInSection | None,
        origin: str,
        engine: AsyncEngine,
        on_flood: Callable[[str], None] = lambda _network: None,
    ) -> Self | None:
        """Return the accounts of the provider in the settings; None if there is none.

        `on_flood` is called with the network of a new sign-in during a flood of sign-ins.
        """
        if section is None:
            return None
        return cls(ProviderSignIn(section, origin, on_flood=on_flood), Identities(engine))

    async def enter(self, token: IdToken, language: str) -> IdentifiedUser:
        """Return the user of a person whom the provider has signed in.

        If the provider gives a known person no role any more, all sessions and tokens of the user
        end.

        Raises:
            RefusedError: The provider gives the person no role, or the user is disabled.
            UserError: Too many users have the name of a new person.
        """
        identity = self._identity(token)
        role = self.flow.role_of(token)
        if role is None:
            known = await self.identities.end_sessions(identity)
            raise RefusedError("no_role", known.name if known else "")
        found = await self.identities.sign_in(identity, role, token.name, language)
        if found.user.disabled:
            raise RefusedError("disabled", found.user.name)
        return found

    async def enter_again(self, token: IdToken, user: str, language: str) -> IdentifiedUser:
        """Return the user of a person who has signed in again for a step-up, as `enter` does.

        Raises the errors of `enter`, and `RefusedError` if the person is not the user `user`.
        """
        known = await self.identities.user_of(self._identity(token))
        if known is None or known.name != user:
            raise RefusedError("other_person", user)
        found = await self.enter(token, language)
        if found.user.name != user:  # an administrator has unlinked the identity just now
            raise RefusedError("other_person", user)
        return found

    def _identity(self, token: IdToken) -> ProviderIdentity:
        return ProviderIdentity(self.flow.section.issuer, token.subject)

    def takes_password_of(self, name: str) -> bool:
        """Return whether the user may sign in with a password of Galwad."""
        listed = self.flow.section.password_users
        return listed is None or name in listed

    def is_break_glass(self, name: str) -> bool:
        """Return whether the settings list the user among the few who may use a password."""
        listed = self.flow.section.password_users
        return listed is not None and name in listed
