"""The user agent (RFC 3261 sections 8 and 13): the handles of requests, and received messages."""
