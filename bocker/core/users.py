"""Who a program runs as: USER[:GROUP] and the text of passwd(5) and group(5), by docker's rules.

A number is an id, also where an entry has it for its name; a name is that of the first entry that
has it. An entry that makes no sense is passed over, unlike docker: a damaged line never becomes root.
"""

from __future__ import annotations

import errno

from bocker.core.value import Value

HIGHEST_ID = (1 << 31) - 1
ROOT = 0
# What an entry must have at least; docker takes short ones as well.
_PASSWD_FIELDS = 4
_GROUP_FIELDS = 3


class Identity(Value):
    """What a process is to the kernel. `groups` are the supplementary ones, the primary among them."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class UnknownUser(Exception):
    """There is no such user or group (`errno` ENOENT), or its number is out of range (ERANGE)."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(name)
        self.errno = number
        self.name = name


def find(user: str, passwd: bytes, group: bytes) -> Identity:
    """Return who `user` (USER[:GROUP]) is. Raise UnknownUser.

    A user without an entry has the group 0 and the home `/`. The groups that list the user as a member
    count only where none is said, as in docker.
    """
    wanted, _, wanted_group = user.partition(":")
    uid, gid, name, home = _account(wanted, passwd)
    if wanted_group:
        gid = _group(wanted_group, group)
        return Identity(uid, gid, (gid,), home)
    listed = _groups_of(name, group) if name else ()
    return Identity(uid, gid, tuple(dict.fromkeys((gid, *listed))), home)


def _account(user: str, passwd: bytes) -> tuple[int, int, bytes, str]:
    number = _number(user) if user else ROOT
    name = _encoded(user)
    for fields in _entries(passwd, _PASSWD_FIELDS):
        uid, gid = _id_of(fields[2]), _id_of(fields[3])
        if uid is None or gid is None or not fields[0]:
            continue
        if uid == number if number is not None else fields[0] == name:
            return uid, gid, fields[0], b"".join(fields[5:6]).decode("utf-8", "surrogateescape") or "/"
    if number is None:
        raise UnknownUser(errno.ENOENT, user)
    return number, ROOT, b"", "/"


def _group(group: str, content: bytes) -> int:
    number = _number(group)
    if number is not None:
        return number
    name = _encoded(group)
    for fields in _entries(content, _GROUP_FIELDS):
        gid = _id_of(fields[2])
        if gid is not None and fields[0] == name:
            return gid
    raise UnknownUser(errno.ENOENT, group)


def _groups_of(name: bytes, content: bytes) -> tuple[int, ...]:
    lines = (fields for fields in _entries(content, _GROUP_FIELDS) if name in b"".join(fields[3:4]).split(b","))
    found = (_id_of(fields[2]) for fields in lines)
    return tuple(gid for gid in found if gid is not None)


def _entries(content: bytes, least: int) -> list[list[bytes]]:
    lines = (line.strip().split(b":") for line in content.split(b"\n") if b"\0" not in line)
    return [fields for fields in lines if len(fields) >= least and not fields[0].startswith(b"#")]


def _number(word: str) -> int | None:
    """Return the id that a word is, None when it is a name. Raise UnknownUser for one out of range."""
    if not (word.isascii() and word.isdigit()):
        return None
    number = _id_of(_encoded(word))
    if number is None:
        raise UnknownUser(errno.ERANGE, word)
    return number


def _id_of(field: bytes) -> int | None:
    if not field.isdigit() or len(field) > 10 or int(field) > HIGHEST_ID:
        return None
    return int(field)


def _encoded(word: str) -> bytes:
    return word.encode("utf-8", "surrogateescape")
