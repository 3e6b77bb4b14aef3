"""The SIP core (RFC 3261), without I/O: bytes and time in; datagrams, events and next timer out."""
