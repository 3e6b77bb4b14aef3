"""Helpers of the tests that drive real programs: the service, its peers, their judges."""
