"""The coverage check, which runs once a day and on request.

It checks that each answered call is in the index and in the archive, or has a spool that is not
sealed yet.
"""
