"""The lists of texts that an installation sets in English and in Welsh.

The settings have their first entries, except for teams. As soon as an administrator has changed a
list on the page, the list in the database counts.
"""
