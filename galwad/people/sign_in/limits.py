"""The limits of sign-ins with a password."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from galwad.people.sign_in.code_guesses import CodeGuesses
from galwad.people.sign_in.devices import Devices
from galwad.people.sign_in.password_guesses import PasswordGuesses
from galwad.people.sign_in.queue import SignInQueue
from galwad.people.sign_in.throttle import Throttle


@dataclass(frozen=True, slots=True)
class SignInLimits:
    """Counts failed sign-ins and wrong codes, and knows the browsers that have signed in before.

    A known browser does not wait for the failures of others.
    """

    devices: Devices
    throttle: Throttle
    queue: SignInQueue
    """The queue in which sign-ins wait for the check of their passwords."""
    codes: CodeGuesses = field(default_factory=CodeGuesses)
    passwords: PasswordGuesses = field(default_factory=PasswordGuesses)

    @classmethod
    def with_key_in(cls, path: Path) -> SignInLimits:
        """Return the limits of a desk whose key for known browsers is in the file `path`."""
        throttle = Throttle()
        return cls(Devices(path), throttle, SignInQueue(throttle))
