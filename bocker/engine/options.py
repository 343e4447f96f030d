"""What is seldom asked of `run`, checked before anything is made."""

from __future__ import annotations

from bocker.core.errors import InvalidValue
from bocker.core.signals import parse_signal
from bocker.core.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.engine.run import RunRequest

LONGEST_HOSTNAME = 64  # sethostname(2)
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def check(request: RunRequest) -> None:
    """Raise InvalidValue for a host name, a stop signal or a label that is none."""
    if request.hostname:
        _check_hostname(request.hostname)
    if request.stop_signal:
        parse_signal(request.stop_signal, "--stop-signal")
    for label in request.labels:
        name, equals, _ = label.partition("=")
        if not name or not equals:
            raise InvalidValue(f"'{printable(label)}' is no label", "write it like NAME=VALUE")


def _check_hostname(name: str) -> None:
    """Only what stands in `/etc/hosts` as one word, and is no flag to anybody."""
    if not _LETTERS.issuperset(name) or name[0] in ".-" or len(name) > LONGEST_HOSTNAME:
        hint = f"letters, digits, . _ and -, at most {LONGEST_HOSTNAME} of them"
        raise InvalidValue(f"'{printable(name)}' is no host name", hint)
