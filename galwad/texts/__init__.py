"""The lists of texts that an installation sets in English and in Welsh.

The settings have the first entries of three lists. The reasons for no note are a part of Galwad,
and the list of teams is empty at first. After an administrator has changed a list, the list in the
database replaces its first entries, until it is reset.
"""
