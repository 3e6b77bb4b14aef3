"""The finaliser process: it turns spools into recordings, which it reports to the desk.

Only the finaliser decrypts and decodes recorded audio, in memory only. Because strangers sent this
data, the finaliser does not use the network.
"""
