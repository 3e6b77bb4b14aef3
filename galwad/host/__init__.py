"""The desk's host: HTTP server and API, database, connections, metrics, and the link to the switch.

Nothing here knows a subject, such as calls or notes.
"""
