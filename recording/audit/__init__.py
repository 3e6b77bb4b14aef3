"""The audit chain: entries and their hashes, day keys, and the anchors that custodians keep."""
