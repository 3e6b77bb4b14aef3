"""The coverage check: each answered call must have an index row and a recording, or a spool."""
