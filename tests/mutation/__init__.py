"""Mutation testing: code is changed in one place, and the unit tests must notice.

    tox run -e mutation                                    # engine and fakes, whole
    tox run -e mutation -- bocker/engine/run.py            # one module
    tox run -e mutation -- bocker/fakes --sample 30        # three in ten of its mutants
    tox run -e mutation -- bocker/engine --quick           # without the sweeps, then what survived with all tests:
    tox run -e mutation -- bocker/engine --survivors

`mutants` finds what can be changed, with the operators of mutmut and a few of ours; `selection` notes once which
test runs which line, and how long it takes; `lane` runs each mutant in a fork of a pytest that has
everything imported, the tests that run the changed line only, the fastest first; `report` counts. What
survived was read, and stands in `survivors.txt` with the reason why it may.
"""
