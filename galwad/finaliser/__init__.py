"""The finaliser process: it turns spools into encrypted recordings and reports them to the desk.

The finaliser decodes data that strangers sent, so it does not use the network. Only the finaliser,
and neither the switch nor the desk, decrypts and decodes recorded audio. It does so only in memory.
"""

from galwad.finaliser.process import run

__all__ = ["run"]
