"""`galwad simulate payments`: try every trigger and order of payment pauses with real calls."""

from __future__ import annotations

from typing import Annotated

import typer

from galwad.cli.simulate.matrix import command as matrix
from galwad.cli.simulate.matrix.payment_rows import PAYMENTS
from galwad.cli.simulate.plan import DEFAULT_CALLER, PhoneTransport, SrtpPolicy
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, Server, load_settings

app = new_command()


@app.command(
    epilog="Example: galwad simulate payments 01970000000 --sip 192.0.2.10 --answer 201 "
    "--advisor sian --identity ~/galwad-keys/identity.txt"
)
def payments(
    number: matrix.Number,
    *,
    sip: matrix.Sip,
    answer: matrix.Answering,
    identity: matrix.Identity,
    config: Config = DEFAULT_PATH,
    advisor: Annotated[
        str, typer.Option(help="The user at that extension: also pause on their page.")
    ] = "",
    outside: matrix.Outside = None,
    card: Annotated[
        bool,
        typer.Option("--card", help="Also key a test card number outside a pause: an incident."),
    ] = False,
    caller: matrix.Caller = DEFAULT_CALLER,
    bind: matrix.Bind = "",
    transport: matrix.Transport = PhoneTransport.UDP,
    tls_ca: matrix.TlsCa = None,
    srtp: matrix.Srtp = SrtpPolicy.OPTIONAL,
    password_stdin: matrix.PasswordStdin = False,
    only: matrix.Only = None,
    parallel: matrix.Parallel = 4,
    server: Server = "",
    json: Json = False,
) -> None:
    """Try each trigger of a payment pause with a real call, and judge each recording.

    Each row is one call between phones of this command, in which both parties speak throughout. The
    command pauses and resumes in the row's order, fetches the recording, and checks its gaps, its
    silence, its speech, and that no packet was stored in a gap. A row is "ok", "FAILED" with the
    reason, or "not configured" with what to configure. --config is the server's settings file or a
    copy of it. A payment system is simulated with its token in $GALWAD_PAUSE_TOKEN. The exit status
    is 1 if a row failed, else 0.
    """
    matrix.run_matrix(
        PAYMENTS,
        matrix.MatrixOptions(
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
