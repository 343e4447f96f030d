"""The instants of a crash: before each call, after it, and with half of what it does done. What they show is what the
crash tests try, so it is checked here and not only gone through there."""

from __future__ import annotations

import attrs
import pytest

from bocker.core.limits import Limits
from bocker.fakes import FakeKernel, World, power
from bocker.fakes.faults import HALF_WAY, Call, Moments, faults_of, half_way
from bocker.fakes.images import file
from bocker.fakes.state import DIRECTORY, FILE, Entry, State
from bocker.kernel.archives import Bounds
from bocker.kernel.errors import Missing
from tests.contracts.layers import archive
from tests.contracts.layers import file as layer_file

STORE = "/var/bocker"


@pytest.fixture
def moments(world: World, kernel: FakeKernel) -> Moments:
    kernel.gate = found = Moments(lambda: world.state)
    return found


def records(state: State) -> dict[str, bytes]:
    """The files with something in their names that a test wrote."""
    return {
        path: row.content
        for tree in state.subvolumes.values()
        for path, row in tree.files.items()
        if row.kind == FILE and "note" in path
    }


def test_each_call_has_its_instants_in_their_order(kernel: FakeKernel, moments: Moments) -> None:
    kernel.storage.create("img_1")
    kernel.records.write("a/note", b"12345678")
    with pytest.raises(Missing):
        kernel.storage.delete("none")
    shown = [(one.number, one.call, one.place) for one in moments.all()]
    calls = [
        Call(kernel.pid, "storage.create", "img_1"),
        Call(kernel.pid, "records.write", "a/note"),
        Call(kernel.pid, "storage.delete", "none"),
    ]
    places = [("before", "within", "after") if call.operation in HALF_WAY else ("before", "after") for call in calls]
    expected = [(number, call, place) for number, call in enumerate(calls, 1) for place in places[number - 1]]
    assert shown == expected
    assert "within" not in places[0]


def test_an_instant_shows_the_machine_as_it_was_then(kernel: FakeKernel, moments: Moments) -> None:
    kernel.records.append("a/note", b"1234")
    kernel.records.append("a/note", b"5678")
    found = [(one.number, one.place, records(one.state).get(".meta/a/note")) for one in moments.all()]
    assert [row for row in found if row[1] != "within"] == [
        (1, "before", None),
        (1, "after", b"1234"),
        (2, "before", b"1234"),
        (2, "after", b"12345678"),
    ]


def test_an_operation_of_the_state_is_half_done_as_one_of_the_records(kernel: FakeKernel, moments: Moments) -> None:
    for records_of in (kernel.records, kernel.state):
        records_of.append("a/note", b"1234")
    places = [(one.call.operation, one.place) for one in moments.all()]
    assert [place for operation, place in places if operation == "records.append"] == [
        place for operation, place in places if operation == "state.append"
    ]


def states(world: World, **changes: Entry | None) -> tuple[State, State]:
    """A machine before and after the files of one directory changed so."""
    world.add_files("/tmp/dir", {"note1": file(b"old1"), "note2": file(b"old2"), "note3": file(b"old3")})
    before = world.state
    for name, entry in changes.items():
        if entry is None:
            world.remove(f"/tmp/dir/{name}")
        else:
            world.add_files("/tmp/dir", {name: entry})
    return before, world.state


def test_half_of_the_files_are_there_and_of_the_middle_one_half(world: World) -> None:
    new = {f"note{number}": file(b"new%d-new%d-" % (number, number)) for number in (1, 2, 3)}
    before, after = states(world, **new)
    assert records(half_way(before, after)) == {
        "tmp/dir/note1": b"new1-new1-",
        "tmp/dir/note2": b"new2-",
        "tmp/dir/note3": b"old3",
    }
    whole = half_way(before, after, whole=True)
    assert records(whole)["tmp/dir/note2"] == b"new2-new2-"


def test_of_one_file_half_is_there(world: World) -> None:
    before, after = states(world, note9=file(b"12345678"))
    assert records(half_way(before, after))["tmp/dir/note9"] == b"1234"


def test_half_of_what_goes_is_gone(world: World) -> None:
    before, after = states(world, note1=None, note2=None)
    assert set(records(half_way(before, after))) == {"tmp/dir/note2", "tmp/dir/note3"}


def test_a_directory_goes_with_what_is_in_it(world: World) -> None:
    world.add_files("/tmp", {"d1": Entry(DIRECTORY), "d1/note": file(), "d10": Entry(DIRECTORY), "d10/note": file()})
    before = world.state
    world.remove("/tmp/d1")
    world.add_files("/tmp", {"z1": Entry(DIRECTORY), "z2": Entry(DIRECTORY)})
    half = half_way(before, world.state)
    paths = {path for tree in half.subvolumes.values() for path in tree.files if path.startswith("tmp/")}
    assert paths == {"tmp/d10", "tmp/d10/note"}


def test_what_is_half_done_takes_its_time_and_its_numbers(world: World, kernel: FakeKernel) -> None:
    """A call after it must not give a number that is in use, and what was not synced is known."""
    before = world.state
    kernel.records.write("a/note", b"12345678")
    half = half_way(before, world.state)
    assert (half.clock_ns, half.serial) == (world.state.clock_ns, world.state.serial)
    assert half.unsynced == world.state.unsynced != before.unsynced
    assert half.links is before.links


@pytest.mark.parametrize("is_made", [True, False])
def test_a_group_is_in_half_of_the_hierarchies(world: World, kernel: FakeKernel, is_made: bool) -> None:
    """Made or removed, in the order of their names; its parent is there."""
    kernel.cgroups.create("other")
    without = world.state
    kernel.cgroups.create("ps_1")
    kernel.cgroups.limit("ps_1", Limits(pids=7))
    pair = (without, world.state) if is_made else (world.state, without)
    half = half_way(*pair)
    rows = {row.name: row for row in half.groups.values()}
    assert rows["ps_1"].parts == {"cpu", "devices"}
    assert rows["other"].parts == {"cpu", "devices", "memory", "pids"}
    assert half.parents == {kernel.settings.cgroup_parent}


def test_a_group_of_one_hierarchy_is_there_or_not(kernel: FakeKernel) -> None:
    world = World(cgroup_version=2)
    kernel = world.kernel()
    before = world.state
    kernel.cgroups.create("ps_1")
    half = half_way(before, world.state)
    assert (dict(half.groups), half.parents) == ({}, {kernel.settings.cgroup_parent})


def test_power_fails_with_names_and_without(world: World, kernel: FakeKernel) -> None:
    """Without, nothing is left that was not synced; with them, a file's name is, and its content is lost where it is
    another than that on disk, unless it took the place of a file that had one."""
    kernel.records.write("a/note1", b"synced", durable=True)
    kernel.records.write("a/note2", b"synced", durable=True)
    kernel.records.write("a/note3", b"synced", durable=True)
    kernel.records.append("a/note1", b" and not")
    kernel.records.write("a/note2", b"replaced")
    world.add_files(f"{STORE}/.meta/a", {"note3": attrs.evolve(file(b"synced"), mode=0o640), "note4": file(b"new")})
    state = world.state
    names = (".meta/a/note1", ".meta/a/note2", ".meta/a/note3", ".meta/a/note4")
    plain, named = (records(power.failed(state, names=mode)) for mode in (False, True))
    assert [plain.get(name) for name in names] == [b"synced", b"synced", b"synced", None]
    assert [named.get(name) for name in names] == [b"", b"replaced", b"synced", b""]
    for mode in (False, True):
        after = power.failed(state, names=mode)
        assert (dict(after.unsynced), dict(after.deleted)) == ({}, {})


def test_a_subvolume_that_was_deleted_is_back_after_a_power_failure(world: World, kernel: FakeKernel) -> None:
    """Until a sync."""
    for name in ("img_1", "img_2"):
        kernel.storage.create(name)
    kernel.storage.sync()
    kernel.storage.delete("img_1")
    kernel.storage.sync()
    kernel.storage.delete("img_2")
    world.lose_power()
    uuids = [row.uuid for row in world.state.subvolumes.values()]
    assert len(uuids) == len(set(uuids))
    top = next(row for row in world.state.subvolumes.values() if "img_2" in row.files)
    assert "img_1" not in top.files
    assert world.state.subvolumes[top.files["img_2"].subvolume].files


def test_no_file_of_an_archive_is_half_there(world: World, kernel: FakeKernel, moments: Moments) -> None:
    """Each gets its name when it is whole."""
    contents = [bytes([number]) * 100 for number in range(4)]
    world.write_file("/tmp/archive", archive(*(layer_file(b"x", content) for content in contents)))
    kernel.archives.spill("/tmp/archive", f"{STORE}/spilled", Bounds())
    (within,) = (one.state for one in moments.all() if one.place == "within")
    there = [
        row.content
        for tree in within.subvolumes.values()
        for path, row in tree.files.items()
        if path.startswith("spilled/")
    ]
    assert 0 < len(there) < 4
    assert {len(content) for content in there} == {100}


def test_an_operation_of_the_state_meets_the_faults_of_the_records() -> None:
    for name in ("claim", "write", "append", "read", "remove", "list", "lock"):
        pairs = [faults_of([Call(1, f"{port}.{name}", "a/b")]) for port in ("records", "state")]
        assert len({tuple((type(gate), vars(gate).get("errno")) for gate in gates) for gates in pairs}) == 1
    assert len(list(faults_of([Call(1, "state.write", "a/b")]))) > 1
