"""The finaliser process: it turns spools into recordings, which it reports to the desk.

On the server, only the finaliser decrypts and decodes recorded audio, and only in memory. Because
strangers sent this data, the finaliser does not use the network.
"""
