"""One file a verb: each has `main(call)`, which asks the engine and prints its answer."""
