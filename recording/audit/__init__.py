"""The audit chain: entries and their hashes, the signing key of each day, and the anchors."""
