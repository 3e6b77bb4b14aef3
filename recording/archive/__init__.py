"""Archived recordings: sealing, manifests, headers, verification, disposal and backup."""
