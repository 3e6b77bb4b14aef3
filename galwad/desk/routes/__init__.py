"""The endpoints of the HTTP API, one file for each subject.

`galwad.desk.models` has a list of all endpoints.
"""
