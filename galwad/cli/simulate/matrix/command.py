"""The options, the work and the report that both matrix commands have in common."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
import uvloop
from rich.text import Text

from galwad.cli.simulate.api_client import ApiClient
from galwad.cli.simulate.arguments import check_names, passwords_of
from galwad.cli.simulate.matrix.pbx import PbxLine, PbxPhones, pbx_line
from galwad.cli.simulate.matrix.requests import MatrixApi, PageLogin
from galwad.cli.simulate.matrix.rows import Row
from galwad.cli.simulate.matrix.run import MatrixRun
from galwad.cli.simulate.matrix.site import OutsideNumber, Site, outside_number
from galwad.cli.simulate.matrix.verdict import Outcome, Verdict
from galwad.cli.simulate.phones import hush
from galwad.cli.simulate.plan import (
    DEFAULT_REFERENCE,
    PhoneTransport,
    Plan,
    SipLogin,
    SrtpPolicy,
    locate,
)
from galwad.cli.simulate.steps import StepError
from galwad.cli.support.client import base_url, client_settings
from galwad.cli.support.console import CliError, console, one_line, print_json
from galwad.cli.support.identities import read_identity

if TYPE_CHECKING:
    from galwad.settings import Settings

Number: TypeAlias = Annotated[str, typer.Argument(help="The line to call, as a trunk would.")]
Sip: TypeAlias = Annotated[str, typer.Option(help="The server's SIP address: HOST[:PORT].")]
Answering: TypeAlias = Annotated[
    list[str],
    typer.Option(help="The advisor's extension, which the line rings. Twice: a colleague's too."),
]
AnsweringOrNone: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--answer",
        help="The advisor's extension, which the line rings. Twice: a colleague's too.",
    ),
]
PbxAnswering: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="Twice: an advisor's and a department's extension at the PBX behind."),
]
PbxNumber: TypeAlias = Annotated[
    str, typer.Option("--pbx-line", help="The line that leads to the PBX, if NUMBER does not.")
]
Outside: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="A number in [[destinations]] whose target is on this machine."),
]
Identity: TypeAlias = Annotated[
    Path, typer.Option(help="Your identity, which opens the recordings (`galwad login`).")
]
Caller: TypeAlias = Annotated[str, typer.Option("--from", help="The number that the caller shows.")]
Bind: TypeAlias = Annotated[
    str,
    typer.Option(help="The caller's own address, ADDRESS[:PORT], if the server must know it."),
]
Transport: TypeAlias = Annotated[
    PhoneTransport, typer.Option(help="The transport between the phones and the server.")
]
TlsCa: TypeAlias = Annotated[
    Path | None, typer.Option(help="For tls: a PEM file of the authorities to trust.")
]
Srtp: TypeAlias = Annotated[SrtpPolicy, typer.Option(help="The protection of the media.")]
PasswordStdin: TypeAlias = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the passwords from standard input, a line each."),
]
Only: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Run only the row with this name. Repeat for more rows.")
]
Parallel: TypeAlias = Annotated[
    int, typer.Option(min=1, max=20, help="The number of calls at a time.")
]


@dataclass(frozen=True, slots=True)
class MatrixOptions:
    """The options of the command line, before they are checked."""

    number: str
    sip: str
    answer: Sequence[str]
    identity: Path
    settings: Settings
    caller: str
    outside: Sequence[str] = ()
    advisor: str = ""
    pbx_line: str = ""
    pbx_answer: Sequence[str] = ()
    bind: str = ""
    transport: PhoneTransport = PhoneTransport.UDP
    tls_ca: Path | None = None
    srtp: SrtpPolicy = SrtpPolicy.OPTIONAL
    password_stdin: bool = False
    card: bool = False
    only: Sequence[str] = field(default=())
    parallel: int = 4
    server: str = ""
    json: bool = False


def run_matrix(rows: Sequence[Row], options: MatrixOptions) -> None:
    """Run the rows and print their verdicts.

    Raises:
        CliError: An option is wrong, a phone cannot be used, or a row has failed.
    """
    chosen = choose(rows, options.only)
    _check_phones(options)
    line = _pbx_line(options)
    plan, login, at_pbx = _plan(options)
    check_names(replace(plan, answering=(*plan.answering, *at_pbx)))
    settings = client_settings()
    base_url(options.server or settings.server)
    outside = _outside(options)
    identities = read_identity(options.identity).identities
    token = os.environ.get("GALWAD_PAUSE_TOKEN", "")
    pbx = PbxPhones(plan, line, *at_pbx) if line is not None else None
    hush()
    tell = _ignore if options.json else _printer(chosen)
    with (
        MatrixApi(options.server, options.settings.desk.origin, token, login) as api,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        archive = ApiClient(options.server, identities=identities)

        async def work() -> list[Verdict]:
            site = Site(plan, options.settings, api, outside, pbx=pbx, keys_card=options.card)
            async with site:
                return await MatrixRun(site, archive, tell, options.parallel).run(chosen)

        try:
            verdicts = runner.run(work())
        except StepError as error:
            raise CliError(error.text, error.hint) from None
    report(verdicts, json=options.json)


def choose(rows: Sequence[Row], only: Sequence[str]) -> list[Row]:
    """Return the rows with these names, or all rows if there are no names.

    Raises:
        CliError: There is no row with such a name.
    """
    known = {row.name for row in rows}
    for name in only:
        if name not in known:
            raise CliError(
                f'there is no row "{name}"',
                "the rows are: " + "; ".join(row.name for row in rows),
                status=2,
            )
    return [row for row in rows if not only or row.name in only]


def report(verdicts: Sequence[Verdict], *, json: bool) -> None:
    """Print the summary, or all verdicts as JSON.

    Raises:
        CliError: A row has failed.
    """
    counts = {outcome: sum(v.outcome is outcome for v in verdicts) for outcome in Outcome}
    if not counts[Outcome.NOT_APPLICABLE]:
        del counts[Outcome.NOT_APPLICABLE]
    failed = [verdict for verdict in verdicts if verdict.outcome is Outcome.FAILED]
    if json:
        summary = {outcome.value.lower(): count for outcome, count in counts.items()}
        rows = [verdict.as_json() for verdict in verdicts]
        print_json({"ok": not failed, "summary": summary, "rows": rows})
    else:
        total = "1 row" if len(verdicts) == 1 else f"{len(verdicts)} rows"
        print(f"{total}: " + ", ".join(f"{n} {kind.value.lower()}" for kind, n in counts.items()))
    if failed:
        names = "; ".join(f'"{verdict.row}"' for verdict in failed)
        raise CliError(
            f"{len(failed)} of {len(verdicts)} failed: {names}",
            "keep the recordings and the journals; `galwad recordings show ID` shows the gaps",
        )


_STYLES = {
    Outcome.OK: "green",
    Outcome.FAILED: "bold red",
    Outcome.NOT_CONFIGURED: "dim",
    Outcome.NOT_APPLICABLE: "dim",
}


def _printer(rows: Sequence[Row]) -> Callable[[Verdict], None]:
    width = max(len(row.name) for row in rows)

    def tell(verdict: Verdict) -> None:
        out = console()
        out.print(f"{verdict.row:<{width}}  ", end="")
        out.print(Text(one_line(str(verdict)), _STYLES[verdict.outcome]))

    return tell


def _ignore(verdict: Verdict) -> None:
    del verdict


def _check_phones(options: MatrixOptions) -> None:
    if len(options.answer) > 2:
        raise CliError(
            "--answer is given more than twice", "give the advisor and one colleague", status=2
        )
    if len(options.pbx_answer) not in {0, 2}:
        raise CliError(
            "--pbx-answer must be given twice", "give an advisor and a department", status=2
        )
    if not options.answer and not options.pbx_answer:
        raise CliError(
            "missing option '--answer'", "give the extension that the line rings", status=2
        )


def _pbx_line(options: MatrixOptions) -> PbxLine | None:
    if not options.pbx_answer:
        return None
    try:
        return pbx_line(options.settings, options.pbx_line or options.number)
    except StepError as error:
        raise CliError(error.text, error.hint, status=2) from None


def _plan(options: MatrixOptions) -> tuple[Plan, PageLogin | None, list[SipLogin]]:
    questions = [f"SIP password of {extension}" for extension in options.answer]
    questions += [f"SIP password of {extension} at the PBX" for extension in options.pbx_answer]
    if options.advisor:
        questions.append(f"page password of {options.advisor}")
    secrets = passwords_of(
        questions, "each --answer, each --pbx-answer, --advisor", from_stdin=options.password_stdin
    )
    login = PageLogin(options.advisor, secrets.pop()) if options.advisor else None
    extensions = (*options.answer, *options.pbx_answer)
    accounts = [SipLogin(*pair) for pair in zip(extensions, secrets, strict=True)]
    own = len(options.answer)
    plan = Plan(
        number=options.number,
        addresses=locate(options.sip, options.transport, options.bind, options.tls_ca),
        caller=options.caller,
        acts_as=None,
        answering=tuple(accounts[:own]),
        media=options.srtp,
        identity=options.identity,
        reference=DEFAULT_REFERENCE,
        api=options.server,
    )
    return plan, login, accounts[own:]


def _outside(options: MatrixOptions) -> list[OutsideNumber]:
    try:
        return [outside_number(options.settings, number) for number in options.outside]
    except StepError as error:
        raise CliError(error.text, error.hint, status=2) from None
