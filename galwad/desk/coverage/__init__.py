"""The coverage check, which runs once a day and on request.

For each answered call, the check looks for an index row and a recording in the archive, or for a
spool that is not sealed yet.
"""
