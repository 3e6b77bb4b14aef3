"""SIP messages (RFC 3261 sections 7, 19, 20 and 25): bytes, headers, bodies and header values."""
