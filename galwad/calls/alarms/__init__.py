"""Alarms that supervisors handle: their kinds, their list, and its table in the database."""
