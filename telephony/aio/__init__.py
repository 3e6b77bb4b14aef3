"""The asyncio part of `telephony`: SIP sockets and connections, DNS, the media relay and ports."""
