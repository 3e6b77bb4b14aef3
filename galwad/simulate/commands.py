"""The commands of `galwad simulate`, which test an installation with calls of their own.

The phones and their sound are loaded when a command runs, so that its help does not wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, Server, load_settings
from galwad.simulate.plan import (
    DEFAULT_CALLER,
    DEFAULT_REFERENCE,
    KEYS,
    PauseBy,
    PhoneTransport,
    Plan,
    SipLogin,
    SrtpPolicy,
    check_names,
    locate,
    passwords_of,
)

if TYPE_CHECKING:
    from galwad.simulate.report import Report

app = new_command()

Number: TypeAlias = Annotated[str, typer.Argument(help="The line to call, as a trunk would.")]
Sip: TypeAlias = Annotated[str, typer.Option(help="The server's SIP address: HOST[:PORT].")]
_ANSWERING = typer.Option(
    "--answer",
    help="The extension of the advisor, which the line rings. Repeat for that of a colleague.",
)
Outside: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="A number in [[destinations]] whose target is on this machine."),
]
Identity: TypeAlias = Annotated[
    Path,
    typer.Option(
        help="The file with your identity, to open recordings; `galwad login` is needed too."
    ),
]
Caller: TypeAlias = Annotated[str, typer.Option("--from", help="The number that the caller shows.")]
Bind: TypeAlias = Annotated[
    str,
    typer.Option(help="The address of this machine from which the caller calls: ADDRESS[:PORT]."),
]
Transport: TypeAlias = Annotated[
    PhoneTransport, typer.Option(help="The transport between the phones and the server.")
]
TlsCa: TypeAlias = Annotated[
    Path | None, typer.Option(help="For tls: a PEM file of the authorities to trust.")
]
Srtp: TypeAlias = Annotated[SrtpPolicy, typer.Option(help="Whether the phones use SRTP.")]
PasswordStdin: TypeAlias = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the passwords from standard input, one a line."),
]
Only: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="Run only the row with this name. Repeat for more rows.")
]
Parallel: TypeAlias = Annotated[
    int, typer.Option(min=1, max=20, help="The number of calls at a time.")
]


@app.command(
    epilog="Example: galwad simulate call 01970000000 --sip 192.0.2.10 --answer 201 "
    "--dtmf 123# --pause 3 --identity ~/galwad-keys/identity.txt"
)
def call(
    number: Annotated[str, typer.Argument(help="The number to call, as a trunk would.")],
    *,
    sip: Sip,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            help="Register as this phone and answer. Repeat for a phone that answers a transfer."
        ),
    ] = None,
    as_: Annotated[
        str,
        typer.Option(
            "--as", help="Call as this phone; by default, as the trunk with this machine's address."
        ),
    ] = "",
    caller: Caller = DEFAULT_CALLER,
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="Read the SIP passwords from standard input, one a line: --as, then --answer.",
        ),
    ] = False,
    transport: Transport = PhoneTransport.UDP,
    tls_ca: TlsCa = None,
    srtp: Srtp = SrtpPolicy.OPTIONAL,
    bind: Bind = "",
    talk: Annotated[float, typer.Option(min=1, max=120, help="Seconds to talk.")] = 4.0,
    dtmf: Annotated[str, typer.Option(help="Keys that the caller presses, such as 123#.")] = "",
    pause: Annotated[
        float, typer.Option(min=0, max=60, help="Pause the recording for this many seconds.")
    ] = 0.0,
    pause_by: Annotated[
        PauseBy,
        typer.Option(help="Pause by the record key, or by the API with $GALWAD_PAUSE_TOKEN."),
    ] = PauseBy.KEY,
    transfer: Annotated[str, typer.Option(help="Transfer the caller to this number.")] = "",
    attended: Annotated[
        str, typer.Option(help="Consult this number first, then join the caller with it.")
    ] = "",
    calls: Annotated[int, typer.Option(min=1, max=500, help="The number of calls.")] = 1,
    rate: Annotated[float, typer.Option(min=0.1, max=50, help="Calls a second.")] = 1.0,
    identity: Annotated[
        Path | None,
        typer.Option(
            help="The file with your identity: also judge the recording; needs `galwad login`."
        ),
    ] = None,
    reference: Annotated[
        str, typer.Option(help="The reference in the audit for the fetch of the recording.")
    ] = DEFAULT_REFERENCE,
    server: Server = "",
    json: Json = False,
) -> None:
    """Place a call to a running Galwad, answer it, talk, and judge the result.

    With --answer, this command controls both phones. Each phone sends noise instead of speech, and
    the noise is different in each run. Each step is reported: how long it took, what was received,
    and with --identity also what is in the recording. While the command runs, a real phone of the
    same extension rings too. With --calls, the command places many calls, at the rate of --rate
    calls each second. --calls cannot be combined with --dtmf, --pause, --transfer, --attended or
    --identity. The exit status is 1 if a step failed, else 0.
    """
    from galwad.simulate.run import run_plan  # noqa: PLC0415 - see above

    acts_as, answering = _logins(as_, answer or (), from_stdin=password_stdin)
    plan = Plan(
        number=number,
        addresses=locate(sip, transport, bind, tls_ca),
        caller=caller,
        acts_as=acts_as,
        answering=answering,
        media=srtp,
        talk=talk,
        dtmf=dtmf,
        pause=pause,
        pause_by=pause_by,
        transfer=transfer,
        attended=attended,
        calls=calls,
        rate=rate,
        identity=identity,
        reference=reference,
        api=server,
    )
    check_names(plan)
    _coherent(plan)
    _tell(run_plan(plan), json=json)


def _logins(
    as_: str, answer: Sequence[str], *, from_stdin: bool
) -> tuple[SipLogin | None, tuple[SipLogin, ...]]:
    """Return the login of --as (None without it) and of each --answer. Read their passwords."""
    accounts = [name for name in (as_, *answer) if name]
    secrets = passwords_of(
        [f"SIP password of {account}" for account in accounts],
        "first --as, then each --answer",
        from_stdin=from_stdin,
    )
    known = tuple(SipLogin(*pair) for pair in zip(accounts, secrets, strict=True))
    return (known[0], known[1:]) if as_ else (None, known)


def _coherent(plan: Plan) -> None:
    inside = plan.dtmf or plan.pause or plan.transfer or plan.attended or plan.identity
    if any(key not in KEYS for key in plan.dtmf):
        fault = f'--dtmf "{plan.dtmf}" has keys that phones do not have', "use 0-9, * and #"
    elif inside and not plan.answering:
        fault = (
            "--dtmf, --pause, --transfer, --attended and --identity work only with --answer",
            "add --answer EXTENSION",
        )
    elif plan.transfer and plan.attended:
        fault = "--transfer and --attended cannot be combined", "leave out one of them"
    elif plan.calls > 1 and inside:
        fault = (
            "--calls cannot be combined with --dtmf, --pause, --transfer, --attended or --identity",
            "leave out --calls, or the other options",
        )
    elif plan.calls > 1 and not plan.answering:
        fault = "--calls works only with --answer", "add --answer EXTENSION"
    elif 0 < plan.pause < 1:
        fault = "--pause is shorter than 1 second", "give 1 or more, such as --pause 3"
    else:
        return
    raise CliError(*fault, status=2)


def _tell(report: Report, *, json: bool) -> None:
    faults = report.faults
    if json:
        print_json({"ok": not faults, "steps": [step.as_json() for step in report.steps]})
    else:
        report.print()
    if faults:
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise CliError(f"{first.name}: {first.text}{more}", first.hint)


@app.command(
    epilog="Example: galwad simulate payments 01970000000 --sip 192.0.2.10 --answer 201 "
    "--advisor sian --identity ~/galwad-keys/identity.txt"
)
def payments(
    number: Number,
    *,
    sip: Sip,
    answer: Annotated[list[str], _ANSWERING],
    identity: Identity,
    config: Config = DEFAULT_PATH,
    advisor: Annotated[
        str,
        typer.Option(help="The user at the extension of --answer: also pause on this user's page."),
    ] = "",
    outside: Outside = None,
    card: Annotated[
        bool,
        typer.Option(
            "--card", help="Also key a test card number outside a pause, which makes an incident."
        ),
    ] = False,
    caller: Caller = DEFAULT_CALLER,
    bind: Bind = "",
    transport: Transport = PhoneTransport.UDP,
    tls_ca: TlsCa = None,
    srtp: Srtp = SrtpPolicy.OPTIONAL,
    password_stdin: PasswordStdin = False,
    only: Only = None,
    parallel: Parallel = 4,
    server: Server = "",
    json: Json = False,
) -> None:
    """Try the triggers of payment pauses with real calls, and judge each recording.

    Each row is one call between phones of this command, in which both parties speak throughout. The
    command pauses and resumes in the row's order, fetches the recording, and checks its gaps, its
    silence, its speech, and that no packet was stored in a gap. A row is "ok", "FAILED" with the
    reason, or "not configured" with what to configure. --config is the server's settings file or a
    copy of it. A payment system is simulated with its token in $GALWAD_PAUSE_TOKEN. The exit status
    is 1 if a row failed, else 0.
    """
    from galwad.simulate.matrix import MatrixOptions, run_matrix  # noqa: PLC0415 - see above
    from galwad.simulate.payments import PAYMENTS  # noqa: PLC0415 - see above

    run_matrix(
        PAYMENTS,
        MatrixOptions(
            number=number,
            sip=sip,
            answer=answer,
            identity=identity,
            settings=load_settings(config),
            caller=caller,
            outside=outside or (),
            card=card,
            advisor=advisor,
            bind=bind,
            transport=transport,
            tls_ca=tls_ca,
            srtp=srtp,
            password_stdin=password_stdin,
            only=only or (),
            parallel=parallel,
            server=server,
            json=json,
        ),
    )


@app.command(
    epilog="Example: galwad simulate transfers 01970000000 --sip 192.0.2.10 --answer 201 "
    "--answer 301 --outside 900 --identity ~/galwad-keys/identity.txt"
)
def transfers(
    number: Number,
    *,
    sip: Sip,
    identity: Identity,
    answer: Annotated[list[str] | None, _ANSWERING] = None,
    config: Config = DEFAULT_PATH,
    outside: Outside = None,
    pbx_answer: Annotated[
        list[str] | None,
        typer.Option(
            help="An extension at the PBX. Give two: that of an advisor, then that of a department."
        ),
    ] = None,
    pbx_line: Annotated[
        str, typer.Option(help="The line that leads to the PBX, if NUMBER does not.")
    ] = "",
    caller: Caller = DEFAULT_CALLER,
    bind: Bind = "",
    transport: Transport = PhoneTransport.UDP,
    tls_ca: TlsCa = None,
    srtp: Srtp = SrtpPolicy.OPTIONAL,
    password_stdin: PasswordStdin = False,
    only: Only = None,
    parallel: Parallel = 4,
    server: Server = "",
    json: Json = False,
) -> None:
    """Try each kind of transfer by phones with real calls, and judge each recording.

    Each row is one call between phones of this command, which speak throughout. The recording must
    cease at the point of transfer in the settings, go on when the caller returns, and contain
    nothing of a consultation. With --pbx-answer, the PBX behind Galwad also makes transfers: these
    rows show whether Galwad sees them. A row is "ok", "FAILED" with the reason, "not configured"
    with what to configure, or "not applicable" if the settings have no PBX. --config is the
    server's settings file or a copy of it. The exit status is 1 if a row failed, else 0.
    """
    from galwad.simulate.matrix import MatrixOptions, run_matrix  # noqa: PLC0415 - see above
    from galwad.simulate.transfers import TRANSFERS  # noqa: PLC0415 - see above

    run_matrix(
        TRANSFERS,
        MatrixOptions(
            number=number,
            sip=sip,
            answer=answer or (),
            identity=identity,
            settings=load_settings(config),
            caller=caller,
            outside=outside or (),
            pbx_answer=pbx_answer or (),
            pbx_line=pbx_line,
            bind=bind,
            transport=transport,
            tls_ca=tls_ca,
            srtp=srtp,
            password_stdin=password_stdin,
            only=only or (),
            parallel=parallel,
            server=server,
            json=json,
        ),
    )
