"""The SIP core (RFC 3261), without I/O: bytes and time in; datagrams, events and next timer out.

Applications use `endpoint` and `events`. Each room imports only from those before it: `message`,
`transport`, `transaction`, `request`, `dialog`, `ua`; then `endpoint` and `events`, then
`registration` and `keep_alive`, which use an endpoint.
"""
