"""Checks of the command line that all commands of `galwad simulate` have in common."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from galwad.cli.simulate.plan import Plan
from galwad.cli.support.console import CliError
from telephony.errors import ParseError
from telephony.sip.message.uri import Uri, is_user


def passwords_of(questions: Sequence[str], order: str, *, from_stdin: bool) -> list[str]:
    """Return a password for each question, such as "SIP password of 201".

    The user types them, or each is a line of standard input, in the `order` that a hint names.

    Raises:
        CliError: The number of lines is wrong, or there is no terminal to ask.
    """
    if from_stdin:
        given = sys.stdin.read().splitlines()
        if len(given) != len(questions):
            raise CliError(
                f"passwords: {len(given)}; needed: {len(questions)}",
                f"write one line for each: {order}, in order",
                status=2,
            )
        return given
    if questions and not sys.stdin.isatty():
        raise CliError(
            f"the {questions[0]} is missing, and there is no terminal to ask for it",
            "use --password-stdin",
            status=2,
        )
    return [str(typer.prompt(question, hide_input=True, err=True)) for question in questions]


def check_names(plan: Plan) -> None:
    """Check, before any phone rings, that numbers and names can be part of a SIP URI.

    Raises:
        CliError: A phone number or a name is not valid.
    """
    wanted = {"the number": plan.number, "--transfer": plan.transfer, "--attended": plan.attended}
    accounts = [a.extension for a in (*plan.answering, *([plan.acts_as] if plan.acts_as else ()))]
    for what, text in wanted.items():
        if (text or what == "the number") and not _is_number(text):
            hint = "write digits, such as 01970000000, or a SIP URI"
            raise CliError(f'{what} "{text}" cannot be dialled', hint, status=2)
    if not all(map(is_user, (plan.caller, *accounts))):
        hint = "--from, --as and --answer take the part of a SIP address before the @"
        raise CliError("the name of a phone is not valid", hint, status=2)


def _is_number(text: str) -> bool:
    if not text.lower().startswith(("sip:", "sips:", "tel:")):
        return is_user(text)
    try:
        Uri.parse(text)
    except ParseError:
        return False
    return True
