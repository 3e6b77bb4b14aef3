"""The finaliser process: spools in, sealed recordings out, then word to the desk.

It speaks to no network, decodes what strangers sent, and is the only process that ever has
a call's audio in the clear, in memory.
"""

from galwad.finaliser.process import run

__all__ = ["run"]
