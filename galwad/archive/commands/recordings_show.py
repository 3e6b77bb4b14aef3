"""`galwad recordings show`: show a recording as a timeline, or explain its gaps."""

from __future__ import annotations

import json as jsonlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import typer

from galwad.cli.support import timeline
from galwad.cli.support.client import ask
from galwad.cli.support.console import (
    CliError,
    centre_time,
    clock,
    console,
    date_and_time,
    one_line,
    print_json,
    size,
)
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import CallId, Json, Language, Server, checked_id, texts_in
from galwad.cli.support.page_texts import Texts
from galwad.cli.support.timeline import PARTLY, TimelineSpan
from recording.archive.accounting import packet_problems, silent_parties
from recording.archive.manifest import Manifest, PacketStretch, PartyPackets, read_manifest
from recording.errors import ManifestError

app = new_command()
_US: Final = 1_000_000
_NO_MANIFEST = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
"""The errors that can occur when a damaged or forged manifest is read."""
_SHORTEST_US: Final = 200_000
"""Shorter stretches without a voice are not drawn, because each resume causes a short one."""
_LATE: Final = "the sound may be from the gap before"
_FAULT: Final = "bold red"
_CAPTURED: Final = "captured-card"


@app.command(epilog="Example: galwad recordings show 20261125-093000-abcdefgh")
def show(
    call_id: CallId,
    *,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Explain each gap in a sentence: who or what caused it, and when."
        ),
    ] = False,
    language: Language = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Show the timeline of a recording: recorded parts and gaps, with their times and reasons.

    With --explain, each gap is a sentence instead, in Welsh or English: when recording stopped and
    started again, the cause, the person or system, and the number of the audit entry that proves
    it. The audit has entries about pauses on the page and through the API. Any other cause is in
    the signed manifest, and the audit has its digest. If an entry is missing, the sentence says so.
    """
    if explain:
        _explain(call_id, language, server, json=json)
        return
    if language:
        raise CliError("--language needs --explain", "add --explain", status=2)
    detail = ask(server, "GET", f"/recordings/{checked_id(call_id)}")
    if json:
        print_json(detail)
        return
    row = detail["recording"]
    manifest = detail["manifest"]
    spans = timeline.spans_of_row(row, _segments(manifest), partly_recorded(manifest))
    out = console()
    width, plain = timeline.layout(out)
    out.print(f"{row['call_id']}   {row['line']}", style="bold")
    out.print(f"{date_and_time(row['started'])}   {_who(row)}")
    for caller in row.get("later_callers", ()):
        out.print(f"from {clock(caller['from_us'] / _US)} on   caller {_number(caller)}")
    for party in row.get("later_advisors", ()):
        out.print(f"from {clock(party['from_us'] / _US)} on   {_advisor(party)}")
    out.print()
    out.print(timeline.draw(spans, width, plain=plain))
    out.print(timeline.scale(spans, width), style="dim")
    out.print()
    for text in timeline.table(spans, plain=plain):
        out.print(text)
    kept = clock(timeline.recorded_us(spans) / _US)
    out.print(
        f"\n{kept} recorded of {clock(row['talk_s'])} talk, {size(row['payload_size'])} sealed"
    )
    for party in row.get("network", ()):
        out.print(_network(party))
    for line, style in packet_lines(detail["manifest"]):
        out.print(line, style=style, markup=False, highlight=False)
    _warn(row, detail["manifest"])
    _captured_cards(detail)
    _custody(detail)


def _explain(call_id: str, language: str, server: str, *, json: bool) -> None:
    texts = texts_in(language)
    found = ask(server, "GET", f"/recordings/{checked_id(call_id)}/gaps")
    if json:
        print_json(with_sentences(found, texts))
        return
    for line in explanation_lines(found, texts):
        console().print(line)


def _who(row: dict[str, Any]) -> str:
    if not row.get("named", True):
        return "caller, line and advisor unknown: the row was made from the manifest"
    return f"caller {row['number'] or 'no number'}   {_advisor(row)}"


def _advisor(party: dict[str, Any]) -> str:
    at = f" at {party['extension']}" if party["extension"] else ""
    return f"advisor {party['advisor'] or 'unknown'}{at}"


def _number(caller: dict[str, Any]) -> str:
    return "withheld" if caller["withheld"] else caller["number"] or "no number"


def _network(party: dict[str, Any]) -> str:
    mos = "no estimate" if party["mos"] is None else f"MOS {party['mos']:.1f} (estimate)"
    sent = party["received"] + party["lost"]
    share = f"{100 * party['lost'] / sent:.1f} %" if sent else "0 %"
    lost = f"{party['lost']} of {sent} packets lost by the network ({share}"
    lost += f", at most {party['longest_loss']} together)" if party["lost"] else ")"
    jitter = f"jitter {party['jitter_us'] / 1000:.1f} ms, at most"
    jitter += f" {party['jitter_most_us'] / 1000:.1f} ms"
    others = [f"{party[name]} {name}" for name in ("late", "duplicate") if party[name]]
    return f"{party['channel']}: " + ", ".join([mos, lost, jitter, *others])


def _segments(manifest: str | None) -> list[int]:
    try:
        segments = jsonlib.loads(manifest or "")["manifest"]["segments"]
        return [int(segment["from_us"]) for segment in segments]
    except _NO_MANIFEST:
        return []


def _warn(row: dict[str, Any], manifest: str | None) -> None:
    out = console()
    if row["unexplained_s"]:
        out.print(f"! {row['unexplained_s']:.1f} s are unexplained", style="bold red")
    if row.get("raw_size"):
        out.print(
            f"! {_raw(manifest)} could not be decoded: `fetch --raw` fetches them as they arrived"
        )
    if row["interrupted"]:
        out.print("! interrupted: the recorder stopped during this call", style="bold red")
    if manifest is None:
        out.print("! the manifest is missing from the archive", style="bold red")


def _raw(manifest: str | None) -> str:
    try:
        return f"{int(jsonlib.loads(manifest or '')['manifest']['raw']['packets'])} packets"
    except _NO_MANIFEST:
        return "some packets"


def _captured_cards(detail: dict[str, Any]) -> None:
    out = console()
    for incident in detail.get("captured_cards", []):
        start, end = (clock(incident[name] / _US) for name in ("from_us", "to_us"))
        detected = date_and_time(incident["detected"])
        found = f"a card number was keyed at {start} - {end}, found {detected}"
        if incident["state"] == "open":
            out.print(f"! {found}: `galwad recordings purge --captured-card`", style="bold red")
            continue
        out.print(f"{found}, closed {date_and_time(incident['closed'])}", style="bold")
        out.print(f"    missing trigger: {incident['missing_trigger']}", markup=False)
        out.print(f"    changed: {incident['changed']}", markup=False)


def _custody(detail: dict[str, Any]) -> None:
    out = console()
    for flag in detail.get("flags", ()):
        since = date_and_time(flag["since"])
        out.print(f"{flag['flag']} since {since}: {flag['reason']}", style="bold", markup=False)
    term = detail.get("term")
    if term is not None and term["due"] is None:
        out.print(f"kept until a person disposes of it ({term['category']})", markup=False)
    elif term is not None:
        out.print(f"kept until {date_and_time(term['due'])} ({term['category']})", markup=False)
    for hold in detail.get("holds", ()):
        line = f"retained for legal hold {hold['hold_id']}: {hold['reference']}"
        out.print(line, style="bold", markup=False)
    if detail.get("kept_until"):
        out.print(f"released; kept at least until {date_and_time(detail['kept_until'])}")
    if detail.get("disposal"):
        out.print("! disposed of: `galwad recordings verify` shows its certificate", style="bold")


def packet_lines(manifest: str | None) -> Iterator[tuple[str, str]]:
    """Yield the lines about a recording's packets, each with its style.

    There is one line for each party: packets received, stored, not stored and lost. Then, if there
    are any: incomplete counts, packets that were not stored after a gap, silent parties, and counts
    that do not add up. There are no lines if the manifest is None, damaged, or of older software.
    """
    try:
        read = read_manifest((manifest or "").encode())
    except ManifestError:
        return
    if read.packets is None:
        return
    for track in read.tracks:
        yield _line(track.channel, _of(read, track.channel)), ""
    if not all(stretch.complete for stretch in read.packets):
        yield "the packet counts are incomplete: the recorder stopped during this call", ""
    for stretch in read.packets:
        for party in stretch.parties:
            if party.dropped.get("late"):
                yield _late(stretch, party), ""
    for silent in silent_parties(read):
        start, end = clock(silent.from_us / _US), clock(silent.to_us / _US)
        yield f"! the {silent.channel} is silent from {start} to {end}: {silent.text}", "bold"
    for problem in packet_problems(read):
        yield f"! {problem}", _FAULT


def partly_recorded(manifest: str | None) -> Iterator[TimelineSpan]:
    """Yield the stretches, each after a gap, in which packets of a party were not stored.

    The packets may have sound from the gap. `manifest` is the text of its file; None if missing.
    """
    try:
        stretches = read_manifest((manifest or "").encode()).packets or ()
    except ManifestError:
        return
    for stretch in stretches:
        missing = {
            party.channel: min(stretch.from_us + party.late_us, stretch.to_us)
            for party in stretch.parties
            if party.dropped.get("late") and party.late_us >= _SHORTEST_US
        }
        at = stretch.from_us
        for end in sorted(set(missing.values())):
            voices = " and ".join(name for name, until in missing.items() if until >= end)
            yield TimelineSpan(PARTLY.name, at, end, f"without the {voices}: {_LATE}")
            at = end


def _of(manifest: Manifest, channel: str) -> list[PartyPackets]:
    stretches = manifest.packets or ()
    return [party for each in stretches for party in each.parties if party.channel == channel]


def _line(channel: str, parties: Iterable[PartyPackets]) -> str:
    sums: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for party in parties:
        sums["received"] += party.received or 0
        sums["stored"] += party.stored or 0
        for name in ("unreadable", "refused", "unwanted", "lost_by_network", "lost_by_kernel"):
            sums[name] += getattr(party, name)
        dropped.update(party.dropped)
    text = f"{channel}: {sums['received']} packets received, {sums['stored']} stored"
    if dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        text += f", {dropped.total()} not stored ({reasons})"
    text += f"; lost: {sums['lost_by_network']} by the network"
    text += f", {sums['lost_by_kernel']} by the kernel"
    for name in ("unreadable", "refused", "unwanted"):
        text += f", {sums[name]} {name}" if sums[name] else ""
    return text


def _late(stretch: PacketStretch, party: PartyPackets) -> str:
    count = party.dropped["late"]
    packets = "1 packet" if count == 1 else f"{count} packets"
    return (
        f"{party.channel}: {packets} not stored in the {party.late_us / 1000:.0f} ms after "
        f"{clock(stretch.from_us / _US)}, because {_LATE}"
    )


def with_sentences(explanation: dict[str, Any], texts: Texts) -> dict[str, Any]:
    """Return the server's explanation, with the text `sentence` added to each gap."""
    gaps = [{**gap, "sentence": sentence(gap, texts)} for gap in explanation["gaps"]]
    return {**explanation, "gaps": gaps}


def explanation_lines(explanation: dict[str, Any], texts: Texts) -> list[str]:
    """Return the explanation as lines of text: the call, one line for each gap, and warnings."""
    started = centre_time(explanation["started"])
    found = [
        texts.text(
            "explain.header",
            call_id=explanation["call_id"],
            date=started.strftime("%Y-%m-%d"),
            time=_time(explanation["started"]),
            length=texts.duration(explanation["talk_us"]),
        )
    ]
    if not explanation["signed"]:
        found.append(texts.text("explain.unsigned"))
    found += [sentence(gap, texts) for gap in explanation["gaps"]]
    unexplained = explanation["unexplained_us"]
    if not explanation["gaps"]:
        whole = explanation["signed"] and not unexplained
        found.append(texts.text("explain.none" if whole else "explain.none.listed"))
    if unexplained:
        found.append(texts.text("explain.unexplained", length=texts.duration(unexplained)))
    # The actor in a manifest may have any characters.
    return [one_line(line) for line in found]


def sentence(gap: dict[str, Any], texts: Texts) -> str:
    """Return the explanation of one gap: its time, its cause, what follows, and its audit entry."""
    values = {
        "time": _time(gap["began"]),
        "position": clock(gap["from_us"] / _US),
        "length": texts.duration(gap["to_us"] - gap["from_us"]),
    }
    if gap["reason"] == _CAPTURED:
        return f"{texts.text('explain.captured', **values)} {_proof(gap, texts)}"
    key = "explain.erased" if gap["reason"] == "erased" else "explain.stopped"
    parts = [texts.text(key, cause=_cause(gap, texts), **values)]
    if gap["reason"] == "fault":
        parts.append(texts.text("explain.fault"))
    # An erased stretch ends where its pause begins, so no sentence says that a gap follows.
    if gap["reason"] != "erased" or gap["then"] != "gap":
        parts.append(texts.text(f"explain.then.{gap['then']}", time=_time(gap["ended"])))
    parts.append(_proof(gap, texts))
    return " ".join(parts)


def _cause(gap: dict[str, Any], texts: Texts) -> str:
    actor = _actor(gap["actor"], texts)
    reason, trigger = gap["reason"], gap["trigger"]
    # The erased stretch belongs to the pause that follows, and has its trigger.
    key = f"explain.cause.{'payment' if reason == 'erased' else reason}.{trigger}"
    if key in texts:
        return texts.text(key, actor=actor)
    if reason == "fault":
        return texts.text("explain.cause.fault.other", trigger=trigger or "-", actor=actor)
    return texts.text("explain.cause.other", reason=reason, trigger=trigger or "-", actor=actor)


def _actor(actor: str, texts: Texts) -> str:
    """Return the actor in words: `user:sian` is "sian", and `phone:201` is "phone 201"."""
    kind, _, name = actor.partition(":")
    if kind == "user" and name:
        return name
    if name and f"holder.{kind}" in texts:
        return texts.text(f"holder.{kind}", name=name)
    if actor == "system":
        return texts.text("explain.actor.system")
    return actor or texts.text("explain.actor.unknown")


def _proof(gap: dict[str, Any], texts: Texts) -> str:
    seq, resumed = gap["stopped_by"], gap["resumed_by"]
    if gap["proof"] == "missing":
        return texts.text("explain.proof.missing")
    key = "explain.proof.entry" if gap["proof"] == "entry" else "explain.proof.manifest"
    if resumed is None:
        return texts.text(key, seq=seq)
    key = "explain.proof.resumed" if gap["proof"] == "entry" else f"{key}.resumed"
    return texts.text(key, seq=seq, resumed=resumed)


def _time(epoch: float) -> str:
    return f"{centre_time(epoch):%H:%M:%S %Z}"
