"""Measures the SIP cost of a call: setup, talk and hang-up, beside a proxy and another B2BUA.

    python benchmarks/calls.py [--quick] [--calls 1000] [--rate 50] [--rounds 3] [--sippy auto]

SIPp calls at 127.0.0.2, and SIPp answers at 127.0.0.3. Between them stand, one after another in
each round: the real switch (it anchors media, opens and closes a recording's spool, and keeps the
checkpoints), only `telephony`'s B2BUA (no media, nothing stored), Kamailio as a stateful proxy that
record-routes, and sippy's B2BUA. A call is INVITE, 180, 200, ACK, BYE, 200 on both sides; no RTP is
sent. The result is the CPU time of each call, and the ratios within a round. CPU time is counted
from a program's first call of a round to its first call of the next, so that it includes the timers
that clean up after a call. `--quick` leaves these timers out.

`--sippy PYTHON` is an interpreter that has the package `sippy`. `auto` creates a virtual
environment for it in a temporary folder and installs it there. Without this option there is no row
for sippy, and without Kamailio no row for Kamailio. `--profile FILE` runs only the switch, under
cProfile, which makes it five times as slow, so the rate is then 10. The last line is one JSON
object.
"""

import argparse
import contextlib
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from _common import (
    CALLEE,
    CALLER,
    SWITCH,
    answers,
    cpu_us,
    daemon,
    ends_within,
    found,
    free_port,
    machine,
    said,
    switch,
)

HERE = Path(__file__).parent
SCENARIOS = HERE / "sipp"
TALK_MS = 500
RATE = 50
PROFILED_RATE = 10
LATE_TIMERS_S = 33.0
"""64*T1 (RFC 3261 17.1): the time for which a UDP transaction is remembered, in seconds."""
KAMAILIO = """
debug=0
log_stderror=yes
children=1
auto_aliases=no
disable_tcp=yes
listen=udp:{host}:{port}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
request_route {{
    if (!mf_process_maxfwd_header("70")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ sl_send_reply("404", "Not Here"); exit; }}
        t_relay();
        exit;
    }}
    t_check_trans();
    if (is_method("INVITE")) record_route();
    $du = "sip:{callee}:{callee_port}";
    t_relay();
}}
"""
OPTIONS = (
    f"OPTIONS sip:{SWITCH} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER}:9;branch=z9hG4bKr;rport\r\n"
    f"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\n"
    "Max-Forwards: 0\r\nContent-Length: 0\r\n\r\n"
).encode()


# The programs under test


@dataclass
class Subject:
    """A program that calls go through, and its CPU time at the start of each round."""

    name: str
    port: int
    pid: int
    spent: list[float] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    failed: int = 0
    resent: int = 0

    def per_call(self) -> list[float]:
        """Return the CPU time of a call in µs, for each round."""
        rounds = zip(self.spent, self.spent[1:], self.answered, strict=False)
        return [(after - before) / max(calls, 1) for before, after, calls in rounds]


def galwad(stack: ExitStack, folder: Path, callee: int) -> Subject:
    """Start the real switch."""
    port = free_port(SWITCH)
    process = stack.enter_context(switch(folder, port, callee, 1000))
    return Subject("switch", port, process.pid)


def bare(stack: ExitStack, folder: Path, callee: int) -> Subject:
    """Start only the B2BUA of `telephony`."""
    port = free_port(SWITCH)
    command = [sys.executable, str(HERE / "_b2bua.py"), str(port), str(callee)]
    log = folder / "log"
    process = stack.enter_context(daemon(command, log, said(log, b"ready")))
    return Subject("b2bua", port, process.pid)


def kamailio(stack: ExitStack, folder: Path, callee: int, program: str) -> Subject:
    """Start a stateful proxy that stays in the path of the dialog."""
    port = free_port(SWITCH)
    text = KAMAILIO.format(host=SWITCH, port=port, callee=CALLEE, callee_port=callee)
    (folder / "kamailio.cfg").write_text(text, encoding="ascii")
    at = str(folder)
    command = [program, "-f", f"{at}/kamailio.cfg", "-DD", "-E", "-m", "128", "-Y", at, "-w", at]
    process = stack.enter_context(
        daemon(command, folder / "log", answers(SWITCH, port, OPTIONS, b" 483 "))
    )
    return Subject("kamailio", port, process.pid)


def sippy(stack: ExitStack, folder: Path, callee: int, python: str) -> Subject:
    """Start another B2BUA in Python, also without media; it writes no log."""
    port = free_port(SWITCH)
    command = ["env", "SIPLOG_BEND=none", python, "-m", "sippy.b2bua_simple", "-f"]
    command += ["-l", SWITCH, "-p", str(port), "-n", f"{CALLEE}:{callee}"]
    process = stack.enter_context(
        daemon(command, folder / "log", answers(SWITCH, port, OPTIONS, b"SIP/2.0 "))
    )
    return Subject("sippy", port, process.pid)


def with_sippy(folder: Path) -> str | None:
    """Return an interpreter of a new virtual environment with sippy; None without a network."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "sippy"]
    return python if subprocess.run(install, check=False).returncode == 0 else None


def subjects(stack: ExitStack, folder: Path, callee: int, python: str | None) -> list[Subject]:
    """Start every program that this machine has."""

    def place(name: str) -> Path:
        made = folder / name
        made.mkdir()
        return made

    started = [galwad(stack, place("switch"), callee), bare(stack, place("b2bua"), callee)]
    program = found("kamailio")
    if program is None:
        print("no kamailio here: no row of it")
    else:
        started.append(kamailio(stack, place("kamailio"), callee, program))
    if python is None:
        print("no sippy here: no row of it")
    else:
        started.append(sippy(stack, place("sippy"), callee, python))
    return started


# The calls


@contextlib.contextmanager
def callees(sipp: str, folder: Path, port: int) -> Iterator[None]:
    """Run a SIPp that answers every call."""
    command = [sipp, "-sf", str(SCENARIOS / "uas.xml"), "-i", CALLEE, "-p", str(port), "-nostdin"]
    with daemon(command, folder / "uas.log", lambda: True):
        time.sleep(0.5)  # it writes nothing when it is ready
        yield


def place_calls(sipp: str, folder: Path, port: int, count: int, rate: int) -> dict[str, int]:
    """Have SIPp place `count` calls; return how many were answered, failed and resent."""
    stats = folder / "uac.csv"
    stats.unlink(missing_ok=True)
    command = [
        *(sipp, f"{SWITCH}:{port}", "-sf", str(SCENARIOS / "uac.xml"), "-i", CALLER),
        *("-p", str(free_port(CALLER)), "-m", str(count), "-r", str(rate), "-d", str(TALK_MS)),
        *("-nostdin", "-trace_stat", "-stf", str(stats), "-fd", "1", "-timeout", "120"),
        *("-l", "2000"),
    ]
    subprocess.run(
        command, check=False, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with stats.open(encoding="utf-8", newline="") as lines:
        last = list(csv.DictReader(lines, delimiter=";"))[-1]
    names = {"answered": "SuccessfulCall(C)", "failed": "FailedCall(C)"}
    names["resent"] = "Retransmissions(C)"
    return {name: int(last[column]) for name, column in names.items()}


def measure(options: argparse.Namespace, python: str | None) -> dict[str, object]:
    """Run all rounds; return the figures."""
    sipp = found("sipp")
    if sipp is None:
        raise SystemExit("this benchmark needs sipp")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, callee = Path(name), free_port(CALLEE)
        stack.enter_context(callees(sipp, folder, callee))
        tested = subjects(stack, folder, callee, python)
        for subject in tested:  # so that the first call's one-time work is not measured
            place_calls(sipp, folder, subject.port, 20, options.rate)
        for _ in range(options.rounds):
            for subject in tested:
                subject.spent.append(cpu_us(subject.pid))
                became = place_calls(sipp, folder, subject.port, options.calls, options.rate)
                subject.answered.append(became["answered"])
                subject.failed += became["failed"]
                subject.resent += became["resent"]
                if options.quick:
                    subject.spent += [cpu_us(subject.pid)]
        if not options.quick:
            time.sleep(LATE_TIMERS_S)
            for subject in tested:
                subject.spent.append(cpu_us(subject.pid))
        return figures(tested, options)


def figures(tested: list[Subject], options: argparse.Namespace) -> dict[str, object]:
    """Return one row for each program, and the ratios of their costs."""
    rows = {}
    costs = {subject.name: subject.per_call() for subject in tested}
    for subject in tested:
        us = statistics.median(costs[subject.name])
        rows[subject.name] = {
            "us_per_call": round(us),
            "calls_per_cpu_second": round(1e6 / us),
            "answered": sum(subject.answered),
            "failed": subject.failed,
            "resent": subject.resent,
        }
    ratios = {
        f"{one}_to_{other}": round(
            statistics.median(a / b for a, b in zip(costs[one], costs[other], strict=True)), 2
        )
        for one, other in (
            ("switch", "b2bua"),
            ("switch", "kamailio"),
            ("b2bua", "kamailio"),
            ("switch", "sippy"),
            ("b2bua", "sippy"),
        )
        if one in costs and other in costs
    }
    return {
        "calls": options.calls,
        "rate": options.rate,
        "rounds": options.rounds,
        "programs": rows,
        "ratios": ratios,
    }


def profile(options: argparse.Namespace) -> None:
    """Run the switch under cProfile, with calls."""
    sipp = found("sipp") or "sipp"
    with tempfile.TemporaryDirectory() as name:
        folder, callee, port = Path(name), free_port(CALLEE), free_port(SWITCH)
        with (
            callees(sipp, folder, callee),
            switch(folder, port, callee, 1000, options.profile.resolve()),
        ):
            print(place_calls(sipp, folder, port, options.calls, options.rate))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for the number, rate and rounds of calls, and for sippy."""
    parser.add_argument("--calls", type=int, default=None, help="in each round")
    parser.add_argument("--rate", type=int, default=None, help="calls a second")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--sippy", default=None, help="an interpreter with sippy, or `auto`")


def run(options: argparse.Namespace) -> dict[str, object]:
    """Measure, and print a table."""
    options.calls = options.calls or (150 if options.quick else 1000)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.rate = options.rate or RATE
    with tempfile.TemporaryDirectory() as folder:
        python = with_sippy(Path(folder)) if options.sippy == "auto" else options.sippy
        result = measure(options, python)
    programs: dict[str, dict[str, int]] = result["programs"]  # type: ignore[assignment]
    for name, row in programs.items():
        print(f"{name:14}", "  ".join(f"{key} {value:6}" for key, value in row.items()))
    print("ratios        ", result["ratios"])
    return result


def main() -> None:
    """Measure, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round of 150 calls")
    parser.add_argument("--profile", type=Path, help="cProfile's output")
    arguments(parser)
    options = parser.parse_args()
    ends_within(900)
    if options.profile:
        options.calls = options.calls or 500
        options.rate = options.rate or PROFILED_RATE
        profile(options)
    else:
        print(json.dumps({"benchmark": "calls", "machine": machine(), **run(options)}))


if __name__ == "__main__":
    main()
