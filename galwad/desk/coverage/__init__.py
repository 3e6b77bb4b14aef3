"""The check of each answered call against index, archive and waiting spools, and its daily run."""
