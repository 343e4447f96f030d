"""Mistakes in the fake kernel: what it answers, and what it lets go of, is not what Linux does."""

from __future__ import annotations

from tests.planted.bug import FORGOTTEN_FSYNC, LAW_LEFT_OUT, WRONG_ERRNO, WRONG_ORDER, Bug

LAWS, POWER = "bocker/fakes/laws.py", "bocker/fakes/power.py"
STORAGE, RECORDS, BLOBS = (f"bocker/fakes/{name}.py" for name in ("storage", "records", "blobs"))
NETWORK, WIRE, GROUPS = (f"bocker/fakes/{name}.py" for name in ("network", "wire", "cgroups"))
PROGRAMS, FILES = "bocker/fakes/programs.py", "bocker/fakes/files.py"
CONTRACTS = "tests/unit/test_contracts.py"
LAW_TESTS = "tests/unit/fakes/test_laws.py"

BUGS = (
    Bug(
        "a-zombie-is-alive",
        LAW_LEFT_OUT,
        PROGRAMS,
        "    return row is not None and row.phase != ZOMBIE\n",
        "    return row is not None\n",
        (CONTRACTS, "-k", "zombie or alive"),
    ),
    Bug(
        "members-outlive-the-first-process",
        LAW_LEFT_OUT,
        LAWS,
        '    if row.first:\n        state = pid_namespace_ends(state, row.namespaces["pid"])\n',
        "",
        (CONTRACTS, "-k", "TestProcesses"),
    ),
    Bug(
        "the-end-does-not-wait-for-members",
        LAW_LEFT_OUT,
        LAWS,
        "    return row.first and any(\n",
        "    return False and any(\n",
        (CONTRACTS, "-k", "TestProcesses"),
    ),
    Bug(
        "links-go-with-their-namespace-at-once",
        LAW_LEFT_OUT,
        LAWS,
        "    ending = attrs.evolve(row, ends_ns=state.clock_ns + NETWORK_END_NS)\n"
        "    return attrs.evolve(state, networks=with_row(state.networks, network, ending))",
        "    return network_ends(state, network)",
        (CONTRACTS, LAW_TESTS),
    ),
    Bug(
        "a-process-holds-no-namespace",
        LAW_LEFT_OUT,
        LAWS,
        "        row.namespaces.get(NETWORK) == network and row.phase != ZOMBIE for row",
        "        False for row",
        (CONTRACTS, "-k", "TestNamespaces or TestProcesses"),
    ),
    Bug(
        "a-lock-outlives-its-holder",
        LAW_LEFT_OUT,
        LAWS,
        "    locks = {key: row for key, row in state.locks.items() if row.program != pid}\n",
        "    locks = dict(state.locks)\n",
        (LAW_TESTS,),
    ),
    Bug(
        "children-outlive-their-program",
        LAW_LEFT_OUT,
        LAWS,
        "        if row.parent == pid and row.pid in state.processes:\n",
        "        if row.parent == pid and row.pid not in state.processes:\n",
        (LAW_TESTS,),
    ),
    Bug(
        "a-tmpfs-outlives-its-container",
        LAW_LEFT_OUT,
        LAWS,
        "        state = mount_namespace_ends(state, mounts)\n",
        "        pass\n",
        (LAW_TESTS,),
    ),
    Bug(
        "a-snapshot-shares-its-files",
        LAW_LEFT_OUT,
        FILES,
        "        subvolumes=with_row(state.subvolumes, row.id, attrs.evolve(row, files=files)),\n",
        """        subvolumes={
            number: attrs.evolve(one, files=files) if row.uuid in {one.uuid, one.parent_uuid} else one
            for number, one in state.subvolumes.items()
        },
""",
        (CONTRACTS, "-k", "TestStorage"),
    ),
    Bug(
        "a-snapshot-takes-nested-ones-along",
        LAW_LEFT_OUT,
        STORAGE,
        "    return Entry(DIRECTORY) if entry.kind == SUBVOLUME else entry\n",
        "    return entry\n",
        (CONTRACTS, "-k", "TestStorage"),
    ),
    Bug(
        "a-moved-link-keeps-its-addresses",
        LAW_LEFT_OUT,
        NETWORK,
        "up=False, master=None, addresses=())",
        "up=False, master=None)",
        (CONTRACTS, "-k", "TestNetwork"),
    ),
    Bug(
        "signals-end-the-first-process",
        LAW_LEFT_OUT,
        PROGRAMS,
        "    if not number or row.first or number in row.ignored",
        "    if not number or number in row.ignored",
        (CONTRACTS, "-k", "TestProcesses"),
    ),
    Bug(
        "one-process-too-many",
        LAW_LEFT_OUT,
        "bocker/fakes/groups.py",
        "    return len(members(state, row.id)) < row.limits.pids\n",
        "    return len(members(state, row.id)) <= row.limits.pids\n",
        (CONTRACTS, "-k", "TestProcesses or TestCgroups"),
    ),
    Bug(
        "one-who-shares-a-lock-keeps-nobody-out",
        LAW_LEFT_OUT,
        RECORDS,
        "        if any(not (shared and row.shared) for row",
        "        if any(not row.shared for row",
        (CONTRACTS, "-k", "TestRecords"),
    ),
    Bug(
        "what-is-deleted-gives-no-room-back",
        LAW_LEFT_OUT,
        FILES,
        "    return changed(use_space(state, row, -freed), row, files)\n",
        "    return changed(state, row, files)\n",
        (CONTRACTS, LAW_TESTS),
    ),
    Bug(
        "what-is-immutable-can-be-written",
        LAW_LEFT_OUT,
        FILES,
        "        if entry is not None and entry.immutable:\n",
        "        if False:\n",
        (CONTRACTS,),
    ),
    Bug(
        "a-boot-keeps-what-ran",
        LAW_LEFT_OUT,
        "bocker/fakes/world.py",
        '    for path in ("/run", "/tmp"):\n',
        '    for path in ("/tmp",):\n',
        (LAW_TESTS, "tests/unit/fakes/test_testing.py"),
    ),
    Bug(
        "a-busy-group-is-not-empty",
        WRONG_ERRNO,
        GROUPS,
        "        if groups.members(state, group.id):\n            raise Refused(errno.EBUSY, name)",
        "        if groups.members(state, group.id):\n            raise Refused(errno.ENOTEMPTY, name)",
        (CONTRACTS, "-k", "TestCgroups"),
    ),
    Bug(
        "no-such-device-is-no-such-file",
        WRONG_ERRNO,
        WIRE,
        "        raise Refused(errno.ENODEV, name)\n",
        "        raise Refused(errno.ENOENT, name)\n",
        (CONTRACTS, "-k", "TestNetwork"),
    ),
    Bug(
        "a-long-name-is-too-long",
        WRONG_ERRNO,
        WIRE,
        "        raise Refused(errno.ERANGE, name)\n",
        "        raise Refused(errno.ENAMETOOLONG, name)\n",
        (CONTRACTS, "-k", "TestNetwork"),
    ),
    Bug(
        "a-lock-that-is-held-is-busy",
        WRONG_ERRNO,
        RECORDS,
        "                raise Refused(errno.EAGAIN, name)\n",
        "                raise Refused(errno.EBUSY, name)\n",
        (CONTRACTS, "-k", "TestRecords"),
    ),
    Bug(
        "a-target-is-looked-at-before-its-source",
        WRONG_ORDER,
        STORAGE,
        """    if entry is None:
        raise Refused(errno.ENOENT, source)
    spot_after, there = _child(state, top, target)
    if there is not None:
        raise Refused(errno.EEXIST, target)
""",
        """    spot_after, there = _child(state, top, target)
    if there is not None:
        raise Refused(errno.EEXIST, target)
    if entry is None:
        raise Refused(errno.ENOENT, source)
""",
        (CONTRACTS, "-k", "TestStorage"),
    ),
    Bug(
        "names-are-looked-at-before-the-mac",
        WRONG_ORDER,
        WIRE,
        "    check_mac(mac)\n    check_free(state, 0, name)\n    check_free(state, network, peer)\n",
        "    check_free(state, 0, name)\n    check_free(state, network, peer)\n    check_mac(mac)\n",
        (CONTRACTS, "-k", "TestNetwork"),
    ),
    Bug(
        "a-route-that-is-there-comes-first",
        WRONG_ORDER,
        WIRE,
        """    own = [row for row in state.links.values() if row.network == network and gateway in _held(row)]
""",
        """    if network in state.routes:
        raise Refused(errno.EEXIST)
    own = [row for row in state.links.values() if row.network == network and gateway in _held(row)]
""",
        (CONTRACTS, "-k", "TestNetwork"),
    ),
    Bug(
        "a-sync-forgets-nothing",
        FORGOTTEN_FSYNC,
        STORAGE,
        "    return attrs.evolve(state, unsynced=late, deleted=deleted)\n",
        "    return state\n",
        ("tests/unit/fakes/test_power.py",),
    ),
    Bug(
        "one-file-that-is-synced-takes-all-along",
        FORGOTTEN_FSYNC,
        FILES,
        "    return attrs.evolve(state, unsynced=late)\n",
        "    return attrs.evolve(state, unsynced={})\n",
        ("tests/unit/fakes/test_power.py",),
    ),
    Bug(
        "a-new-file-has-its-content-at-once",
        FORGOTTEN_FSYNC,
        RECORDS,
        "content=data, flushed=replaces)",
        "content=data, flushed=True)",
        ("tests/unit/fakes/test_power.py",),
    ),
    Bug(
        "a-kept-blob-is-not-on-disk",
        FORGOTTEN_FSYNC,
        BLOBS,
        "    state = files.put_entry(state, place, attrs.evolve(entry, mode=FILE_MODE))\n"
        "    return files.synced(state, place)",
        "    return files.put_entry(state, place, attrs.evolve(entry, mode=FILE_MODE))",
        ("tests/unit/fakes/test_power.py",),
    ),
)
