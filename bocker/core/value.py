"""Immutable values: what crosses a port, and what the records hold.

`dataclasses` costs fourteen milliseconds to import and `typing.NamedTuple` ten, each as much as
starting a container takes, so a value is a tuple with named fields, made here in a few lines.

    class Mount(Value):
        source: str
        target: str
        read_only: bool = False
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, dataclass_transform

    @dataclass_transform(frozen_default=True)
    class Value:
        """A value is equal to another of its own type with equal fields, and never changes."""

        def replace(self, **changes: Any) -> Self:
            """Return a copy with the named fields changed."""
            raise NotImplementedError

        def fields(self) -> dict[str, Any]:
            """Return the fields by name, in the order they were declared."""
            raise NotImplementedError

else:
    from _operator import itemgetter

    class Value(tuple):
        """A value is equal to another of its own type with equal fields, and never changes."""

        __slots__ = ()
        _names = ()
        _defaults = None

        def __init_subclass__(cls):
            cls._names = tuple(cls.__annotations__)
            cls._defaults = {name: cls.__dict__[name] for name in cls._names if name in cls.__dict__}
            for index, name in enumerate(cls._names):
                setattr(cls, name, property(itemgetter(index)))
            cls.__match_args__ = cls._names

        def __new__(cls, *given, **named):
            """Make a value of fields in their order, by name, or left to their defaults."""
            if len(given) != len(cls._names):
                given = cls._complete(given, named)
            return tuple.__new__(cls, given)

        @classmethod
        def _complete(cls, given, named):
            values = list(given)
            for name in cls._names[len(given) :]:
                if name in named:
                    values.append(named.pop(name))
                elif name in cls._defaults:
                    values.append(cls._defaults[name])
                else:
                    raise TypeError(f"{cls.__name__} needs {name!r}")
            if named or len(given) > len(cls._names):
                raise TypeError(f"{cls.__name__} does not take {sorted(named) or given!r}")
            return values

        def __eq__(self, other):
            return type(self) is type(other) and tuple.__eq__(self, other)

        def __ne__(self, other):
            return not self == other

        __hash__ = tuple.__hash__

        def __repr__(self):
            inside = ", ".join(f"{name}={value!r}" for name, value in self.fields().items())
            return f"{type(self).__name__}({inside})"

        def replace(self, **changes):
            """Return a copy with the named fields changed."""
            return type(self)(**{**self.fields(), **changes})

        def fields(self):
            """Return the fields by name, in the order they were declared."""
            return dict(zip(self._names, self, strict=True))
