"""The caller of a call, as the SIP messages of a trunk or phone name the caller.

The first INVITE names the caller. A trusted trunk, such as the centre's PBX, can name another
caller during the call: a receptionist has handed the citizen over. From `CallerFacts`, the desk
decides whether the caller is a known person, is unknown, or has withheld the number.
"""

from __future__ import annotations

import structlog

from callerid.number import CallerId, presented_caller
from galwad.messages import CallerFacts
from telephony.b2bua.events import IdentityChanged
from telephony.b2bua.headers import wants_privacy
from telephony.errors import ParseError
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri

log = structlog.get_logger()


def caller_of(request: Request, *, trusted: bool) -> CallerFacts:
    """Return the facts about the caller in an INVITE.

    `trusted` says whether we believe the identities that the sender asserts (RFC 3325).
    """
    uri = request.from_.uri
    return CallerFacts(
        from_user=uri.dialled,
        from_host=uri.host,
        asserted=_asserted(request),
        privacy=_privacy(request),
        trusted=trusted,
    )


def caller_fields(caller: CallerFacts) -> dict[str, str | bool | None]:
    """Return the fields by which an event in the spool names the caller.

    `number` is the number that the caller presents; None if there is none. `withheld` is true if
    the caller withholds the number.
    """
    presented = _presented(caller)
    return {
        "number": str(presented.number) if presented.number else None,
        "withheld": presented.withheld,
    }


def new_caller(before: CallerFacts, event: IdentityChanged) -> CallerFacts | None:
    """Return the facts about another caller whom a trusted trunk names during a call.

    Return None if the name does not mean another caller, or is only an address in a Contact.

    The rules for privacy are those of the first INVITE: in an anonymous dialog, each further caller
    is anonymous too.
    """
    if event.source.lower() == "contact":
        return None
    message = event.message
    uri = (message.from_ if isinstance(message, Request) else message.to).uri
    uris = [each for each in (uri, event.identity.uri) if _is_anonymous(each)]
    named = CallerFacts(
        from_user=uris[0].dialled if uris else "",
        from_host=uris[0].host if uris else "",
        asserted=_asserted(message) or (event.identity.uri.dialled,),
        privacy=_privacy(message),
        trusted=True,
    )
    return named if _is_other(before, named) else None


def spelled(name: str) -> str:
    """Return the one form in which names of parties are compared: a number in E.164 if possible."""
    return spelled_number(name) or name


def spelled_number(text: str) -> str:
    """Return a text as a number in E.164 or as an extension; "" if it is neither."""
    number = presented_caller(text, "").number
    return "" if number is None else str(number)


def numbers_of(caller: CallerFacts) -> set[str]:
    """Return every name of a caller, as `spelled` writes it."""
    return {spelled(text) for text in (caller.from_user, *caller.asserted) if text}


def is_same_caller(caller: CallerFacts, named: CallerFacts) -> bool:
    """Return whether a name that a trunk asserts in `named` is a name of `caller`."""
    return bool(numbers_of(caller) & {spelled(text) for text in named.asserted})


def is_withheld(caller: CallerFacts) -> bool:
    """Return whether the caller withholds the number."""
    return _presented(caller).withheld


def _is_other(before: CallerFacts, named: CallerFacts) -> bool:
    """Return whether `named` means another caller than `before`.

    A caller who begins to withhold the number counts as another caller. So does another number.
    Another name that is not a number counts only if the trunk has asserted a name before.
    """
    hides = is_withheld(named) and not is_withheld(before)
    if is_same_caller(before, named):
        return hides
    return hides or bool(before.asserted) or any(spelled_number(text) for text in named.asserted)


def _is_anonymous(uri: Uri) -> bool:
    return presented_caller(uri.dialled, uri.host).withheld


def _presented(caller: CallerFacts) -> CallerId:
    return presented_caller(
        caller.from_user, caller.from_host, caller.asserted, caller.privacy, trusted=caller.trusted
    )


def _privacy(message: Request | Response) -> tuple[str, ...]:
    """Return the values of Privacy, sorted, in lower case; "id" may be from Remote-Party-ID."""
    privacy = {
        token.strip().lower()
        for value in message.headers.get_all("Privacy")
        for token in value.replace(",", ";").split(";")
    }
    if wants_privacy(message.headers):
        privacy.add("id")
    return tuple(sorted(privacy - {""}))


def _asserted(message: Request | Response) -> tuple[str, ...]:
    """Return the user parts in P-Asserted-Identity (RFC 3325); () if a value cannot be parsed."""
    try:
        values = message.headers.get_list("P-Asserted-Identity")
        users = [NameAddr.parse(value).uri.dialled for value in values]
    except ParseError:
        log.info("caller.identity_unreadable")
        return ()
    return tuple(user for user in users if user)
