"""`galwad simulate transfers`: try every transfer that phones can make with real calls."""

from __future__ import annotations

from galwad.cli.simulate.matrix import command as matrix
from galwad.cli.simulate.matrix.transfer_rows import TRANSFERS
from galwad.cli.simulate.plan import DEFAULT_CALLER, PhoneTransport, SrtpPolicy
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, Server, load_settings

app = new_command()


@app.command(
    epilog="Example: galwad simulate transfers 01970000000 --sip 192.0.2.10 --answer 201 "
    "--answer 301 --outside 900 --identity ~/galwad-keys/identity.txt"
)
def transfers(
    number: matrix.Number,
    *,
    sip: matrix.Sip,
    identity: matrix.Identity,
    answer: matrix.AnsweringOrNone = None,
    config: Config = DEFAULT_PATH,
    outside: matrix.Outside = None,
    pbx_answer: matrix.PbxAnswering = None,
    pbx_line: matrix.PbxNumber = "",
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
    """Try each kind of transfer with a real call, and judge each recording.

    Each row is one call between phones of this command, which speak throughout. The recording must
    cease at the point of transfer in the settings, go on where the call returns, and contain
    nothing of a consultation. With --pbx-answer, the PBX behind Galwad also makes transfers: these
    rows show whether Galwad sees them. A row is "ok", "FAILED" with the reason, "not configured"
    with what to configure, or "not applicable" if the settings have no PBX. --config is the
    server's settings file or a copy of it. The exit status is 1 if a row failed, else 0.
    """
    matrix.run_matrix(
        TRANSFERS,
        matrix.MatrixOptions(
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
