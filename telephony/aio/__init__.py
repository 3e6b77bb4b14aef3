"""The asyncio part of `telephony`: sockets, connections, the media relay and media ports."""
