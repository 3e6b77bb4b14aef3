"""Files and disks: atomic writes, and disks that fail or do not answer. Knows no format."""
