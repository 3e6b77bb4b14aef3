"""The transport layer without its sockets (RFC 3261 section 18).

The modules contain addresses, messages to send, the responses to unparsed requests, and the search
for addresses by DNS.
"""
