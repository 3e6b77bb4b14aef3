"""The SIP core (RFC 3261): bytes and time in; datagrams, events, the next timer out. No I/O."""
