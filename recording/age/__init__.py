"""The age v1 format (https://c2sp.org/age): headers, payloads, armor, passphrases, key files."""
