"""The asyncio code around the protocol cores: sockets, connections, the media relay, ports."""
