"""Where the fixtures `world`, `fake_kernel` and `faults` come from."""

pytest_plugins = ["bocker.fakes.testing"]
