"""SIP messages (RFC 3261 7, 19, 20, 25): bytes, headers and bodies, and the values in them."""
