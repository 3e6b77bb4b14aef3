"""The audit: an append-only hash chain, its day keys, and the anchors that others keep."""
