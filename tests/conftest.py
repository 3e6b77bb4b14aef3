"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says something of the machine's load, not of the code.
settings.register_profile("galwad", deadline=None)
settings.load_profile("galwad")
