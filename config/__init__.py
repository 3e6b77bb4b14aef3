"""The settings: their schema, their loader and a commented example.

Knows nothing of the other packages.
"""
