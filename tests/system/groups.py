"""Where this machine has its control groups and what their files are called, asked of its mounts, not of bocker."""

from __future__ import annotations

import os

ROOT = "/sys/fs/cgroup"
VERSION = 2 if os.path.exists(f"{ROOT}/cgroup.controllers") else 1
CONTROLLERS = ("cpu", "memory", "pids", "devices")
PAGE_BYTES = 4096
# What runc and crun give: ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34)) with l = log2(shares).
WEIGHTS = {100: 17, 200: 29, 300: 39, 512: 59}

LIMIT_FILES = {
    1: ("cpu/cpu.shares", "memory/memory.limit_in_bytes", "pids/pids.max"),
    2: ("cpu.weight", "memory.max", "pids.max"),
}[VERSION]
MEMORY_LIMIT = os.path.basename(LIMIT_FILES[1])
MEMBERS_FILE = {1: f"{ROOT}/pids/tasks", 2: f"{ROOT}/cgroup.procs"}[VERSION]


def directories(path: str) -> tuple[str, ...]:
    """Return the directories of the group that is `path` below the top, as the host sees them."""
    return tuple(f"{ROOT}/{name}/{path}" for name in CONTROLLERS) if VERSION == 1 else (f"{ROOT}/{path}",)


def memory_directory(path: str) -> str:
    """Return the one that memory is limited in."""
    return f"{ROOT}/memory/{path}" if VERSION == 1 else f"{ROOT}/{path}"


def shares(cpu_shares: int) -> str:
    """Return what the kernel's file says for that many shares."""
    return str(cpu_shares if VERSION == 1 else WEIGHTS[cpu_shares])


def memory(size_bytes: int) -> str:
    """Return what the kernel's file says for a bound."""
    return str(size_bytes // PAGE_BYTES * PAGE_BYTES)
