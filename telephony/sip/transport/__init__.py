"""The transport layer without its sockets (RFC 3261 section 18): addresses, messages to send."""
