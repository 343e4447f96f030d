"""Device rules on version 2 of control groups: a BPF program that the kernel asks at each open and mknod.

The program is told kind, access and numbers of a device (`struct bpf_cgroup_dev_ctx`) and answers 1 or
0. Instructions are packed here, as crun and runc pack theirs: a compiler is not needed for so little.
Sources: bpf(2), linux/bpf.h, and "Device controller" of admin-guide/cgroup-v2 in the kernel's documentation.
"""

from __future__ import annotations

import errno
import os

from bocker.core.spec import DeviceRule
from bocker.linux.syscalls import address_of, syscall

_SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_PROG_LOAD = 5
_PROG_ATTACH = 8
_PROG_QUERY = 16
_TYPE_CGROUP_DEVICE = 15
_ATTACH_CGROUP_DEVICE = 6
_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_HIGHEST_NUMBER = (1 << 31) - 1
_INSTRUCTION_BYTES = 8
_REST_OF_LOAD_BYTES = 24  # no log, no version of the kernel, no flags

_LOAD_WORD = 0x61  # destination = the 32 bits at source + offset
_MOVE = 0xB7
_MOVE_REGISTER = 0xBF
_AND = 0x57
_SHIFT_RIGHT = 0x77
_JUMP_IF_NOT = 0x55
_JUMP_IF_NOT_REGISTER = 0x5D
_EXIT = 0x95
_ANSWER, _CONTEXT, _KIND, _ASKED, _MAJOR, _MINOR = range(6)  # registers; the context's is free after loading


def program(rules: tuple[DeviceRule, ...]) -> bytes:
    """Return the instructions that deny everything and then allow what the rules list; raise OSError (EINVAL)
    for a rule that can't be read."""
    loaded = [
        _instruction(_LOAD_WORD, _KIND, _CONTEXT),
        _instruction(_AND, _KIND, value=0xFFFF),
        _instruction(_LOAD_WORD, _ASKED, _CONTEXT),
        _instruction(_SHIFT_RIGHT, _ASKED, value=16),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, offset=4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, offset=8),
    ]
    return b"".join([*loaded, *map(_allowing, rules), *_answer(0)])


def attach(group: str, rules: tuple[DeviceRule, ...]) -> None:
    """Make the rules those of a group, in place of the ones that it had. They end with the group."""
    code = program(rules)
    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        loaded = _load(code)
        try:
            _bpf(_PROG_ATTACH, _word(directory), _word(loaded), _word(_ATTACH_CGROUP_DEVICE))
        finally:
            os.close(loaded)
    finally:
        os.close(directory)


def available(root: str) -> bool:
    """Tell whether this kernel has such programs, and this process may use them."""
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _bpf(_PROG_QUERY, _word(directory), _word(_ATTACH_CGROUP_DEVICE), bytes(24))
    except OSError:
        return False
    finally:
        os.close(directory)
    return True


def _allowing(rule: DeviceRule) -> bytes:
    """Return the instructions that answer 1 when a rule fits, and go on behind themselves when not."""
    _check(rule)
    mask = sum(_ACCESS[letter] for letter in set(rule.access))
    tests = [(_JUMP_IF_NOT_REGISTER, _CONTEXT, _ASKED, 0)]  # all that is asked for is in the mask
    if rule.kind in _KINDS:
        tests.append((_JUMP_IF_NOT, _KIND, 0, _KINDS[rule.kind]))
    if rule.major is not None:
        tests.append((_JUMP_IF_NOT, _MAJOR, 0, rule.major))
    if rule.minor is not None:
        tests.append((_JUMP_IF_NOT, _MINOR, 0, rule.minor))
    masked = [_instruction(_MOVE_REGISTER, _CONTEXT, _ASKED), _instruction(_AND, _CONTEXT, value=mask)]
    allowed = _answer(1)
    jumps = [
        _instruction(code, register, source, len(tests) - 1 - place + len(allowed), value)
        for place, (code, register, source, value) in enumerate(tests)
    ]
    return b"".join([*masked, *jumps, *allowed])


def _check(rule: DeviceRule) -> None:
    numbers = [number for number in (rule.major, rule.minor) if number is not None]
    if rule.kind not in {"a", *_KINDS} or not rule.access or set(rule.access) - set(_ACCESS):
        raise OSError(errno.EINVAL, "not a device rule")
    if any(not 0 <= number <= _HIGHEST_NUMBER for number in numbers):
        raise OSError(errno.EINVAL, "not a device's number")


def _answer(value: int) -> list[bytes]:
    return [_instruction(_MOVE, _ANSWER, value=value), _instruction(_EXIT)]


def _instruction(code: int, destination: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """Return a `struct bpf_insn`; the two registers share a byte, whose lower half comes first here."""
    return bytes([code, source << 4 | destination]) + offset.to_bytes(2, "little") + value.to_bytes(4, "little")


def _load(code: bytes) -> int:
    """Have the kernel check a program; return its descriptor, which is closed at execve(2)."""
    instructions, terms = bytearray(code), bytearray(b"GPL\0")
    count = len(code) // _INSTRUCTION_BYTES
    pointers = address_of(instructions).to_bytes(8, "little") + address_of(terms).to_bytes(8, "little")
    return _bpf(_PROG_LOAD, _word(_TYPE_CGROUP_DEVICE), _word(count), pointers, bytes(_REST_OF_LOAD_BYTES))


def _word(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _bpf(command: int, *fields: bytes) -> int:
    """Call bpf(2) with the `union bpf_attr` that the fields make up; the kernel takes what is missing as zeros."""
    attributes = bytearray(b"".join(fields))
    return syscall(_SYS_BPF[os.uname().machine], command, attributes, len(attributes))
