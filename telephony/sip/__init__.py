"""The SIP core (RFC 3261) without I/O.

The core takes received bytes and the present time, and returns the messages that must be sent.
Applications start with the modules `endpoint` and `events`, and `registrar`, `registration` and
`keep_alive`. The layers below are `message`, `transport`, `transaction`, `compose`,
`client_request`, `dialog_addresses`, `dialog` and `ua`. A layer imports only from earlier layers.
"""
