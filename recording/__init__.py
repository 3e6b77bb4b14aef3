"""What may be stored, and how it is kept: policy, spool, archive, keys, index, audit. Knows nothing of SIP."""
