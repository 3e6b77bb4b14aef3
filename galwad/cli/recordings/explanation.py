"""Makes sentences in Welsh or English from the server's explanation of a recording's gaps."""

from __future__ import annotations

from typing import Any, Final

from galwad.cli.support.centre_time import centre_time
from galwad.cli.support.console import clock, one_line
from galwad.texts import Texts

_US: Final = 1_000_000
_CAPTURED: Final = "captured-card"


def with_sentences(explanation: dict[str, Any], texts: Texts) -> dict[str, Any]:
    """Return the server's explanation, with the text `sentence` added to each gap."""
    gaps = [{**gap, "sentence": sentence(gap, texts)} for gap in explanation["gaps"]]
    return {**explanation, "gaps": gaps}


def lines(explanation: dict[str, Any], texts: Texts) -> list[str]:
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
    # The pause that erased this stretch always follows it.
    if gap["reason"] != "erased" or gap["then"] != "gap":
        parts.append(texts.text(f"explain.then.{gap['then']}", time=_time(gap["ended"])))
    parts.append(_proof(gap, texts))
    return " ".join(parts)


def _cause(gap: dict[str, Any], texts: Texts) -> str:
    actor = _actor(gap["actor"], texts)
    reason, trigger = gap["reason"], gap["trigger"]
    # What was erased belongs to the pause that follows, and has its trigger.
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
