"""The lists of texts that an installation sets in English and in Welsh.

The lists are the purposes of calls, the reasons of breaks, the words of the reasons for which a
call needs no note, the names of lines, and the teams. The settings have their first entries, except
for teams. As soon as an administrator has changed a list on the page, the list in the database
counts.
"""
