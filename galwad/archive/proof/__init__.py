"""Proof: the coverage of all calls, the promises of the notice, and the audit chain."""
