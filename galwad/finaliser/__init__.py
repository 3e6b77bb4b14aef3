"""The finaliser process: turns spools into sealed recordings and reports them to the desk.

The finaliser uses no network, because it decodes data that strangers sent. Of the three processes,
only the finaliser decrypts and decodes recorded audio, and it does so in memory only.
"""

from galwad.finaliser.process import run

__all__ = ["run"]
