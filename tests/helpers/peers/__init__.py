"""Helpers of the tests that drive real programs: the service, its peers, and how they are judged."""
