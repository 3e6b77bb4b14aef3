"""The lists of texts that an installation sets in English and in Welsh.

The settings have the first entries of three lists. Galwad has the reasons for no note, and there
are no teams at first. A list that an administrator has changed is in the database, and replaces the
first one.
"""
