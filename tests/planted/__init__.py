"""Bugs that are planted to see whether the tests find them: `python -m tests.planted` (docs/proof.md, "Planted bugs").

A bug is an exact text of one file and what is put in its place. `plant` runs the tests that are to find it on
a copy of the tree, first as it is and then with the bug in it.
"""
