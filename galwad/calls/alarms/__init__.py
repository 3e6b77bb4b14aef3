"""Alarms that supervisors handle: kinds, list, database table, endpoints and commands."""
