"""The user agent (RFC 3261 8, 13): the handles of requests, and what arrives for them."""
