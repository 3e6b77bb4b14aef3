"""The thin asyncio shells around the protocol cores: sockets, relay and ports."""
