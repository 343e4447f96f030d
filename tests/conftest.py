"""For all tests: a property holds or it does not; how long it takes depends on what else the machine does."""

from hypothesis import settings

settings.register_profile("bocker", deadline=None)
settings.load_profile("bocker")
