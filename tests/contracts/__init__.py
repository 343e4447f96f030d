"""What both kernels must do: a class a port, bound to the fake in `tests/unit` and to Linux in `tests/system`."""
