"""The asyncio shells around the protocol cores: sockets, connections, the media relay, ports."""
