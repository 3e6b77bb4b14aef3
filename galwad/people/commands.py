"""`galwad users`: the users who may sign in, their tokens and their phones.

These commands run on the server and change its database directly. Each act is one of
`galwad.people.rules.UserAdministration`, as on the administrators' page.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from galwad.cli.support.administration import administration, notify_desk, on_the_server
from galwad.cli.support.console import CliError, date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.host.bodies import Language
from galwad.people.user import (
    DEFAULT_DAYS,
    LEAST_LENGTH,
    NEW,
    Right,
    Role,
    User,
    UserChange,
    UserError,
)

if TYPE_CHECKING:
    from galwad.people.rules import ChangeResult, UserAdministration
    from galwad.people.tokens import TokenFacts
    from galwad.settings import Settings

_T = TypeVar("_T")
Name: TypeAlias = Annotated[str, typer.Argument(help="The user's name.")]
Subject: TypeAlias = Annotated[
    str,
    typer.Option(help="The person's identity at the provider: the claim sub, or oid for Entra ID."),
]
PasswordStdin: TypeAlias = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Generate: TypeAlias = Annotated[
    bool, typer.Option("--generate", help="Generate a password and print it once.")
]


app = new_command()
tokens = new_command()


@app.command(epilog="Example: galwad users add sian --role advisor --extension 201")
def add(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    *,
    role: Annotated[Role, typer.Option(help="The role: what the user may do.")] = "advisor",
    extension: Annotated[
        str, typer.Option(help="The extension of the user's phone; a SIP password is generated.")
    ] = "",
    language: Annotated[Language, typer.Option(help="The page's language.")] = "en",
    right: Annotated[
        list[Right] | None,
        typer.Option(help="A right of the machine or administrator; repeat it for more."),
    ] = None,
    password_stdin: PasswordStdin = False,
    generate: Generate = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Add a user.

    The command asks at the terminal for the new user's password, unless it reads the password from
    standard input (--password-stdin) or generates it (--generate). Secrets that the command
    generates, such as a machine's token, are printed once. The database stores only hashes of them.
    An extension of a disabled user is free: the new user takes it over.
    """
    settings = load_settings(config)
    password = None
    if role != "machine":
        password = _new_password(password_stdin=password_stdin, generate=generate)
    rights = frozenset(str(item.value) for item in right or ())
    user = User(name, role, language, extension or None, rights)
    done, notified = _act(settings, lambda people: people.add(user, password))
    shown = done.password if generate else None
    sip = _sip_account(settings, done)
    facts = _present(user=name, role=role, password=shown, token=done.token, sip=sip)
    _report(facts, f"added {name} ({role})", notified=notified, json=json)


@app.command("list", epilog="Example: galwad users list")
def list_(*, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """List the users, without passwords or other secrets."""
    everyone = _read(load_settings(config), lambda people: people.users.facts())
    if json:
        print_json(
            [
                {
                    "user": user.name,
                    "role": user.role,
                    "extension": user.extension,
                    "language": user.language,
                    "rights": sorted(user.rights),
                    "team": user.team or None,
                    "second_factor": user.second_factor,
                    "disabled": user.disabled,
                }
                for user in everyone
            ]
        )
        return
    print_table(
        ("USER", "ROLE", "EXTENSION", "LANGUAGE", "TEAM", "RIGHTS", "SECOND FACTOR", ""),
        (
            (
                user.name,
                user.role,
                user.extension or "",
                user.language,
                user.team,
                " ".join(sorted(user.rights)),
                "yes" if user.second_factor else "",
                "disabled" if user.disabled else "",
            )
            for user in everyone
        ),
        empty="No users yet: add one with `galwad users add NAME`.",
    )


@app.command(epilog="Example: galwad users role sian supervisor")
def role(
    name: Name,
    role: Annotated[Role, typer.Argument(help="The new role: what the user may do.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Give a person another role, and end all sessions and tokens of this person.

    The person loses all rights: `galwad users rights` sets them again. A person cannot become a
    machine. If a person signs in at the OpenID provider, the provider decides the role each time.
    """
    _, notified = _change(load_settings(config), name, UserChange(role=role))
    text = f"{name} has the role {role}, and must sign in again"
    _report({"user": name, "role": role}, text, notified=notified, json=json)


@app.command(epilog="Example: galwad users rights gwen --right purge")
def rights(
    name: Name,
    *,
    right: Annotated[
        list[Right] | None,
        typer.Option(help="A right to have; without this option, the user has none."),
    ] = None,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Set the rights of a user. The user loses all rights that are not named.

    A machine may have the rights payments, metrics, anchors, directories and events. An
    administrator may have the right purge, which is required to dispose of recordings. The change
    takes effect at the user's next request.
    """
    given = sorted({str(item.value) for item in right or ()})
    _change(load_settings(config), name, UserChange(rights=tuple(given)))
    if json:
        print_json({"user": name, "rights": given})
    else:
        print(f"{name}: {', '.join(given) or 'no rights'}")


@app.command(epilog="Example: galwad users team sian housing")
def team(
    name: Name,
    code: Annotated[
        str, typer.Argument(help="The team's code; `galwad texts list teams` shows the teams.")
    ] = "",
    *,
    none: Annotated[bool, typer.Option("--none", help="Let the user belong to no team.")] = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Let a person belong to a team. Supervisors see the advisors by team.

    Administrators make the teams on their page, or with `galwad texts set teams FILE`.
    """
    if bool(code) == none:
        raise CliError(
            "either a team or --none is needed, not both",
            "give the code of a team, or only --none",
            status=2,
        )
    _, notified = _change(load_settings(config), name, UserChange(team=code))
    text = f"{name} belongs to {f'the team {code}' if code else 'no team'}"
    _report({"user": name, "team": code or None}, text, notified=notified, json=json)


@app.command(epilog="Example: galwad users password sian --generate")
def password(
    name: Name,
    *,
    password_stdin: PasswordStdin = False,
    generate: Generate = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Give a person a new password, and end all sessions and tokens of this person.

    The command asks at the terminal for the password, unless it reads the password from standard
    input (--password-stdin) or generates it (--generate). A generated password is printed once.
    """
    settings = load_settings(config)
    new = _new_password(password_stdin=password_stdin, generate=generate)
    done, notified = _change(settings, name, UserChange(password=NEW), password=new)
    facts = _present(user=name, password=done.password if generate else None)
    text = f"{name} has a new password, and must sign in again"
    _report(facts, text, notified=notified, json=json)


@app.command(epilog="Example: galwad users sip-password sian")
def sip_password(name: Name, *, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """Generate a new SIP password for a user's phone, and print it once.

    The phone's registration ends. The phone can register again with the new password only. A call
    in progress continues.
    """
    settings = load_settings(config)
    done, notified = _change(settings, name, UserChange(sip_password=NEW))
    facts = {"user": name, "sip": _sip_account(settings, done)}
    _report(facts, f"{name} has a new SIP password", notified=notified, json=json)


@app.command(epilog="Example: galwad users move sian 202")
def move(
    name: Name,
    extension: Annotated[str, typer.Argument(help="The new extension.")] = "",
    *,
    none: Annotated[
        bool, typer.Option("--none", help="Take the user's extension away, and give no other.")
    ] = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Give a user another extension, with a new SIP password, which is printed once.

    The phone at the old extension cannot register any more. An extension of a disabled user is
    free: this user takes it over.
    """
    if bool(extension) == none:
        raise CliError(
            "either a new extension or --none is needed, not both",
            "give an extension, or only --none",
            status=2,
        )
    settings = load_settings(config)
    done, notified = _change(settings, name, UserChange(extension=extension))
    sip = _sip_account(settings, done)
    facts = {"user": name, "extension": extension or None, "sip": sip}
    text = f"{name} has {f'the extension {extension}' if extension else 'no extension'}"
    _report(facts, text, notified=notified, json=json)


@app.command(
    epilog="Example: galwad users link sian --subject 8f4e2c1a-0b6d-4c3e-9a57-1d2e3f405162"
)
def link(
    name: Name,
    *,
    subject: Subject,
    issuer: Annotated[
        str, typer.Option(help="The provider; by default, the one in the settings.")
    ] = "",
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Let a user sign in with an account of the OpenID provider.

    The user's sessions and tokens end. The user keeps the name, the extension and the phone. The
    provider decides the role at each sign-in.
    """
    settings = load_settings(config)
    section = settings.sign_in
    if not issuer and section is None:
        raise CliError(
            "the settings name no provider",
            "add [sign_in] to the settings, or give --issuer",
            status=2,
        )
    issuer = issuer or (section.issuer if section else "")
    _, notified = _change(settings, name, UserChange(link=subject), issuer=issuer)
    facts = {"user": name, "issuer": issuer, "subject": subject}
    text = f"{name} can sign in with this account of {issuer}"
    _report(facts, text, notified=notified, json=json)


@app.command(
    epilog="Example: galwad users unlink sian --subject 8f4e2c1a-0b6d-4c3e-9a57-1d2e3f405162"
)
def unlink(
    name: Name, *, subject: Subject, config: Config = DEFAULT_PATH, json: Json = False
) -> None:
    """Unlink an account of the OpenID provider from a user.

    The user's sessions and tokens end. If the person signs in with this account again, the desk
    adds another user. Use `galwad users disable` for a person who leaves.
    """
    _, notified = _change(load_settings(config), name, UserChange(unlink=subject))
    text = f"{name} cannot sign in with this account any more"
    _report({"user": name, "unlinked": subject}, text, notified=notified, json=json)


@app.command(epilog="Example: galwad users remove-second-factor sian")
def remove_second_factor(name: Name, *, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """Remove the second factor of a person, and end the sessions opened with the password.

    First make sure that it is this person who asks. If the role needs a second factor, the person
    must set up a new one at the next sign-in. Personal tokens stay valid.
    """
    _, notified = _change(load_settings(config), name, UserChange(second_factor=False))
    text = f"{name} has no second factor any more, and must sign in again"
    _report({"user": name, "second_factor": False}, text, notified=notified, json=json)


@app.command(epilog="Example: galwad users disable sian")
def disable(name: Name, *, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """Disable a user, end the user's sessions and tokens, and stop the phone from registering.

    The name stays taken, and the extension is free for another user. `galwad users enable` lets the
    user sign in again.
    """
    _, notified = _change(load_settings(config), name, UserChange(disabled=True))
    _report({"user": name, "disabled": True}, f"{name} is disabled", notified=notified, json=json)


@app.command(epilog="Example: galwad users enable sian")
def enable(name: Name, *, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """Let a disabled user sign in again, and let the user's phone register again.

    The old passwords are valid again. A machine gets a new token, which is printed once. If another
    user got the extension meanwhile, this user has no extension: `galwad users move` gives one.
    """
    done, notified = _change(load_settings(config), name, UserChange(disabled=False))
    extension = done.user.extension
    phone = f"the extension {extension}" if extension else "no extension"
    facts = _present(user=name, disabled=False, extension=extension, token=done.token)
    _report(facts, f"{name} is enabled, with {phone}", notified=notified, json=json)


@app.command(epilog="Example: galwad users remove sian")
def remove(name: Name, *, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """Remove a user, end the user's sessions and tokens, and stop the phone from registering.

    The recordings and the audit keep the user's name. If another person may get this name later,
    use `galwad users disable` instead: it keeps the name from being used again.
    """
    _, notified = _act(load_settings(config), lambda people: people.remove(name))
    _report({"user": name, "removed": True}, f"{name} is removed", notified=notified, json=json)


@tokens.command("list", epilog="Example: galwad users tokens list pay")
def list_tokens(name: Name, *, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """List the tokens of a user: what each can do, when it expires, and when it was used last."""
    found = _read(load_settings(config), lambda people: _tokens_of(people, name))
    if json:
        print_json([_token_as_json(token) for token in found])
        return
    print_table(
        ("TOKEN", "RIGHTS", "EXPIRES", "LAST USE", "FROM", "CREATED BY"),
        (
            (
                token.name,
                "all" if token.rights is None else " ".join(sorted(token.rights)),
                _end_of(token),
                date_and_time(token.last_used) if token.last_used is not None else "never",
                token.address,
                token.created_by,
            )
            for token in found
        ),
        empty=f"{name} has no tokens.",
    )


@tokens.command("add", epilog="Example: galwad users tokens add pay spring-2027 --right payments")
def add_token(
    name: Name,
    token: Annotated[str, typer.Argument(help="The name of the new token.")],
    *,
    right: Annotated[
        list[Right] | None,
        typer.Option(help="For a machine: a right that the token can use; by default, all."),
    ] = None,
    days: Annotated[
        int, typer.Option(help="The days after which the token expires.")
    ] = DEFAULT_DAYS,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Make a token for a user and print it once. The other tokens of the user stay valid.

    To replace a machine's token without a gap, add a second token, give it to the machine, and
    revoke the first. The token of a person can only pause and resume this person's own calls.
    """
    scopes = frozenset(str(item.value) for item in right) if right else None

    async def make(people: UserAdministration) -> tuple[str, TokenFacts]:
        return await people.make_token(await people.users.one(name), token, scopes, days)

    (secret, made), notified = _act(load_settings(config), make)
    text = f"added the token {made.name} of {name}, which expires on {_end_of(made)}"
    _report({**_token_as_json(made), "token": secret}, text, notified=notified, json=json)


@tokens.command("revoke", epilog="Example: galwad users tokens revoke pay autumn-2026")
def revoke_token(
    name: Name,
    token: Annotated[str, typer.Argument(help="The token's name.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Revoke one token of a user. The next request with the token is refused. Its streams end."""

    async def revoke(people: UserAdministration) -> None:
        for each in await people.tokens.all(name):
            if each.name == token:
                await people.revoke_token(each)
                return
        raise UserError(
            f'the user "{name}" has no token with this name',
            f"`galwad users tokens list {name}` shows the tokens",
        )

    _, notified = _act(load_settings(config), revoke)
    text = f"the token {token} of {name} is revoked"
    _report({"user": name, "name": token, "revoked": True}, text, notified=notified, json=json)


def _read(settings: Settings, read: Callable[[UserAdministration], Awaitable[_T]]) -> _T:
    async def opened() -> _T:
        async with administration(settings).users() as people:
            return await read(people)

    with on_the_server(settings):
        return asyncio.run(opened())


def _act(settings: Settings, act: Callable[[UserAdministration], Awaitable[_T]]) -> tuple[_T, bool]:
    """Carry out an act in the server's database, and notify the desk so that it takes effect.

    Return the act's result, and whether a desk runs here.
    """
    done = _read(settings, act)
    with on_the_server(settings):
        return done, notify_desk(settings)


def _change(
    settings: Settings,
    name: str,
    change: UserChange,
    *,
    password: str | None = None,
    issuer: str = "",
) -> tuple[ChangeResult, bool]:
    return _act(
        settings, lambda people: people.change(name, change, password=password, issuer=issuer)
    )


async def _tokens_of(people: UserAdministration, name: str) -> list[TokenFacts]:
    await people.users.one(name)
    return await people.tokens.all(name)


def _token_as_json(token: TokenFacts) -> dict[str, Any]:
    """Return the facts about a token. Times are Unix seconds."""
    return {
        "user": token.user,
        "name": token.name,
        "scopes": None if token.rights is None else sorted(token.rights),
        "created": token.created,
        "created_by": token.created_by,
        "expires": token.expires,
        "last_used": token.last_used,
        "address": token.address,
    }


def _end_of(token: TokenFacts) -> str:
    return "never" if token.expires is None else date_and_time(token.expires)


def _new_password(*, password_stdin: bool, generate: bool) -> str | None:
    """Return a password from standard input or the terminal; None if one is to be generated."""
    if generate:
        return None
    if password_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise CliError(
            "the password is missing, and there is no terminal to ask for it",
            "use --password-stdin or --generate",
            status=2,
        )
    asked = f"Password (at least {LEAST_LENGTH} characters)"
    return str(typer.prompt(asked, hide_input=True, confirmation_prompt=True, err=True))


def _sip_account(settings: Settings, done: ChangeResult) -> dict[str, str] | None:
    """Return the values with which a phone registers; None if it has no new password."""
    if done.sip_password is None:
        return None
    return {
        "server": settings.phone_server,
        "extension": done.user.extension or "",
        "password": done.sip_password,
        "realm": settings.sip.realm,
    }


def _present(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _report(facts: dict[str, Any], text: str, *, notified: bool, json: bool) -> None:
    """Print `facts` as JSON, or else `text` and the secrets that are in `facts`.

    If no desk was notified of the change, also print that it takes effect when one starts.
    """
    if json:
        print_json(facts)
        return
    print(text)
    password, token, sip = (facts.get(name) for name in ("password", "token", "sip"))
    if password:
        print(f"  password      {password}")
    if token:
        print(f"  token         {token}")
    if sip is not None:
        print(f"  SIP server    {sip['server']}")
        print(f"  SIP user      {sip['extension']}")
        print(f"  SIP password  {sip['password']}")
    if password or token or sip:
        print("These secrets are shown only once.")
    if not notified:
        print("No desk is running here: the change takes effect when the desk starts.")
