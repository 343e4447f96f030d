from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from bocker.kernel.archives import Bounds
from bocker.kernel.errors import (
    AlreadyExists,
    Denied,
    Invalid,
    KernelError,
    Missing,
    NoSpace,
    NotEmpty,
    ReadOnly,
    Unsupported,
)
from tests.contracts import layers
from tests.contracts.lab import DENIED, FULL, MISSING, PLAIN, READ_ONLY
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

UUID_LENGTH = 32
CHANGES: list[tuple[str, tuple[str, ...]]] = [
    ("create", ("img_42003",)),
    ("snapshot", ("img_42002", "img_42003")),
    ("delete", ("img_42002",)),
    ("publish", ("img_42002", "img_42003")),
    ("exchange", ("img_42002", "img_42002")),
]
QUESTIONS: list[tuple[str, tuple[str, ...]]] = [
    ("describe", ("img_42002",)),
    ("names", ()),
    ("nested", ("img_42002",)),
    ("size_bytes", ("img_42002",)),
    ("sync", ()),
]
ONE_NAME = ["create", "delete", "describe", "nested", "size_bytes"]
TWO_NAMES = ["snapshot", "publish", "exchange"]
BAD_NAMES = ["", ".", "..", "a/b", "/", "a\0b"]
BAD_PATHS = ["", ".", "..", "/", "a\0b", "img_1/", "img_1/..", "img_1//x", "../img_1", "/img_1"]
DEEP = 30  # directories with names of 200 bytes
CHAIN = 60
BLOCK_BYTES = 4096
LONG_NAME = "é" * 127 + "xx"  # 256 bytes


class StorageContract:
    def test_a_created_subvolume_is_empty_and_listed(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """It has mode 0755, time 0 and nothing in it."""
        kernel.storage.create("img_1")
        assert kernel.storage.names() == ("img_1",)
        tree = lab.tree(f"{settings.store}/img_1")
        assert list(tree) == ["."]
        assert (tree["."].mode, tree["."].modified_ns) == (0o755, 0)

    def test_creating_what_exists_is_refused(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """A subvolume, a directory and a file of that name are all in the way, and stay as they are."""
        kernel.storage.create("img_1")
        lab.write_file(f"{settings.store}/img_1/kept", b"kept")
        lab.make_directory(f"{settings.store}/directory")
        lab.write_file(f"{settings.store}/file", b"kept")
        for name in ("img_1", "directory", "file"):
            with refused(AlreadyExists, errno.EEXIST):
                kernel.storage.create(name)
        assert lab.read_file(f"{settings.store}/img_1/kept") == b"kept"
        assert lab.read_file(f"{settings.store}/file") == b"kept"

    def test_a_name_of_255_bytes_is_accepted(self, kernel: Kernel) -> None:
        """The bound is in bytes, not in letters."""
        kernel.storage.create(LONG_NAME[:-1])
        assert kernel.storage.names() == (LONG_NAME[:-1],)

    @pytest.mark.parametrize("method", ONE_NAME)
    def test_a_name_of_256_bytes_is_invalid(self, kernel: Kernel, method: str) -> None:
        """ENAMETOOLONG, from every method that takes a name."""
        with refused(Invalid, errno.ENAMETOOLONG):
            getattr(kernel.storage, method)(LONG_NAME)

    @pytest.mark.parametrize("method", TWO_NAMES)
    def test_a_name_of_256_bytes_is_invalid_as_either_of_two(self, kernel: Kernel, method: str) -> None:
        """ENAMETOOLONG, and nothing happens to the other one."""
        kernel.storage.create("img_1")
        for names in ((LONG_NAME, "img_1"), ("img_1", LONG_NAME)):
            with refused(Invalid, errno.ENAMETOOLONG):
                getattr(kernel.storage, method)(*names)
        assert kernel.storage.names() == ("img_1",)

    @pytest.mark.parametrize("name", BAD_NAMES)
    @pytest.mark.parametrize("method", ["create", "describe", "nested", "size_bytes"])
    def test_what_is_no_single_component_is_invalid(self, kernel: Kernel, method: str, name: str) -> None:
        """No method can be led out of the store by a name."""
        with refused(Invalid, errno.EINVAL):
            getattr(kernel.storage, method)(name)

    @pytest.mark.parametrize("name", BAD_NAMES)
    @pytest.mark.parametrize("method", TWO_NAMES)
    def test_what_is_no_single_component_is_invalid_as_either_of_two(
        self, kernel: Kernel, method: str, name: str
    ) -> None:
        """The good name is left alone."""
        kernel.storage.create("img_1")
        for names in ((name, "img_1"), ("img_1", name)):
            with refused(Invalid, errno.EINVAL):
                getattr(kernel.storage, method)(*names)
        assert kernel.storage.names() == ("img_1",)

    @pytest.mark.parametrize("method", TWO_NAMES)
    @pytest.mark.parametrize(
        ("names", "number"),
        [
            (("a/b", LONG_NAME), errno.EINVAL),
            ((LONG_NAME, "a/b"), errno.ENAMETOOLONG),
            (("none", "a/b"), errno.EINVAL),
            (("none", LONG_NAME), errno.ENAMETOOLONG),
        ],
    )
    def test_of_two_bad_names_the_first_is_told(
        self, kernel: Kernel, method: str, names: tuple[str, str], number: int
    ) -> None:
        """And what can't be a name before what is not there."""
        with refused(Invalid, number):
            getattr(kernel.storage, method)(*names)

    @pytest.mark.parametrize("name", BAD_PATHS)
    def test_deleting_by_a_bad_path_is_invalid(self, kernel: Kernel, name: str) -> None:
        """Each component is checked, as nested subvolumes are deleted by their path."""
        kernel.storage.create("img_1")
        with refused(Invalid, errno.EINVAL):
            kernel.storage.delete(name)
        assert kernel.storage.names() == ("img_1",)

    def test_a_snapshot_holds_what_its_source_held(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """And what is written to one afterwards is not in the other."""
        kernel.storage.create("img_1")
        lab.write_file(f"{settings.store}/img_1/file", b"old")
        kernel.storage.snapshot("img_1", "ps_1")
        lab.write_file(f"{settings.store}/img_1/file", b"new")
        lab.write_file(f"{settings.store}/ps_1/own", b"own")
        assert lab.read_file(f"{settings.store}/ps_1/file") == b"old"
        assert not lab.exists(f"{settings.store}/img_1/own")

    def test_a_snapshot_onto_something_is_refused(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """It does not nest into the target, as the program `btrfs` would."""
        for name in ("img_1", "ps_1"):
            kernel.storage.create(name)
        with refused(AlreadyExists, errno.EEXIST):
            kernel.storage.snapshot("img_1", "ps_1")
        assert kernel.storage.nested("ps_1") == ()
        assert list(lab.tree(f"{settings.store}/ps_1")) == ["."]

    def test_a_snapshot_of_nothing_is_missing(self, kernel: Kernel) -> None:
        """And no target is made."""
        with refused(Missing, errno.ENOENT):
            kernel.storage.snapshot("img_1", "ps_1")
        assert kernel.storage.names() == ()

    def test_a_snapshot_of_a_plain_directory_is_invalid(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """Only subvolumes have snapshots."""
        lab.make_directory(f"{settings.store}/directory")
        with refused(Invalid, errno.EINVAL):
            kernel.storage.snapshot("directory", "ps_1")
        assert kernel.storage.names() == ()

    def test_a_read_only_snapshot_refuses_writing(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """EROFS, from the subvolume and not from the file system."""
        kernel.storage.create("img_1")
        kernel.storage.snapshot("img_1", "frozen", read_only=True)
        assert kernel.storage.describe("frozen").read_only
        with refused(ReadOnly):
            lab.write_file(f"{settings.store}/frozen/file", b"")

    def test_a_read_only_snapshot_can_be_published(self, kernel: Kernel) -> None:
        """It gets another name in the same directory."""
        kernel.storage.create("img_1")
        kernel.storage.snapshot("img_1", "frozen", read_only=True)
        kernel.storage.publish("frozen", "img_2")
        assert kernel.storage.describe("img_2").read_only

    def test_a_read_only_snapshot_can_be_deleted(self, kernel: Kernel) -> None:
        """Being read-only guards what is in it, not the whole."""
        kernel.storage.create("img_1")
        kernel.storage.snapshot("img_1", "frozen", read_only=True)
        kernel.storage.delete("frozen")
        assert kernel.storage.names() == ("img_1",)

    def test_a_snapshot_of_a_read_only_one_is_writable(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """Read-only is not inherited."""
        kernel.storage.create("img_1")
        kernel.storage.snapshot("img_1", "frozen", read_only=True)
        kernel.storage.snapshot("frozen", "ps_1")
        lab.write_file(f"{settings.store}/ps_1/file", b"new")
        assert not kernel.storage.describe("ps_1").read_only

    def test_a_nested_subvolume_is_an_empty_directory_in_the_snapshot(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """What it held is lost there, silently: the engine has to look first."""
        kernel.storage.create("img_1")
        lab.make_subvolume(f"{settings.store}/img_1/inner")
        lab.write_file(f"{settings.store}/img_1/inner/file", b"lost")
        kernel.storage.snapshot("img_1", "ps_1")
        assert kernel.storage.nested("ps_1") == ()
        assert sorted(lab.tree(f"{settings.store}/ps_1")) == [".", "inner"]

    def test_a_deleted_subvolume_is_gone(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """With all that was in it."""
        kernel.storage.create("img_1")
        lab.write_file(f"{settings.store}/img_1/file", b"")
        kernel.storage.delete("img_1")
        assert kernel.storage.names() == ()
        assert not lab.exists(f"{settings.store}/img_1")

    def test_deleting_nothing_is_missing(self, kernel: Kernel) -> None:
        """At the top and below it."""
        kernel.storage.create("img_1")
        for name in ("img_2", "img_2/inner", "img_1/inner", "img_1/no/inner"):
            with refused(Missing, errno.ENOENT):
                kernel.storage.delete(name)

    def test_deleting_a_plain_directory_is_invalid(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """An empty one too; it stays."""
        kernel.storage.create("img_1")
        for path in ("directory", "img_1/directory"):
            lab.make_directory(f"{settings.store}/{path}")
            with refused(Invalid, errno.EINVAL):
                kernel.storage.delete(path)
            assert lab.exists(f"{settings.store}/{path}")

    def test_deleting_a_file_is_invalid(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """It stays."""
        lab.write_file(f"{settings.store}/file", b"kept")
        with refused(Invalid):
            kernel.storage.delete("file")
        assert lab.exists(f"{settings.store}/file")

    def test_deleting_with_another_nested_inside_is_refused(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """ENOTEMPTY, and nothing was deleted."""
        kernel.storage.create("img_1")
        lab.write_file(f"{settings.store}/img_1/file", b"kept")
        lab.make_subvolume(f"{settings.store}/img_1/inner")
        with refused(NotEmpty, errno.ENOTEMPTY):
            kernel.storage.delete("img_1")
        assert lab.read_file(f"{settings.store}/img_1/file") == b"kept"
        assert kernel.storage.nested("img_1") == ("img_1/inner",)

    def test_the_source_can_be_deleted_while_snapshots_exist(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """They are independent; the snapshot still says what it was made of."""
        kernel.storage.create("img_1")
        lab.write_file(f"{settings.store}/img_1/file", b"kept")
        source = kernel.storage.describe("img_1").uuid
        kernel.storage.snapshot("img_1", "ps_1")
        kernel.storage.delete("img_1")
        assert lab.read_file(f"{settings.store}/ps_1/file") == b"kept"
        assert kernel.storage.describe("ps_1").parent_uuid == source

    def test_a_subvolume_that_is_a_process_root_can_be_deleted(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """The kernel knows no busy subvolume: that a running container stays is the engine's rule."""
        kernel.storage.create("ps_1")
        lab.spawn(f"{settings.store}/ps_1")
        kernel.storage.delete("ps_1")
        assert kernel.storage.names() == ()

    def test_deleting_takes_the_mounts_inside_along(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """A mount in it is no reason to refuse."""
        kernel.storage.create("ps_1")
        place = f"{settings.store}/ps_1/proc"
        lab.make_directory(place)
        lab.mount(place)
        assert kernel.host.mount_at(place) is not None
        kernel.storage.delete("ps_1")
        assert kernel.storage.names() == ()
        assert kernel.host.mount_at(place) is None

    def test_a_mount_of_what_is_deleted_stays_where_it_is(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """What is mounted of it elsewhere can be read still; what lies on it goes, whatever that is of."""
        kernel.storage.create("ps_1")
        inside, outside = f"{settings.store}/ps_1/directory", f"{settings.store}/outside"
        lab.make_directory(inside)
        for path, content in ((f"{inside}/file", b"kept"), (f"{inside}/covered", b""), (outside, b"the store's")):
            lab.write_file(path, content)
        kernel.host.protect(outside, f"{inside}/covered")
        kernel.host.protect(f"{inside}/file", outside)
        kernel.storage.delete("ps_1")
        assert kernel.host.mount_at(f"{inside}/covered") is None
        assert kernel.host.mount_at(outside) is not None
        assert lab.read_file(outside) == b"kept"
        kernel.host.unmount(outside)
        assert lab.read_file(outside) == b"the store's"

    def test_nested_subvolumes_are_found_at_any_depth(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """The deepest first, so that they can be deleted in that order; names come in order within a depth."""
        kernel.storage.create("ps_1")
        top = f"{settings.store}/ps_1"
        for path in ("b", "b/inner", "b/inner/most", "a"):
            lab.make_subvolume(f"{top}/{path}")
        lab.make_directory(f"{top}/plain")
        lab.make_subvolume(f"{top}/plain/inner")
        nested = ("ps_1/b/inner/most", "ps_1/b/inner", "ps_1/plain/inner", "ps_1/a", "ps_1/b")
        assert kernel.storage.nested("ps_1") == nested
        for path in (*nested, "ps_1"):
            kernel.storage.delete(path)
        assert kernel.storage.names() == ()

    def test_nested_subvolumes_are_found_and_deleted_below_a_path_of_any_length(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """A path longer than a system call takes (4096 bytes) is no place to hide; nor is another nested there."""
        kernel.storage.create("ps_1")
        path = "ps_1"
        for depth in range(DEEP):
            path += f"/{depth:02d}" + "x" * 198
            lab.make_directory(f"{settings.store}/{path}")
        inner = f"{path}/inner"
        lab.make_subvolume(f"{settings.store}/{inner}")
        lab.make_directory(f"{settings.store}/{inner}/plain")
        lab.make_subvolume(f"{settings.store}/{inner}/plain/most")
        assert kernel.storage.nested("ps_1") == (f"{inner}/plain/most", inner)
        with refused(NotEmpty, errno.ENOTEMPTY):
            kernel.storage.delete(inner)
        for name in (f"{inner}/plain/most", inner, "ps_1"):
            kernel.storage.delete(name)
        assert kernel.storage.names() == ()

    def test_subvolumes_nested_in_one_another_are_found_however_many(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """Each in the one before: a container can make as many as it likes."""
        kernel.storage.create("ps_1")
        names = ["ps_1"]
        for _ in range(CHAIN):
            names.append(f"{names[-1]}/s")
            lab.make_subvolume(f"{settings.store}/{names[-1]}")
        assert kernel.storage.nested("ps_1") == tuple(reversed(names[1:]))
        for name in reversed(names):
            kernel.storage.delete(name)
        assert kernel.storage.names() == ()

    def test_many_nested_subvolumes_are_all_found(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """More than the kernel tells in one answer (255)."""
        kernel.storage.create("ps_1")
        for number in range(300):
            lab.make_subvolume(f"{settings.store}/ps_1/{number:03d}")
        nested = kernel.storage.nested("ps_1")
        assert nested == tuple(f"ps_1/{number:03d}" for number in range(300))
        for path in nested:
            kernel.storage.delete(path)

    def test_nested_follows_the_names_of_any_bytes(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """A container chooses the names inside: blanks, newlines, bytes that are no UTF-8."""
        kernel.storage.create("ps_1")
        names = ("a b", "new\nline", "not-utf8-\udcff")
        for name in names:
            lab.make_subvolume(f"{settings.store}/ps_1/{name}")
        assert kernel.storage.nested("ps_1") == tuple(f"ps_1/{name}" for name in names)
        for name in names:
            kernel.storage.delete(f"ps_1/{name}")
        assert kernel.storage.nested("ps_1") == ()

    def test_a_link_on_the_way_to_a_nested_one_is_not_followed(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """A container can't make the engine delete what is another's."""
        kernel.storage.create("img_1")
        kernel.storage.create("ps_1")
        lab.make_subvolume(f"{settings.store}/img_1/victim")
        lab.make_link(f"{settings.store}/ps_1/link", "../img_1")
        lab.make_link(f"{settings.store}/ps_1/absolute", f"{settings.store}/img_1")
        for path in ("ps_1/link/victim", "ps_1/absolute/victim"):
            with refused(KernelError, errno.ELOOP):
                kernel.storage.delete(path)
        assert kernel.storage.nested("img_1") == ("img_1/victim",)

    def test_publishing_renames(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """The content and its uuid go along."""
        kernel.storage.create(".img_1.new")
        lab.write_file(f"{settings.store}/.img_1.new/file", b"kept")
        uuid = kernel.storage.describe(".img_1.new").uuid
        kernel.storage.publish(".img_1.new", "img_1")
        assert kernel.storage.names() == ("img_1",)
        assert kernel.storage.describe("img_1").uuid == uuid
        assert lab.read_file(f"{settings.store}/img_1/file") == b"kept"

    def test_a_mount_goes_along_with_the_directory_that_it_lies_in(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """It is on that, and not on its name: publishing and exchanging move it."""
        for name in ("img_42002", "img_42003"):
            kernel.storage.create(name)
        inside = f"{settings.store}/img_42002/inside"
        lab.make_directory(inside)
        lab.mount(inside)
        kernel.storage.publish("img_42002", "img_42004")
        assert kernel.host.mount_at(inside) is None
        assert kernel.host.mount_at(f"{settings.store}/img_42004/inside") is not None
        kernel.storage.exchange("img_42003", "img_42004")
        assert kernel.host.mount_at(f"{settings.store}/img_42003/inside") is not None
        kernel.host.unmount(f"{settings.store}/img_42003/inside")

    def test_a_plain_directory_can_be_published_and_exchanged(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """With what is in it, and with nothing of one whose name begins as its own."""
        for name in ("plain", "plainer"):
            lab.make_directory(f"{settings.store}/{name}")
            lab.make_directory(f"{settings.store}/{name}/below")
            lab.write_file(f"{settings.store}/{name}/below/file", name.encode())
        kernel.storage.publish("plain", "moved")
        assert lab.read_file(f"{settings.store}/moved/below/file") == b"plain"
        assert lab.read_file(f"{settings.store}/plainer/below/file") == b"plainer"
        kernel.storage.create("img_1")
        lab.write_file(f"{settings.store}/img_1/file", b"img_1")
        kernel.storage.exchange("img_1", "moved")
        assert lab.read_file(f"{settings.store}/img_1/below/file") == b"plain"
        assert lab.read_file(f"{settings.store}/moved/file") == b"img_1"
        assert kernel.storage.names() == ("moved",)

    def test_publishing_onto_something_is_refused(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """An empty subvolume, a directory and a file are in the way; nothing changes."""
        kernel.storage.create("new")
        kernel.storage.create("img_1")
        lab.make_directory(f"{settings.store}/directory")
        lab.write_file(f"{settings.store}/file", b"")
        before = kernel.storage.describe("img_1")
        for target in ("img_1", "directory", "file", "new"):
            with refused(AlreadyExists, errno.EEXIST):
                kernel.storage.publish("new", target)
        assert kernel.storage.names() == ("img_1", "new")
        assert kernel.storage.describe("img_1") == before

    def test_publishing_nothing_is_missing(self, kernel: Kernel) -> None:
        """And makes no target."""
        with refused(Missing, errno.ENOENT):
            kernel.storage.publish("new", "img_1")
        assert kernel.storage.names() == ()

    def test_publishing_nothing_onto_something_is_missing(self, kernel: Kernel) -> None:
        """What is to be renamed is looked for first; so with a snapshot of nothing."""
        kernel.storage.create("img_1")
        for act in (kernel.storage.publish, kernel.storage.snapshot):
            with refused(Missing, errno.ENOENT):
                act("none", "img_1")

    def test_exchange_swaps_the_names(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """Each uuid stays with its content; this is how an image is replaced."""
        uuids = {}
        for name in ("img_1", ".img_1.new"):
            kernel.storage.create(name)
            lab.write_file(f"{settings.store}/{name}/file", name.encode())
            uuids[name] = kernel.storage.describe(name).uuid
        kernel.storage.exchange("img_1", ".img_1.new")
        assert lab.read_file(f"{settings.store}/img_1/file") == b".img_1.new"
        assert kernel.storage.describe("img_1").uuid == uuids[".img_1.new"]
        assert kernel.storage.describe(".img_1.new").uuid == uuids["img_1"]

    def test_exchange_takes_nested_ones_along(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """They stay inside what they were inside of."""
        for name in ("img_1", "img_2"):
            kernel.storage.create(name)
        lab.make_subvolume(f"{settings.store}/img_1/inner")
        kernel.storage.exchange("img_1", "img_2")
        assert kernel.storage.nested("img_1") == ()
        assert kernel.storage.nested("img_2") == ("img_2/inner",)

    def test_exchange_with_nothing_is_missing(self, kernel: Kernel) -> None:
        """Whichever is missing, the other keeps its name."""
        kernel.storage.create("img_1")
        for names in (("img_1", "img_2"), ("img_2", "img_1")):
            with refused(Missing, errno.ENOENT):
                kernel.storage.exchange(*names)
        assert kernel.storage.names() == ("img_1",)

    def test_a_description_of_a_new_subvolume(self, kernel: Kernel) -> None:
        """It has a uuid of its own, no parent, and can be written to."""
        kernel.storage.create("img_1")
        kernel.storage.create("img_2")
        first, second = (kernel.storage.describe(name) for name in ("img_1", "img_2"))
        assert (first.name, first.parent_uuid, first.read_only) == ("img_1", None, False)
        assert len(first.uuid) == UUID_LENGTH
        assert set(first.uuid) <= set("0123456789abcdef")
        assert first.uuid != second.uuid

    def test_a_description_of_a_snapshot(self, kernel: Kernel) -> None:
        """It has a uuid of its own, and its source's as its parent."""
        kernel.storage.create("img_1")
        kernel.storage.snapshot("img_1", "ps_1")
        source, snapshot = (kernel.storage.describe(name) for name in ("img_1", "ps_1"))
        assert snapshot.uuid != source.uuid
        assert snapshot.parent_uuid == source.uuid

    @pytest.mark.parametrize("method", ["describe", "nested", "size_bytes"])
    def test_asking_about_nothing_is_missing(self, kernel: Kernel, method: str) -> None:
        """ENOENT."""
        with refused(Missing, errno.ENOENT):
            getattr(kernel.storage, method)("img_1")

    @pytest.mark.parametrize("method", ["describe", "nested", "size_bytes"])
    def test_asking_about_a_plain_directory_is_invalid(
        self, kernel: Kernel, settings: Settings, lab: Lab, method: str
    ) -> None:
        """Although the kernel would answer for the subvolume around it."""
        lab.make_directory(f"{settings.store}/directory")
        with refused(Invalid, errno.EINVAL):
            getattr(kernel.storage, method)("directory")

    @pytest.mark.parametrize("method", ["describe", "nested", "size_bytes", "snapshot"])
    def test_a_link_at_the_top_is_not_followed(self, kernel: Kernel, settings: Settings, lab: Lab, method: str) -> None:
        """A link is no subvolume, wherever it leads."""
        kernel.storage.create("img_1")
        lab.make_link(f"{settings.store}/link", "img_1")
        with refused(Invalid):
            getattr(kernel.storage, method)(*("link", "ps_1")[: 2 if method == "snapshot" else 1])

    def test_a_size_is_what_the_files_take(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """At least their content, at most filled up to whole blocks; directories take nothing."""
        kernel.storage.create("img_1")
        lab.make_directory(f"{settings.store}/img_1/directory")
        kernel.storage.sync()
        assert kernel.storage.size_bytes("img_1") == 0
        lab.write_file(f"{settings.store}/img_1/small", b"x" * 100)
        lab.write_file(f"{settings.store}/img_1/directory/large", b"y" * 1_000_001)
        kernel.storage.sync()
        assert 1_000_101 <= kernel.storage.size_bytes("img_1") <= 1_000_101 + 2 * BLOCK_BYTES

    def test_a_size_counts_a_file_once(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """Whatever number of names it has."""
        kernel.storage.create("img_1")
        lab.fill(f"{settings.store}/img_1/kinds")
        kernel.storage.sync()
        before = kernel.storage.size_bytes("img_1")
        kernel.storage.snapshot("img_1", "once", read_only=True)
        contents = {entry.first_name: entry for entry in lab.tree(f"{settings.store}/img_1").values()}
        assert len(contents) < len(lab.tree(f"{settings.store}/img_1"))
        few = sum(len(entry.content) for entry in contents.values() if not entry.sparse)
        assert few <= before
        assert kernel.storage.size_bytes("once") == before

    def test_a_size_counts_what_snapshots_share(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """In each of them."""
        kernel.storage.create("img_1")
        lab.write_file(f"{settings.store}/img_1/file", b"x" * 100_000)
        kernel.storage.snapshot("img_1", "ps_1")
        sizes = [kernel.storage.size_bytes(name) for name in ("img_1", "ps_1")]
        assert sizes[0] == sizes[1] >= 100_000

    def test_a_size_since_a_snapshot_is_what_was_written_after_it(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """New files and new content; not what was only read, moved to another snapshot, or deleted."""
        kernel.storage.create("img_1")
        for name in ("kept", "changed", "deleted"):
            lab.write_file(f"{settings.store}/img_1/{name}", b"x" * 1_000_000)
        kernel.storage.snapshot("img_1", "base", read_only=True)
        kernel.storage.snapshot("base", "ps_1")
        kernel.storage.sync()
        assert kernel.storage.size_bytes("ps_1", "base") == 0
        assert len(lab.read_file(f"{settings.store}/ps_1/kept")) == 1_000_000
        lab.write_file(f"{settings.store}/ps_1/changed", b"y" * 50_000)
        lab.write_file(f"{settings.store}/ps_1/new", b"z" * 70_000)
        lab.write_file(f"{lab.directory}/layer", layers.archive(layers.file(b".wh.deleted")))
        kernel.archives.unpack(f"{lab.directory}/layer", f"{settings.store}/ps_1", Bounds())
        kernel.storage.sync()
        kernel.storage.snapshot("ps_1", "later", read_only=True)
        for name in ("ps_1", "later"):
            assert 120_000 <= kernel.storage.size_bytes(name, "base") <= 120_000 + 2 * BLOCK_BYTES

    def test_a_size_since_itself_is_what_was_written_into_a_snapshot(
        self, kernel: Kernel, settings: Settings, lab: Lab
    ) -> None:
        """Not what it was made of, whatever is written there later."""
        kernel.storage.create("img_1")
        lab.write_file(f"{settings.store}/img_1/kept", b"x" * 1_000_000)
        kernel.storage.snapshot("img_1", "ps_1")
        kernel.storage.sync()
        assert kernel.storage.size_bytes("ps_1", "ps_1") == 0
        lab.write_file(f"{settings.store}/ps_1/new", b"z" * 70_000)
        lab.write_file(f"{settings.store}/img_1/other", b"z" * 70_000)
        kernel.storage.sync()
        assert 70_000 <= kernel.storage.size_bytes("ps_1", "ps_1") <= 70_000 + BLOCK_BYTES

    def test_a_size_since_what_is_no_snapshot_is_refused(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """Missing or no subvolume; its name is one component too."""
        kernel.storage.create("img_1")
        lab.make_directory(f"{settings.store}/directory")
        for since, kind in (("img_2", Missing), ("directory", Invalid), ("a/b", Invalid), (LONG_NAME, Invalid)):
            with refused(kind):
                kernel.storage.size_bytes("img_1", since)

    def test_names_are_sorted_and_of_subvolumes_only(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """Plain files, directories and links are left out; names that begin with a dot are not."""
        for name in ("ps_1", "img_1", ".img_2.new"):
            kernel.storage.create(name)
        lab.make_directory(f"{settings.store}/.meta")
        lab.write_file(f"{settings.store}/file", b"")
        lab.make_link(f"{settings.store}/link", "img_1")
        lab.make_subvolume(f"{settings.store}/ps_1/inner")
        assert kernel.storage.names() == (".img_2.new", "img_1", "ps_1")

    def test_an_empty_store_has_no_names(self, kernel: Kernel) -> None:
        """That is no error."""
        assert kernel.storage.names() == ()

    def test_sync_keeps_everything(self, kernel: Kernel) -> None:
        """It changes nothing that can be seen."""
        kernel.storage.create("img_1")
        kernel.storage.sync()
        assert kernel.storage.names() == ("img_1",)

    @pytest.mark.parametrize(("method", "names"), [*CHANGES, *QUESTIONS])
    def test_without_a_store_everything_is_missing(self, lab: Lab, method: str, names: tuple[str, ...]) -> None:
        """Never an empty list: that would hide that the store is not mounted (W13)."""
        with refused(Missing, errno.ENOENT):
            _call(lab.kernel(MISSING), method, names)

    @pytest.mark.parametrize(("method", "names"), [*CHANGES[:1], *CHANGES[3:], *QUESTIONS[1:2], *QUESTIONS[4:]])
    def test_a_store_that_is_no_btrfs_is_unsupported(self, lab: Lab, method: str, names: tuple[str, ...]) -> None:
        """Never a wrong answer: inode numbers mean nothing there."""
        with refused(Unsupported, errno.ENOTTY):
            _call(lab.kernel(PLAIN), method, names)

    @pytest.mark.parametrize(("method", "names"), [*CHANGES[1:3], QUESTIONS[0], *QUESTIONS[2:4]])
    def test_a_directory_in_a_store_that_is_no_btrfs_is_unsupported(
        self, lab: Lab, method: str, names: tuple[str, ...]
    ) -> None:
        """As the store itself; and it stays."""
        lab.make_directory(f"{lab.place(PLAIN)}/img_42002")
        with refused(Unsupported, errno.ENOTTY):
            _call(lab.kernel(PLAIN), method, names)
        assert lab.exists(f"{lab.place(PLAIN)}/img_42002")

    @pytest.mark.parametrize(("method", "names"), CHANGES)
    def test_a_read_only_store_is_not_changed(self, lab: Lab, method: str, names: tuple[str, ...]) -> None:
        """EROFS, from every method that changes something."""
        kernel = lab.kernel(READ_ONLY)
        with refused(ReadOnly, errno.EROFS):
            _call(kernel, method, names)
        assert kernel.storage.names() == ("img_42002",)

    @pytest.mark.parametrize(("method", "names"), QUESTIONS)
    def test_a_read_only_store_answers(self, lab: Lab, method: str, names: tuple[str, ...]) -> None:
        """Asking changes nothing."""
        _call(lab.kernel(READ_ONLY), method, names)

    @pytest.mark.parametrize(("method", "names"), CHANGES[:4])
    def test_what_may_not_be_changed_is_denied(self, lab: Lab, method: str, names: tuple[str, ...]) -> None:
        """EPERM or EACCES, and nothing changes."""
        kernel = lab.kernel(DENIED)
        with refused(Denied):
            _call(kernel, method, names)
        assert kernel.storage.names() == ("img_42002",)

    @pytest.mark.parametrize(("method", "names"), CHANGES[:2])
    def test_a_full_store_takes_no_more(self, lab: Lab, method: str, names: tuple[str, ...]) -> None:
        """ENOSPC, and no half-made subvolume is listed."""
        kernel = lab.kernel(FULL)
        before = kernel.storage.names()
        with refused(NoSpace, errno.ENOSPC):
            _call(kernel, method, names)
        assert kernel.storage.names() == before


def _call(kernel: Kernel, method: str, names: tuple[str, ...]) -> Any:
    return getattr(kernel.storage, method)(*names)
