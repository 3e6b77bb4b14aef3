"""The finaliser process: it turns spools into recordings, which it reports to the desk.

Because the finaliser decodes data that strangers sent, it does not use the network. Only the
finaliser, and neither the switch nor the desk, decrypts and decodes recorded audio. The decrypted
audio is only in memory.
"""
