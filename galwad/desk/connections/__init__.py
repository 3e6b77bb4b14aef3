"""The desk's HTTP connections: which are accepted, how long each may wait, and which are closed.

The rest of the desk sees only requests.
"""
