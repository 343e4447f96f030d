"""A person's credentials: found in docker's and podman's files, kept and given up by `login` and `logout`."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from bocker.core.errors import BockerError
from bocker.core.value import Value
from bocker.engine.failures import operation_failed, reason_of
from bocker.kernel.errors import Denied, Invalid, KernelError, Missing
from bocker.registry.client import Client
from bocker.registry.credentials import (
    NOT_FOUND,
    AuthFile,
    Credentials,
    HelperCall,
    helper_entry,
    parse_auth_file,
    parse_helper_answer,
    with_entry,
    without_entry,
)
from bocker.registry.endpoints import Registries, own_endpoint
from bocker.registry.errors import HelperFailed
from bocker.registry.names import ImageName

if TYPE_CHECKING:
    from collections.abc import Callable

    from bocker.kernel import Kernel
    from bocker.kernel.accounts import HelperAnswer


class AuthPlaces(Value):
    """Files of credentials by absolute path, in the order they are asked. The last is docker's: `login` writes it."""

    files: tuple[str, ...]


class Stored(Value):
    """Where `login` put the credentials: with a helper, or (`helper` empty) as good as readable into a file."""

    path: str
    helper: str = ""


class LoggedOut(Value):
    """removed: whether there were credentials to give up. elsewhere: the files, not docker's, that have some too."""

    removed: bool
    elsewhere: tuple[str, ...] = ()


def credentials_for(kernel: Kernel, places: AuthPlaces, name: ImageName) -> Credentials | None:
    """Return the first credentials for a name, None where nobody has any.

    A helper that can't be started is passed over while another place has credentials. Raises HelperFailed,
    BadDocument for a file that breaks its format, OperationFailed for one that can't be read.
    """
    absent: HelperFailed | None = None
    for path in places.files:
        for place in _read(kernel, path).lookups(name):
            try:
                found = place if isinstance(place, Credentials) else _got(kernel, place, path)
            except _HelperAbsent as error:
                absent = absent or error
                continue
            if found is not None:
                return found
    if absent is not None:
        raise absent
    return None


def login(kernel: Kernel, places: AuthPlaces, registries: Registries, host: str, credentials: Credentials) -> Stored:
    """Keep credentials for a registry that lets them in; raise what `Client.check` and `store` raise."""
    endpoint = own_endpoint(ImageName(host, ""), registries)
    Client(kernel.http, kernel.ambient, endpoint, "", lambda: credentials).check()
    return store(kernel, places, host, credentials)


def store(kernel: Kernel, places: AuthPlaces, host: str, credentials: Credentials) -> Stored:
    """Keep credentials in docker's file, or with the helper that it names; all else in it stays.

    Raises HelperFailed, BadDocument, InvalidValue for a user's name with a colon, OperationFailed.
    """
    path = places.files[-1]
    keeper = _read(kernel, path).keeper(ImageName(host, ""))
    if keeper is None:
        _update(kernel, path, lambda data: with_entry(data, host, credentials, _subject(path)))
        return Stored(path)
    answer = _asked(kernel, keeper, path, "store", helper_entry(keeper.key, credentials))
    _check(keeper, answer)
    _drop(kernel, path, host)
    return Stored(path, keeper.program)


def logout(kernel: Kernel, places: AuthPlaces, host: str) -> LoggedOut:
    """Give up what docker's file, and the helper that it names, have for a registry; raise what `store` raises."""
    *others, path = places.files
    name = ImageName(host, "")
    keeper = _read(kernel, path).keeper(name)
    erased = keeper is not None and _erased(kernel, keeper, path)
    dropped = _drop(kernel, path, host)
    return LoggedOut(erased or dropped, tuple(file for file in others if _has_entry(kernel, file, name)))


class _HelperAbsent(HelperFailed):
    """There is no such program, or it can't be executed."""


def _subject(path: str) -> str:
    return f"file of credentials {path}"


def _read(kernel: Kernel, path: str) -> AuthFile:
    """Read a file; one that is not there (HOME may be /dev/null) is as good as empty."""
    return parse_auth_file(_content(kernel, path), _subject(path))


def _content(kernel: Kernel, path: str) -> bytes:
    try:
        return kernel.accounts.read(path)
    except KernelError as error:
        if isinstance(error, Missing) or (isinstance(error, Invalid) and error.errno == errno.ENOTDIR):
            return b""
        raise operation_failed(f"Reading the {_subject(path)}", error) from error


def _got(kernel: Kernel, call: HelperCall, path: str) -> Credentials | None:
    answer = _asked(kernel, call, path, "get", call.key.encode())
    return parse_helper_answer(call.program, answer.exit_code, answer.output)


def _asked(kernel: Kernel, call: HelperCall, path: str, verb: str, text: bytes) -> HelperAnswer:
    try:
        return kernel.accounts.ask(call.program, verb, text)
    except (Missing, Denied) as error:
        why = "there is no such program in PATH" if isinstance(error, Missing) else "it can not be executed"
        raise _HelperAbsent(call.program, f"{why}, and {path} names it") from error
    except KernelError as error:
        raise HelperFailed(call.program, reason_of(error)) from error


def _erased(kernel: Kernel, keeper: HelperCall, path: str) -> bool:
    answer = _asked(kernel, keeper, path, "erase", keeper.key.encode())
    if answer.exit_code != 0 and NOT_FOUND.encode() in answer.output:
        return False
    _check(keeper, answer)
    return True


def _check(keeper: HelperCall, answer: HelperAnswer) -> None:
    if answer.exit_code != 0:
        raise HelperFailed(keeper.program, answer.output[:4096].decode("utf-8", "replace"))


def _drop(kernel: Kernel, path: str, host: str) -> bool:
    """Take a registry's entries out of a file; leave a file alone that has none."""
    data = _content(kernel, path)
    if _entries(data, path) == _entries(without_entry(data, host, _subject(path)), path):
        return False
    _update(kernel, path, lambda before: without_entry(before, host, _subject(path)))
    return True


def _entries(data: bytes, path: str) -> tuple[str, ...]:
    return parse_auth_file(data, _subject(path)).fields.object("auths").names()


def _has_entry(kernel: Kernel, path: str, name: ImageName) -> bool:
    try:
        return any(isinstance(place, Credentials) for place in _read(kernel, path).lookups(name))
    except BockerError:  # it is another program's file, and not what was asked about
        return False


def _update(kernel: Kernel, path: str, change: Callable[[bytes], bytes]) -> None:
    try:
        kernel.accounts.update(path, change)
    except KernelError as error:
        raise operation_failed(f"Writing the {_subject(path)}", error) from error
