"""Files and disks: atomic writes, and disks that fail or do not answer. It has no file formats."""
