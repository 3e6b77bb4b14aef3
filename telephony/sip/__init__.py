"""The SIP core (RFC 3261) without I/O.

The core takes received bytes and the present time, and returns the messages that must be sent.

Applications use the modules `endpoint` and `events`. Each package imports only from the packages
before it in this order: `message`, `transport`, `transaction`, `request`, `dialog`, `ua`. The
modules `endpoint` and `events` use all of these packages. The package `registration` and the module
`keep_alive` use an endpoint.
"""
