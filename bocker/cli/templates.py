"""Templates of `--format`: what scripts use of Go's text/template, on values of JSON's types.

There are fields, variables, pipes, parentheses, literals, `if`, `with`, `range`, `else`, `end`, remarks and
`{{- -}}`; not there are templates in templates, `break` and `continue`. Nothing is executed but the
functions of `template_functions`. A field that is not there is an error, but where people choose the
names themselves, as with labels: such an object is of a class of its own, derived from `dict`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bocker.cli.template_functions import FUNCTIONS, Function, Method, finite, is_true, kind_of, refused, written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    Render = Callable[["Scope"], None]
    Evaluate = Callable[["Scope"], Any]

DEEPEST = 40
MOST_DIGITS = 18
_OPENING = re.compile(r"\{\{(?:-(?=\s))?")
_CLOSING = re.compile(r"\s+-\}\}|\s*\}\}")
_REMARK = re.compile(r"\s*/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |"(?P<string>(?:\\.|[^"\\\n])*)"
    |`(?P<raw>[^`]*)`
    |(?P<number>[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?!\w)
    |(?P<field>\.[^\W0-9]\w*)
    |(?P<variable>\$\w*)
    |(?P<word>[^\W0-9]\w*)
    |(?P<sign>:=|[.|(),=])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_CONSTANTS = {"true": True, "false": False, "nil": None}
_BLOCKS = frozenset({"if", "range", "with"})
_WORDS_OF_BLOCKS = _BLOCKS | {"else", "end"}
_NOT_HERE = frozenset({"block", "break", "continue", "define", "template", "call", "slice", "html", "js", "urlquery"})
_SHORT_CIRCUITS = {"and": False, "or": True}


class Template:
    """A template that was read. names: of all fields that it asks for."""

    def __init__(self, text: str) -> None:
        """Raise InvalidValue for a template that can't be read."""
        parser = _Parser(text)
        self._render = parser.whole()
        self.names = frozenset(parser.names)

    def render(self, data: object, functions: Mapping[str, Function] = FUNCTIONS) -> str:
        """Return what the template makes of a value; raise InvalidValue for a field that is not there."""
        scope = Scope(data, functions)
        self._render(scope)
        return "".join(scope.out)


class Scope:
    """What a template sees while it is carried out."""

    def __init__(self, data: object, functions: Mapping[str, Function]) -> None:
        self.dot = data
        self.functions = functions
        self.variables: list[tuple[str, Any]] = [("$", data)]
        self.out: list[str] = []

    def variable(self, name: str) -> Any:
        """Return the value of the variable of that name that was made last; the parser saw one."""
        return next(value for known, value in reversed(self.variables) if known == name)

    def assign(self, name: str, value: object) -> None:
        """Give a variable another value."""
        number = max(place for place, (known, _) in enumerate(self.variables) if known == name)
        self.variables[number] = (name, value)

    def inside(self, render: Render, dot: object) -> None:
        """Carry out a block with another dot; its variables end with it."""
        outer, known = self.dot, len(self.variables)
        self.dot = dot
        render(self)
        self.dot = outer
        del self.variables[known:]


class _Token:
    """A part of an action. spaced: there is a blank before it."""

    def __init__(self, kind: str, text: str, spaced: bool) -> None:
        self.kind = kind
        self.text = text
        self.spaced = spaced

    def __str__(self) -> str:
        return self.text if self.kind != "end" else "end of the action"


class _Parser:
    """Reads a template by descending; a block or a parenthesis goes one level down, to no more than DEEPEST."""

    def __init__(self, text: str) -> None:
        self.names: set[str] = set()
        self._parts = _split(text)
        self._place = 0
        self._tokens: list[_Token] = []
        self._next = 0
        self._variables = ["$"]
        self._depth = 0

    def whole(self) -> Render:
        render, ending = self._list()
        if ending:
            raise refused(f"unexpected {{{{{ending}}}}}")
        return render

    # Blocks

    def _list(self) -> tuple[Render, str]:
        """Read up to the end of a block, whose variables end with it; return what it does and what ended it."""
        known = len(self._variables)
        steps, ending = self._steps()
        del self._variables[known:]
        return _sequence(steps), ending

    def _steps(self) -> tuple[list[Render], str]:
        steps: list[Render] = []
        while self._place < len(self._parts):
            part = self._parts[self._place]
            self._place += 1
            if isinstance(part, str):
                steps.append(_text(part))
                continue
            self._tokens, self._next = part, 0
            word = self._peek().text if self._peek().kind == "word" else ""
            if word in ("else", "end"):
                self._take()
                return steps, word
            steps.append(self._block(self._take().text) if word in _BLOCKS else self._action())
        return steps, ""

    def _block(self, word: str) -> Render:
        self._descend()
        known = len(self._variables)
        if word == "range":
            render = self._range()
        else:
            render = self._branches(word == "with")
        del self._variables[known:]
        self._depth -= 1
        return render

    def _branches(self, changes_dot: bool) -> Render:
        branches: list[tuple[Evaluate, Render, bool]] = []
        while True:
            condition = self._pipeline(declares=True)
            self._end()
            body, ending = self._list()
            branches.append((condition, body, changes_dot))
            if ending == "else" and self._peek().text in ("if", "with") and self._peek().kind == "word":
                changes_dot = self._take().text == "with"
                continue
            return _choice(branches, self._otherwise(ending))

    def _range(self) -> Render:
        names = self._range_names()
        items = self._pipeline()
        self._end()
        self._variables += names
        body, ending = self._list()
        del self._variables[len(self._variables) - len(names) :]
        return _loop(items, names, body, self._otherwise(ending))

    def _range_names(self) -> list[str]:
        """Read `$value :=` or `$key, $value :=`, if it is there."""
        signs = [token.text for token in self._tokens[self._next : self._next + 4]]
        kinds = [token.kind for token in self._tokens[self._next : self._next + 4]]
        for count, pattern in ((2, ("variable", "sign")), (4, ("variable", "sign", "variable", "sign"))):
            if tuple(kinds[:count]) == pattern and signs[count - 1] == ":=" and signs[1] in (":=", ","):
                self._next += count
                return [name for name, kind in zip(signs[:count], kinds, strict=False) if kind == "variable"]
        return []

    def _otherwise(self, ending: str) -> Render:
        """Read what is left of a block after its body."""
        self._end()
        render: Render = _sequence([])
        if ending == "else":
            render, ending = self._list()
            self._end()
        if ending != "end":
            raise refused("unexpected EOF" if not ending else f"unexpected {{{{{ending}}}}}")
        return render

    # Actions

    def _action(self) -> Render:
        if self._peek().kind == "end":
            raise refused("missing value for command")
        silent = self._declares()
        value = self._pipeline(declares=True)
        self._end()
        return _silent(value) if silent else _shown(value)

    def _pipeline(self, declares: bool = False) -> Evaluate:
        declared = self._declared() if declares and self._declares() else None
        depth = self._depth
        value = self._command(None)
        while self._is_sign("|"):
            self._take()
            self._descend()
            value = self._command(value)
        self._depth = depth
        if declared is None:
            return value
        name, is_new = declared
        if is_new:
            self._variables.append(name)
        return _declaration(name, value) if is_new else _assignment(name, value)

    def _declares(self) -> bool:
        return self._peek().kind == "variable" and (self._is_sign(":=", 1) or self._is_sign("=", 1))

    def _declared(self) -> tuple[str, bool]:
        """Read `$name :=` or `$name =`; return the name, and whether it is new."""
        name, is_new = self._take().text, self._take().text == ":="
        if not is_new and name not in self._variables:
            raise refused(f'undefined variable "{name}"')
        return name, is_new

    def _command(self, piped: Evaluate | None) -> Evaluate:
        """Read a function or an operand with its arguments; what comes by a pipe is the last of them."""
        token = self._peek()
        if token.kind == "word" and token.text not in _CONSTANTS:
            name = self._function()
            return _call(name, self._arguments(piped))
        first = self._operand()
        arguments = self._arguments(piped)
        return _asked(first, arguments, str(token)) if arguments else first

    def _function(self) -> str:
        token = self._take()
        if token.text in _WORDS_OF_BLOCKS or token.text in _NOT_HERE:
            raise refused(f"unexpected <{token}>")
        if token.text not in FUNCTIONS and token.text not in _SHORT_CIRCUITS:
            raise refused(f'function "{token.text}" not defined')
        return token.text

    def _arguments(self, piped: Evaluate | None) -> list[Evaluate]:
        found: list[Evaluate] = []
        while self._peek().kind != "end" and not self._is_sign("|") and not self._is_sign(")"):
            token = self._peek()
            if not token.spaced and not self._is_sign("("):
                raise refused(f'unexpected "{token}" in operand')
            if token.kind == "word" and token.text not in _CONSTANTS:
                found.append(_call(self._function(), []))
            else:
                found.append(self._operand())
        return found if piped is None else [*found, piped]

    def _operand(self) -> Evaluate:
        """Read a literal, a field, a variable or what is in parentheses, and the fields of that."""
        token = self._take()
        if token.kind in ("string", "raw", "number") or token.text in _CONSTANTS:
            return _constant(_literal(token))
        if token.kind == "field":
            self._next -= 1
            return self._fields_of(_dot, "")
        if token.kind == "variable":
            value = self._variable(token.text)
        elif token.text == "(" and token.kind == "sign":
            value = self._parenthesis()
        elif token.text == "." and token.kind == "sign":
            value = _dot
        else:
            raise refused(f"unexpected <{token}> in operand")
        return self._fields_of(value, token.text)

    def _fields_of(self, value: Evaluate, before: str) -> Evaluate:
        names: list[str] = []
        while self._peek().kind == "field" and not (self._peek().spaced and (before or names)):
            if before == ".":
                raise refused("unexpected <.> in operand")
            names.append(self._take().text[1:])
        self.names.update(names)
        return _fields(value, names) if names else value

    def _variable(self, name: str) -> Evaluate:
        if name not in self._variables:
            raise refused(f'undefined variable "{name}"')
        return lambda scope: scope.variable(name)

    def _parenthesis(self) -> Evaluate:
        self._descend()
        value = self._pipeline()
        if not self._is_sign(")"):
            raise refused("unclosed left paren")
        self._take()
        self._depth -= 1
        return value

    # Tokens

    def _peek(self, ahead: int = 0) -> _Token:
        place = self._next + ahead
        return self._tokens[place] if place < len(self._tokens) else _Token("end", "", True)

    def _is_sign(self, text: str, ahead: int = 0) -> bool:
        token = self._peek(ahead)
        return token.kind == "sign" and token.text == text

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _end(self) -> None:
        if self._peek().kind != "end":
            raise refused(f"unexpected <{self._peek()}> in command")

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise refused(f"nested more than {DEEPEST} deep")


def _split(text: str) -> list[str | list[_Token]]:
    """Return the parts of a template: texts, and actions as their tokens."""
    parts: list[str | list[_Token]] = []
    place, trims = 0, False
    while True:
        opening = _OPENING.search(text, place)
        plain = text[place : opening.start() if opening else len(text)]
        plain = plain.lstrip() if trims else plain
        parts.append(plain.rstrip() if opening and opening[0].endswith("-") else plain)
        if opening is None:
            break
        tokens, place, trims = _tokens(text, opening.end())
        if tokens is not None:
            parts.append(tokens)
    return [part for part in parts if part != ""]


def _tokens(text: str, place: int) -> tuple[list[_Token] | None, int, bool]:
    """Return the tokens of an action (None for a remark), where it ends, and whether it trims what follows."""
    remark = _REMARK.match(text, place)
    tokens: list[_Token] = []
    place, spaced = remark.end() if remark else place, False
    while not (closing := _CLOSING.match(text, place)):
        found = None if remark else _TOKEN.match(text, place)
        if found is None:
            raise refused(f"unexpected {text[place]!a} in operand" if place < len(text) else "unclosed action")
        place = found.end()
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(_Token(kind, found[kind], spaced or not tokens))
        spaced = kind == "space"
    return None if remark else tokens, closing.end(), closing[0].endswith("-}}")


def _literal(token: _Token) -> Any:
    if token.kind == "raw":
        return token.text
    if token.kind == "string":
        return _ESCAPE.sub(_unescaped, token.text)
    if token.kind == "number":
        return _number(token.text)
    return _CONSTANTS[token.text]


def _number(text: str) -> int | float:
    if len(text) > MOST_DIGITS:
        raise refused(f"the number {text[:MOST_DIGITS]}… is too long")
    return int(text) if text.lstrip("+-").isdigit() else finite(float(text))


def _unescaped(found: re.Match[str]) -> str:
    word = found[1]
    if len(word) == 1:
        if word not in _LETTERS:
            raise refused(f"invalid syntax: \\{word!a}")
        return _LETTERS[word]
    code = int(word, 8) if word[0] not in "xuU" else int(word[1:], 16)
    if word[0] not in "uU":  # a byte
        if code > 0xFF:
            raise refused(f"invalid syntax: \\{word}")
        return chr(code) if code < 0x80 else chr(0xDC00 + code)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise refused(f"invalid syntax: \\{word}")
    return chr(code)


def _dot(scope: Scope) -> Any:
    return scope.dot


def _constant(value: object) -> Evaluate:
    return lambda scope: value


def _fields(value: Evaluate, names: list[str]) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        found = value(scope)
        for name in names:
            found = _field(found, name)
        return found

    return evaluate


def _field(value: object, name: str) -> Any:
    if not isinstance(value, dict):
        raise refused(f"at <.{name}>: can't evaluate field {name} in type {kind_of(value)}")
    if name not in value and type(value) is dict:
        error = refused(f'at <.{name}>: map has no entry for key "{name}"')
        error.hint = f"there are {', '.join(sorted(value))}"
        raise error
    return value.get(name)


def _asked(value: Evaluate, arguments: list[Evaluate], shown: str) -> Evaluate:
    """Return the answer of a method."""

    def evaluate(scope: Scope) -> Any:
        method = value(scope)
        if not isinstance(method, Method):
            raise refused(f"can't give argument to non-function {shown}")
        given = [argument(scope) for argument in arguments]
        if len(given) != 1 or not isinstance(given[0], str):
            raise refused(f"{shown} wants one string")
        return method.answer(given[0])

    return evaluate


def _call(name: str, arguments: list[Evaluate]) -> Evaluate:
    if name in _SHORT_CIRCUITS:
        return _short_circuit(name, arguments)
    known = FUNCTIONS[name]
    if len(arguments) < known.least or (known.most is not None and len(arguments) > known.most):
        wanted = f"{known.least}" if known.most == known.least else f"at least {known.least}"
        raise refused(f"wrong number of args for {name}: want {wanted} got {len(arguments)}")
    return lambda scope: scope.functions[name].call(*[argument(scope) for argument in arguments])


def _short_circuit(name: str, arguments: list[Evaluate]) -> Evaluate:
    """Return the first argument that decides, or the last."""
    if not arguments:
        raise refused(f"wrong number of args for {name}: want at least 1 got 0")

    def evaluate(scope: Scope) -> Any:
        value = None
        for argument in arguments:
            value = argument(scope)
            if is_true(value) is _SHORT_CIRCUITS[name]:
                break
        return value

    return evaluate


def _text(text: str) -> Render:
    return lambda scope: scope.out.append(text)


def _sequence(steps: list[Render]) -> Render:
    def render(scope: Scope) -> None:
        for step in steps:
            step(scope)

    return render


def _silent(value: Evaluate) -> Render:
    def render(scope: Scope) -> None:
        value(scope)

    return render


def _shown(value: Evaluate) -> Render:
    def render(scope: Scope) -> None:
        found = value(scope)
        if isinstance(found, Method):
            raise refused("wrong number of args: want 1 got 0")
        scope.out.append(written(found))

    return render


def _declaration(name: str, value: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        found = value(scope)
        scope.variables.append((name, found))
        return found

    return evaluate


def _assignment(name: str, value: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> Any:
        found = value(scope)
        scope.assign(name, found)
        return found

    return evaluate


def _choice(branches: list[tuple[Evaluate, Render, bool]], otherwise: Render) -> Render:
    def choose(scope: Scope) -> None:
        outer = scope.dot
        for condition, body, changes_dot in branches:
            value = condition(scope)
            if is_true(value):
                scope.inside(body, value if changes_dot else outer)
                return
        scope.inside(otherwise, outer)

    return lambda scope: scope.inside(choose, scope.dot)


def _loop(items: Evaluate, names: list[str], body: Render, otherwise: Render) -> Render:
    def render(scope: Scope) -> None:
        pairs = _pairs(items(scope))
        for key, value in pairs:
            scope.inside(_with_variables(scope, names, key, value, body), value)
        if not pairs:
            scope.inside(otherwise, scope.dot)

    return render


def _with_variables(scope: Scope, names: list[str], key: object, value: object, body: Render) -> Render:
    def render(_: Scope) -> None:
        scope.variables += zip(names, (key, value) if len(names) == 2 else (value,), strict=False)
        body(scope)

    return render


def _pairs(items: object) -> list[tuple[Any, Any]]:
    if items is None:
        return []
    if isinstance(items, list):
        return list(enumerate(items))
    if isinstance(items, dict):
        return sorted((name, item) for name, item in items.items() if not isinstance(item, Method))
    return _no_range(items)


def _no_range(items: object) -> NoReturn:
    raise refused(f"range can't iterate over {written(items)}")
