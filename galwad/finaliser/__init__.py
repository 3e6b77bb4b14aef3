"""The finaliser process: turns spools into sealed recordings and reports them to the desk.

It uses no network. It decodes data that strangers sent, and it is the only one of the three
processes that decrypts and decodes recorded audio, in memory only.
"""

from galwad.finaliser.process import run

__all__ = ["run"]
