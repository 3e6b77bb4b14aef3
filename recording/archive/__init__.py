"""Recordings at rest: sealing, manifest, headers, verification, disposal, backup."""
