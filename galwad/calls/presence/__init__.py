"""The presence of advisors: who is available, on a break, in wrap-up, on a call or offline.

A user chooses only between available and a break. Everything else follows from the calls, the open
pages and the registered phones.
"""
