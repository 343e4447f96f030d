"""Other code for functions that there are, wherever they were imported to."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator
from types import CodeType, FunctionType

Place = tuple[str, str, int]
Functions = dict[Place, list[FunctionType]]


def functions_by_place() -> Functions:
    """Return all functions by file, name and first line of their code."""
    found: Functions = defaultdict(list)
    for function in gc.get_objects():
        if isinstance(function, FunctionType):
            found[_place(function.__code__)].append(function)
    return found


def give_code(module: CodeType, functions: Functions, only: Place | None = None) -> bool:
    """Give functions the code that they have in a module, or one of them and what is in it; tell whether it fits."""
    done = False
    for code in codes_of(module):
        if only is None:
            _give(code, functions)
        elif _place(code) == only:
            done = _give(code, functions)
            for inner in codes_of(code):  # what a decorator has made already
                _give(inner, functions)
    return done


def _give(code: CodeType, functions: Functions) -> bool:
    fitting = [found for found in functions.get(_place(code), ()) if found.__code__.co_freevars == code.co_freevars]
    for function in fitting:
        function.__code__ = code
    return bool(fitting)


def _place(code: CodeType) -> Place:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """All code within code."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from codes_of(constant)
