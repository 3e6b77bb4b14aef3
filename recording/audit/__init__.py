"""The audit chain: its entries and their hashes, its day keys, and the anchors of custodians."""
