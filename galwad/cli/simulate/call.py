"""`galwad simulate call`: simulate callers and advisors, and report whether each call succeeds."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from galwad.cli.simulate.actions import SimulatedCall
from galwad.cli.simulate.api_client import ApiClient
from galwad.cli.simulate.arguments import check_names, passwords_of
from galwad.cli.simulate.flow import simulate
from galwad.cli.simulate.judgement import judge_recording
from galwad.cli.simulate.load import LoadTest
from galwad.cli.simulate.phones import hush
from galwad.cli.simulate.plan import (
    DEFAULT_CALLER,
    DEFAULT_REFERENCE,
    KEYS,
    PauseBy,
    PhoneTransport,
    Plan,
    SipLogin,
    SrtpPolicy,
    locate,
)
from galwad.cli.simulate.steps import Report
from galwad.cli.support.client import base_url, client_settings
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.identities import read_identity
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command(
    epilog="Example: galwad simulate call 01970000000 --sip 192.0.2.10 --answer 201 "
    "--dtmf 123# --pause 3 --identity ~/galwad-keys/identity.txt"
)
def call(
    number: Annotated[str, typer.Argument(help="The number to call, as a trunk would.")],
    *,
    sip: Annotated[str, typer.Option(help="The server's SIP address: HOST[:PORT].")],
    answer: Annotated[
        list[str] | None,
        typer.Option(
            help="Register as this phone and answer. Twice: also answer after a transfer."
        ),
    ] = None,
    as_: Annotated[
        str,
        typer.Option(
            "--as", help="Call as this phone; by default as a trunk, by this machine's address."
        ),
    ] = "",
    caller: Annotated[
        str, typer.Option("--from", help="The number that the caller shows.")
    ] = DEFAULT_CALLER,
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="Read the phones' SIP passwords from standard input, a line each: --as, --answer.",
        ),
    ] = False,
    transport: Annotated[
        PhoneTransport, typer.Option(help="The transport between the phones and the server.")
    ] = PhoneTransport.UDP,
    tls_ca: Annotated[
        Path | None, typer.Option(help="For tls: a PEM file of the authorities to trust.")
    ] = None,
    srtp: Annotated[
        SrtpPolicy, typer.Option(help="The protection of the media.")
    ] = SrtpPolicy.OPTIONAL,
    bind: Annotated[
        str,
        typer.Option(help="The caller's own address, ADDRESS[:PORT], if the server must know it."),
    ] = "",
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
        typer.Option(help="Your identity: fetch the recording and judge it (`galwad login`)."),
    ] = None,
    reference: Annotated[
        str, typer.Option(help="The fetch's reference in the audit.")
    ] = DEFAULT_REFERENCE,
    server: Server = "",
    json: Json = False,
) -> None:
    """Place a call to a running Galwad, answer it, talk, and judge the result.

    This command controls both phones. Each phone sends noise instead of speech, and the noise is
    different in each run. Each step is reported: how long it took, what was received, and with
    --identity also what is in the recording. While the command runs, a real phone of the same
    extension rings too. With --calls, the command places many calls, at the rate of --rate calls
    each second. --calls cannot be combined with --dtmf, --pause, --transfer, --attended or
    --identity. The exit status is 1 if a step failed, else 0.
    """
    accounts = [name for name in (as_, *(answer or ())) if name]
    secrets = passwords_of(
        [f"SIP password of {account}" for account in accounts],
        "first --as, then each --answer",
        from_stdin=password_stdin,
    )
    known = [SipLogin(*pair) for pair in zip(accounts, secrets, strict=True)]
    plan = Plan(
        number=number,
        addresses=locate(sip, transport, bind, tls_ca),
        caller=caller,
        acts_as=known[0] if as_ else None,
        answering=tuple(known[1:] if as_ else known),
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
    _tell(_run(plan), json=json)


def _coherent(plan: Plan) -> None:
    inside = plan.dtmf or plan.pause or plan.transfer or plan.attended or plan.identity
    faults = (
        (
            any(key not in KEYS for key in plan.dtmf),
            f'--dtmf "{plan.dtmf}" has keys that phones do not have',
            "use 0-9, * and #",
        ),
        (
            bool(inside) and not plan.answering,
            "only with --answer: --dtmf, --pause, --transfer, --attended and --identity",
            "add --answer EXTENSION",
        ),
        (
            bool(plan.transfer and plan.attended),
            "--transfer and --attended cannot be combined",
            "leave out one of them",
        ),
        (
            plan.calls > 1 and bool(inside),
            "--calls only rings, answers and talks",
            "leave out --calls, or --dtmf, --pause, --transfer, --attended and --identity",
        ),
        (
            plan.calls > 1 and not plan.answering,
            "only with --answer: --calls",
            "add --answer EXTENSION",
        ),
        (
            0 < plan.pause < 1,
            "--pause is shorter than 1 second",
            "for example --pause 3",
        ),
    )
    for wrong, message, hint in faults:
        if wrong:
            raise CliError(message, hint, status=2)


def _run(plan: Plan) -> Report:
    api = _api_client(plan)
    hush()
    report = Report()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if plan.calls > 1:
            runner.run(LoadTest(plan).run(report))
            return report
        call = runner.run(simulate(plan, report, api))
    if plan.identity is not None and api is not None:
        _afterwards(plan, report, api, call)
    return report


def _api_client(plan: Plan) -> ApiClient | None:
    """Return the API client, None if unused; check its options before any phone rings."""
    by_api = plan.pause > 0 and plan.pause_by is PauseBy.API
    if plan.identity is None and not by_api:
        return None
    settings = client_settings()
    base_url(plan.api or settings.server)
    identities = read_identity(plan.identity).identities if plan.identity else ()
    return ApiClient(plan.api, os.environ.get("GALWAD_PAUSE_TOKEN", ""), identities)


def _afterwards(plan: Plan, report: Report, api: ApiClient, call: SimulatedCall | None) -> None:
    if plan.identity is None:
        return
    if call is None or not call.call_id:
        if all(step.name != "recording" for step in report.faults):
            report.skip("recording", "there is no complete call to look for")
        return
    try:
        there = api.recording(call.call_id, plan.reference)
    except CliError as error:
        report.fail("recording", error.message, error.hint)
        return
    report.ok("recording", f"{call.call_id}, sealed, fetched and opened", call_id=call.call_id)
    judge_recording(report, there, call.spoken)


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
