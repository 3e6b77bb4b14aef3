"""Messages as an LDAP server sends them (RFC 4511), right and wrong ones."""

from __future__ import annotations

BIND, ENTRY, DONE, REFERENCE, EXTENDED = 0x61, 0x64, 0x65, 0x73, 0x78


def ber(tag, *contents):
    """Return an element, whose length is written in four octets."""
    content = b"".join(contents)
    return bytes([tag, 0x84]) + len(content).to_bytes(4) + content


def result(code, text=b""):
    """Return the content of a result."""
    return ber(0x0A, bytes([code])) + ber(0x04) + ber(0x04, text)


def entry(dn, attributes):
    """Return the content of an entry."""
    found = [
        ber(0x30, ber(4, name), ber(0x31, *(ber(4, each) for each in values)))
        for name, values in attributes.items()
    ]
    return ber(4, dn) + ber(0x30, *found)


def message(number, operation, content, *controls):
    """Return a message with its id."""
    parts = [ber(0x02, bytes([number])), ber(operation, content)]
    return ber(0x30, *parts, *([ber(0xA0, *controls)] if controls else []))
