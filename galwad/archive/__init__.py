"""The desk's view of the archive. The desk reads and indexes the recordings of the finaliser."""
