"""What the tests of several modules use: fakes, recorded facts, programs and measures."""
