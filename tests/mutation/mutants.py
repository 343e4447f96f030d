"""What can be changed in a module: the operators of mutmut, and three of ours.

As with mutmut, what runs when a module is imported is left alone (constants, class bodies, defaults,
decorators), and annotations, docstrings and the arguments of `len` and `isinstance`. Of its changes of
arguments those are left out that any test finds, for they would only make the score look better: a
positional argument less that others come after, and None for the kernel, the settings or the state of the fake.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal

UNCHANGED_CALLS = ("len", "isinstance", "cast")
VITAL = frozenset({"kernel", "settings", "state"})
TELLING = frozenset({"Doing", "notice", "operation_failed", "OperationFailed"})
PARENTHESIZED = ("lpar", "rpar")


class Mutant(NamedTuple):
    """One change of one function."""

    path: str
    function: str
    first_line: int  # of the function, with its decorators
    statement_line: int  # where the innermost statement begins
    operator: str
    start: int
    end: int
    text: str  # what stands from start to end
    change: str  # one line for readers
    is_wording: bool  # a text for a person that is said otherwise, or left out

    @property
    def name(self) -> str:
        """What it is called where line numbers have changed since."""
        return f"{self.path} {self.function}: {self.change}"

    def apply(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]


def mutants_of(path: Path, root: Path) -> list[Mutant]:
    """Return all mutants of a module, as they stand in it."""
    source = path.read_text()
    finder = _Finder(str(path.relative_to(root)), source)
    MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True).visit(finder)
    return list(_numbered(finder.found))


def _numbered(mutants: Iterable[Mutant]) -> Iterator[Mutant]:
    """Tell apart what looks the same in one function."""
    seen: Counter[str] = Counter()
    for mutant in mutants:
        seen[mutant.name] += 1
        times = seen[mutant.name]
        yield mutant if times == 1 else mutant._replace(change=f"{mutant.change} ({times})")


def remove_statement(node: cst.Expr | cst.Raise) -> Iterator[cst.Pass]:
    """`f(x)` and `raise E` become `pass`."""
    if isinstance(node, cst.Raise) or isinstance(node.value, cst.Call):
        yield cst.Pass()


def negate_condition(node: cst.If | cst.While | cst.CompIf | cst.Assert) -> Iterator[cst.CSTNode]:
    """`if x` becomes `if not x`, where no operator of mutmut turns the condition."""
    if not isinstance(node.test, cst.Comparison | cst.UnaryOperation | cst.BooleanOperation):
        bracketed = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield cst.UnaryOperation(cst.Not(), bracketed)


def change_argument(node: cst.Call) -> Iterator[cst.Call]:
    """The changes of mutmut without those that fail at once: an argument that is None, or that is missing."""
    for changed in operator_arg_removal(node):
        if len(changed.args) < len(node.args):
            gone = next(index for index, one in enumerate(node.args) if one not in changed.args)
            if node.args[gone].keyword is None and _is_positional(node.args[gone + 1 :]):
                continue
        elif any(_is_vital(old) for old, new in zip(node.args, changed.args, strict=True) if old is not new):
            continue
        yield changed


def _is_positional(arguments: Sequence[cst.Arg]) -> bool:
    return bool(arguments) and arguments[0].keyword is None


def _is_vital(argument: cst.Arg) -> bool:
    return isinstance(argument.value, cst.Name) and argument.value.value in VITAL


def _lost(before: cst.Call, after: cst.CSTNode) -> list[cst.Arg]:
    """The arguments that a changed call has no more."""
    return [one for one in before.args if one not in after.args] if isinstance(after, cst.Call) else []


def _tells(call: cst.Call) -> bool:
    name = call.func.attr if isinstance(call.func, cst.Attribute) else call.func
    return isinstance(name, cst.Name) and name.value in TELLING


OPERATORS = (
    *(pair for pair in mutation_operators if pair[1] is not operator_arg_removal),
    (cst.Call, change_argument),
    ((cst.Expr, cst.Raise), remove_statement),
    ((cst.If, cst.While, cst.CompIf), negate_condition),
)


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ParentNodeProvider)

    def __init__(self, path: str, source: str) -> None:
        super().__init__()
        self.path, self.source = path, source
        self.found: list[Mutant] = []
        self.scopes: list[cst.FunctionDef | cst.ClassDef] = []
        self.statements: list[cst.CSTNode] = []
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._is_left_alone(node):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.scopes.append(node)
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            self.statements.append(node)
        if self._function() is not None:
            self.found += self._mutants(node)
        return True

    def on_leave(self, node: cst.CSTNode) -> None:
        if self.scopes and self.scopes[-1] is node:
            self.scopes.pop()
        if self.statements and self.statements[-1] is node:
            self.statements.pop()

    def _is_left_alone(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Parameters):
            return not (isinstance(node, cst.Parameters) and isinstance(self._parent(node), cst.Lambda))
        if isinstance(node, cst.If) and isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING":
            return True
        return isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value in UNCHANGED_CALLS

    def _function(self) -> cst.FunctionDef | None:
        """The outermost function or method that the visitor is in."""
        return next((scope for scope in self.scopes if isinstance(scope, cst.FunctionDef)), None)

    def _parent(self, node: cst.CSTNode) -> cst.CSTNode:
        return self.get_metadata(ParentNodeProvider, node)

    def _range(self, node: cst.CSTNode) -> CodeRange:
        return self.get_metadata(PositionProvider, node)

    def _mutants(self, node: cst.CSTNode) -> Iterator[Mutant]:
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                for changed in operator(node):
                    target = node.test if operator is negate_condition else node
                    yield self._mutant(target, changed, operator.__name__.removeprefix("operator_"))

    def _mutant(self, node: cst.CSTNode, changed: cst.CSTNode, operator: str) -> Mutant:
        where = self._range(node)
        start, end = self._offset(where.start.line, where.start.column), self._offset(where.end.line, where.end.column)
        text = _code(node, changed)
        function, names = self._function(), []
        for scope in self.scopes:
            names.append(scope.name.value)
            if scope is function:
                break
        first = min([self._range(function).start.line, *(self._range(d).start.line for d in function.decorators)])
        return Mutant(
            self.path,
            ".".join(names),
            first,
            self._range(self.statements[-1]).start.line,
            operator,
            start,
            end,
            text,
            self._change(start, end, text),
            self._is_wording(node, changed),
        )

    def _is_wording(self, node: cst.CSTNode, changed: cst.CSTNode) -> bool:
        gone = [old.value for old in _lost(node, changed)] if isinstance(node, cst.Call) else [node]
        if not gone or not all(isinstance(value, cst.BaseString) for value in gone):
            return False
        telling = isinstance(node, cst.Call) and _tells(node)
        while not isinstance(node, cst.Module) and not telling:
            node = self._parent(node)
            telling = isinstance(node, cst.Raise) or (isinstance(node, cst.Call) and _tells(node))
        return telling

    def _offset(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def _change(self, start: int, end: int, text: str) -> str:
        """The lines before and after, without what spaces they have."""
        left = self.source.rindex("\n", 0, start) + 1
        right = self.source.index("\n", end)
        before = self.source[left:right]
        after = self.source[left:start] + text + self.source[end:right]
        return " => ".join(re.sub(r"\s+", " ", side).strip() for side in (before, after))


def _code(node: cst.CSTNode, changed: cst.CSTNode) -> str:
    """The text for the place of `node`, whose own brackets stay where they are."""
    if all(getattr(node, side, None) and getattr(changed, side, None) is getattr(node, side) for side in PARENTHESIZED):
        changed = changed.with_changes(lpar=[], rpar=[])
    text = cst.Module(body=[]).code_for_node(changed).strip()
    return f"({text})" if isinstance(changed, cst.UnaryOperation) and "\n" in text else text
