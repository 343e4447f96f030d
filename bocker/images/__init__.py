"""Images that come in and go out: the engine's images put together with the registry's protocol and formats.

The room above `engine` and `registry`. Every public function takes `kernel: Kernel, settings: Settings`
first, returns values, prints nothing, and raises `BockerError`. None of it is imported by `run` and `exec`.
"""
