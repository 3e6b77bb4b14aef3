"""The SIP core (RFC 3261) without I/O.

It takes received bytes and the present time, and returns the messages that must be sent.
Applications use the modules `endpoint` and `events`. Each package imports only from those before it
in this order: `message`, `transport`, `transaction`, `request`, `dialog`, `ua`.
"""
