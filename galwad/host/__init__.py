"""The parts of the desk that all subjects share, such as the HTTP server and the database.

No module here imports a subject, such as calls or notes.
"""
