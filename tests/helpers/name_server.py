"""A name server on loopback, which answers DNS queries from a table."""

from __future__ import annotations

import contextlib
import socket
import threading

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """Answers from `zone`, and ignores names that begin with `deaf`.

    `zone` has the records of each name and type, one a line.
    """

    def __init__(self, zone, host="127.0.0.1", port=0):
        self.zone = zone
        self.asked = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                data, address = self._socket.recvfrom(4096)
                if not data:
                    return
                reply = self._answer(data)
                if reply is not None:
                    self._socket.sendto(reply, address)

    def _answer(self, data):
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name.startswith("deaf"):
            return None
        reply = dns.message.make_response(query)
        records = self.zone.get((name, kind), "").splitlines()
        if records:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *records))
        elif name not in {known for known, _ in self.zone}:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()

    def end(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()
