"""The log of calls: one row for each call, for the advisors' day and the supervisors' figures."""
