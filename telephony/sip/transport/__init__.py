"""The transport layer without its sockets (RFC 3261 18): addresses, and messages to be sent."""
