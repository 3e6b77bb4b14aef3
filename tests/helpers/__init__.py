"""Helpers of the tests of several modules: fakes, recorded facts, programs and measurements."""
