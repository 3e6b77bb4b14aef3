"""Measures SIP messages: µs of CPU to read and to write one, and to refuse a hostile one.

    python benchmarks/sip.py [--quick]

The messages are those of one call and one registration, as a phone sends them, and the RFCs'
torture messages from tests/. `read` is `parse_message`, and the fields that transactions and
dialogs read from every message. `write` is `bytes(message)` of a message that was read. `answer`
makes the response to a request and writes it. `spite` reads datagrams of growing length, each made
of one repetition: the ns per byte must not grow with the length. The last line is one JSON object.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from telephony.errors import TelephonyError
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address
from telephony.sip.message.messages import Request, parse_message, respond

LOCAL = Address("192.0.2.1", 5060)
PHONE = Address("192.0.2.20", 5060)
TORTURE = Path(__file__).parents[1] / "tests" / "telephony" / "sip" / "torture"

SDP = b"""v=0\r
o=- 3910000000 3910000000 IN IP4 192.0.2.20\r
s=-\r
c=IN IP4 192.0.2.20\r
t=0 0\r
m=audio 4000 RTP/AVP 9 8 0 101\r
a=rtpmap:9 G722/8000\r
a=rtpmap:8 PCMA/8000\r
a=rtpmap:0 PCMU/8000\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-15\r
a=ptime:20\r
a=sendrecv\r
"""

COMMON = b"""Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK-524287-1---0f3eb40b11f97a9c;rport\r
Max-Forwards: 70\r
From: "Si\xc3\xa2n Evans" <sip:201@pbx.example>;tag=5e00e125\r
To: <sip:01632960123@pbx.example>%b\r
Call-ID: wSSsR1c-lUjKuRhxr0iEKA..\r
CSeq: 1 %b\r
Contact: <sip:201@192.0.2.20:5060;transport=UDP>;+sip.instance="<urn:uuid:1f964334-d2b5>"\r
Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE\r
Supported: replaces, norefersub, timer\r
User-Agent: Desk Phone 5.6.1\r
"""

DIGEST = b"""Authorization: Digest username="201", realm="pbx.example", algorithm=SHA-256,\r
 nonce="AAABnVtqYpAAAAAAAAAAAZkq0ZkNXf2cR2Tn1Sx6VbE=", uri="sip:pbx.example", qop=auth,\r
 nc=00000001, cnonce="0a4f113b", response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8d"\r
"""


def with_body(head: bytes, body: bytes = b"") -> bytes:
    """Return a message with its body and Content-Length."""
    kind = b"Content-Type: application/sdp\r\n" if body else b""
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, kind, len(body), body)


MESSAGES = {
    "INVITE": with_body(
        b"INVITE sip:01632960123@pbx.example SIP/2.0\r\n" + COMMON % (b"", b"INVITE"), SDP
    ),
    "200 to INVITE": with_body(b"SIP/2.0 200 OK\r\n" + COMMON % (b";tag=9a", b"INVITE"), SDP),
    "BYE": with_body(b"BYE sip:201@192.0.2.1 SIP/2.0\r\n" + COMMON % (b";tag=9a", b"BYE")),
    "REGISTER": with_body(
        b"REGISTER sip:pbx.example SIP/2.0\r\n" + COMMON % (b"", b"REGISTER") + DIGEST
    ),
}

SPITE = {
    "headers": b"a: b\r\n",
    "folds": b"\r\n a",
    "quotes": b'"\\"',
    "hops": b"SIP/2.0/UDP h,",
    "brackets": b"<sip:a@h>,",
    "escapes": b"%00",
    "quoted NULs": b'"\\\0"',
}


def cost(work: Callable[[], object], seconds: float) -> float:
    """Return the median µs of CPU that `work` takes, over batches that fill `seconds`."""
    work()
    batch, spent = 1, 0.0
    while spent < seconds / 20:
        batch *= 2
        spent = timed(work, batch)
    samples = [timed(work, batch) / batch for _ in range(max(3, int(seconds / spent)))]
    return statistics.median(samples) * 1e6


def timed(work: Callable[[], object], times: int) -> float:
    """Return the seconds of CPU for `times` runs."""
    began = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - began


def read(data: bytes) -> object:
    """Read a message as the SIP core does."""
    message = parse_message(data)
    return message.via.branch, message.from_.tag, message.to.tag, message.cseq, message.contacts


def answer(request: Request) -> bytes:
    """Return a response to a request, as sent."""
    return bytes(respond(request, 200, to_tag="t"))


def of_messages(seconds: float) -> dict[str, dict[str, float]]:
    """Return the µs to read, write and answer each message."""
    rows: dict[str, dict[str, float]] = {}
    for name, data in MESSAGES.items():
        message = parse_message(data)
        row = {
            "bytes": len(data),
            "read_us": cost(partial(read, data), seconds),
            "write_us": cost(message.__bytes__, seconds),
        }
        if isinstance(message, Request):
            row["answer_us"] = cost(partial(answer, message), seconds)
        rows[name] = {key: round(value, 2) for key, value in row.items()}
    return rows


def of_torture(seconds: float) -> dict[str, float]:
    """Return the mean µs for one of the RFCs' torture messages, refused ones included."""
    corpus = [path.read_bytes() for path in sorted(TORTURE.glob("rfc*/*.dat"))]
    sound = [data for data in corpus if not refused(data)]

    def every() -> None:
        for data in corpus:
            refused(data)

    return {
        "messages": len(corpus),
        "read": len(sound),
        "read_us": round(cost(every, seconds) / len(corpus), 2),
    }


def refused(data: bytes) -> bool:
    """Return whether a message cannot be read."""
    try:
        parse_message(data)
    except TelephonyError:
        return True
    return False


def of_spite(lengths: tuple[int, ...], seconds: float) -> dict[str, dict[str, float]]:
    """Return the ns per byte that an endpoint needs to handle a datagram, by length."""
    rows: dict[str, dict[str, float]] = {}
    head = MESSAGES["BYE"].partition(b"Content-Length")[0]
    for name, unit in SPITE.items():
        row = {}
        for length in lengths:
            data = head + b"X: " + (unit * length)[: length - len(head)] + b"\r\n\r\n"
            row[str(length)] = round(cost(partial(deal, data), seconds) * 1e3 / length, 1)
        rows[name] = row
    return rows


def deal(data: bytes) -> None:
    """Let a new endpoint receive one datagram."""
    endpoint = Endpoint()
    endpoint.listen(LOCAL)
    endpoint.receive(data, PHONE, LOCAL, 1000.0)
    endpoint.outgoing()


def main() -> None:
    """Measure, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a second in all, and coarse")
    quick = parser.parse_args().quick
    seconds = 0.02 if quick else 1.0
    messages, torture = of_messages(seconds), of_torture(seconds)
    spite = of_spite((4096, 65000) if quick else (4096, 16384, 65000), seconds / 5)
    for name, row in messages.items():
        print(f"{name:14}", "  ".join(f"{key} {value:8.1f}" for key, value in row.items()))
    print("torture       ", "  ".join(f"{key} {value}" for key, value in torture.items()))
    for name, row in spite.items():
        print(
            f"{name:14}", "  ".join(f"{key} bytes: {value:6.1f} ns" for key, value in row.items())
        )
    result = {
        "benchmark": "sip",
        "python": platform.python_version(),
        "messages": messages,
        "torture": torture,
        "spite_ns_a_byte": spite,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
