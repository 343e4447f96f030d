"""The accounts port on the fake: files of the host, and helpers that a test scripts (`World.helpers`)."""

# ruff: noqa: D102 - the port says what each method does

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from bocker.fakes import files, programs
from bocker.fakes.errors import NotModelled, Refused
from bocker.fakes.state import DIRECTORY, FILE, Entry, State
from bocker.fakes.view import View
from bocker.kernel import accounts
from bocker.kernel.accounts import MOST_BYTES, Accounts, HelperAnswer

if TYPE_CHECKING:
    from bocker.fakes.world import World

# A verb and a text to an exit code and what is printed; None is a helper that does not come to an end.
Helper = Callable[[str, bytes], tuple[int, bytes] | None]


class FakeAccounts(View, Accounts):
    """The person's files and helpers."""

    __slots__ = ()
    name = "accounts"

    def read(self, path: str) -> bytes:
        return self._ask("read", path, lambda state: _small(files.read_file(state, path)))

    def update(self, path: str, change: Callable[[bytes], bytes]) -> None:
        self._change("update", path, lambda state: _updated(state, path, change))

    def ask(self, program: str, verb: str, text: bytes) -> HelperAnswer:
        return self._apply("ask", program, lambda state: _asked(state, self._world, program, verb, text))


def _small(data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise Refused(errno.EFBIG)
    return data


def _updated(state: State, path: str, change: Callable[[bytes], bytes]) -> State:
    state = files.make_directories(state, path.rpartition("/")[0], 0o700)
    spot = files.locate(state, path)
    before = files.entry_at(state, spot.place)
    if before is not None and before.kind not in {FILE, DIRECTORY}:
        raise NotModelled(f"replacing the {before.kind} {path}")
    data = _small(change(_small(b"" if before is None else files.read_file(state, path))))
    files.check_writable(state, spot)
    files.check_space(state, spot.place)
    uid, gid = (0, 0) if before is None else (before.uid, before.gid)
    after = Entry(FILE, 0o600, uid, gid, mtime_ns=state.clock_ns, content=data)
    state = files.put_entry(state, spot.place, after)
    return files.synced(state, spot.place)


def _asked(state: State, world: World, program: str, verb: str, text: bytes) -> tuple[State, HelperAnswer | Refused]:
    if program not in world.helpers:
        raise Refused(errno.ENOENT)
    helper = world.helpers[program]
    if helper is None:
        raise Refused(errno.EACCES)
    answer = helper(verb, text)
    if answer is None:
        return programs.pass_time(state, state.clock_ns + int(accounts.HELPER_S * 1e9)), Refused(errno.ETIMEDOUT)
    return state, HelperAnswer(answer[0], _small(answer[1]))
