from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from bocker.kernel.errors import AlreadyExists, Busy, Denied, Invalid, KernelError, Missing, NoSpace, NotEmpty, ReadOnly
from tests.contracts.lab import DENIED, FULL, MISSING, READ_ONLY
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

IMAGE_BYTES = 120 << 20
TOO_SMALL_BYTES = 1 << 20
FORWARDING = "net.ipv4.ip_forward"
ALL_NAMES = ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding")
ODD_NAME = "a b\t\n\\"


class HostContract:
    @pytest.fixture
    def forwarding(self, kernel: Kernel) -> Iterator[None]:
        """Put the setting back that tests change."""
        before = kernel.host.read_sysctl(FORWARDING)
        yield
        kernel.host.write_sysctl(FORWARDING, before)

    def test_the_facts_of_a_privileged_host(self, kernel: Kernel) -> None:
        """These tests need root; the program runs from a file, on at least one processor."""
        facts = kernel.host.facts()
        assert facts.privileged
        assert facts.processors >= 1
        assert facts.interpreter.startswith("/")
        assert facts.interpreter_read_only in {True, False}
        assert facts.kernel_version > (5, 0)

    def test_a_program_keeps_the_mount_by_which_it_was_started(self, kernel: Kernel) -> None:
        """Whether its interpreter is read-only does not change when that is protected: the next program has it so."""
        before = kernel.host.facts()
        kernel.host.protect(before.interpreter, before.interpreter)
        after = kernel.host.facts()
        kernel.host.unmount(before.interpreter, detach=True)
        assert after == before

    def test_nothing_is_mounted_at_a_plain_directory(self, kernel: Kernel, lab: Lab) -> None:
        """None, although it lies in a mount; the same where there is no directory."""
        assert kernel.host.mount_at(lab.directory) is None
        assert kernel.host.mount_at(f"{lab.directory}/no") is None

    def test_a_mount_is_found_at_its_target_only(self, kernel: Kernel, lab: Lab) -> None:
        """Neither below nor above it."""
        place = f"{lab.directory}/place"
        lab.make_directory(place)
        lab.mount(place)
        lab.make_directory(f"{place}/below")
        found = kernel.host.mount_at(place)
        assert found is not None
        assert (found.target, found.kind) == (place, "tmpfs")
        assert kernel.host.mount_at(f"{place}/below") is None
        assert kernel.host.mount_at(lab.directory) is None

    def test_a_mount_is_found_under_an_odd_name(self, kernel: Kernel, lab: Lab) -> None:
        """Blanks, tabs, newlines and backslashes."""
        place = f"{lab.directory}/{ODD_NAME}"
        lab.make_directory(place)
        lab.mount(place)
        found = kernel.host.mount_at(place)
        assert found is not None
        assert found.target == place

    def test_the_newest_mount_counts(self, kernel: Kernel, lab: Lab) -> None:
        """It covers the one below it, which comes back when it is unmounted."""
        place = f"{lab.directory}/place"
        lab.make_directory(place)
        lab.mount(place)
        lab.mount(place)
        kernel.host.restrict(place)
        newest = kernel.host.mount_at(place)
        kernel.host.unmount(place)
        older = kernel.host.mount_at(place)
        assert newest is not None
        assert older is not None
        assert "nosuid" in newest.flags
        assert "nosuid" not in older.flags

    def test_a_file_system_in_a_file_can_be_mounted(self, kernel: Kernel, lab: Lab) -> None:
        """A btrfs, nosuid and nodev from the start, at a directory that was made for it."""
        image, target = f"{lab.directory}/image", f"{lab.directory}/target"
        kernel.host.make_filesystem(image, IMAGE_BYTES)
        kernel.host.mount_image(image, target)
        mounted = kernel.host.mount_at(target)
        assert mounted is not None
        assert (mounted.target, mounted.kind) == (target, "btrfs")
        assert {"nosuid", "nodev", "rw"} <= set(mounted.flags)
        assert list(lab.tree(target)) == ["."]
        assert lab.tree(target)["."].mode == 0o755
        kernel.host.unmount(target)
        assert kernel.host.mount_at(target) is None
        assert lab.tree(target)["."].mode == 0o700

    def test_what_was_written_to_a_mounted_image_is_there_the_next_time(self, kernel: Kernel, lab: Lab) -> None:
        """It is in the file."""
        image, target = f"{lab.directory}/image", f"{lab.directory}/target"
        kernel.host.make_filesystem(image, IMAGE_BYTES)
        for _ in range(2):
            kernel.host.mount_image(image, target)
            assert lab.exists(f"{target}/file") or lab.write_file(f"{target}/file", b"kept") is None
            assert lab.read_file(f"{target}/file") == b"kept"
            kernel.host.unmount(target)
            assert not lab.exists(f"{target}/file")

    def test_a_file_with_a_file_system_is_sparse_and_private(self, kernel: Kernel, lab: Lab) -> None:
        """Mode 0600, and it takes less than its size."""
        image = f"{lab.directory}/image"
        kernel.host.make_filesystem(image, IMAGE_BYTES)
        entry = lab.tree(lab.directory)["image"]
        assert (entry.kind, entry.mode, entry.sparse) == ("file", 0o600, True)

    def test_a_file_system_is_not_made_over_a_file(self, kernel: Kernel, lab: Lab) -> None:
        """EEXIST; the file stays as it is."""
        image = f"{lab.directory}/image"
        lab.write_file(image, b"kept")
        with refused(AlreadyExists, errno.EEXIST):
            kernel.host.make_filesystem(image, IMAGE_BYTES)
        assert lab.read_file(image) == b"kept"

    def test_a_file_system_is_not_made_through_a_link(self, kernel: Kernel, lab: Lab) -> None:
        """EEXIST, wherever it leads; there nothing is made."""
        for target in ("none", "file"):
            lab.make_link(f"{lab.directory}/link to {target}", target)
        lab.write_file(f"{lab.directory}/file", b"kept")
        for target in ("none", "file"):
            with refused(AlreadyExists, errno.EEXIST):
                kernel.host.make_filesystem(f"{lab.directory}/link to {target}", IMAGE_BYTES)
        assert not lab.exists(f"{lab.directory}/none")
        assert lab.read_file(f"{lab.directory}/file") == b"kept"

    def test_a_file_system_can_be_too_small(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL, and no file is left."""
        with refused(Invalid, errno.EINVAL):
            kernel.host.make_filesystem(f"{lab.directory}/image", TOO_SMALL_BYTES)
        assert not lab.exists(f"{lab.directory}/image")

    def test_a_file_system_where_there_is_no_directory_is_missing(self, kernel: Kernel, lab: Lab) -> None:
        """ENOENT."""
        with refused(Missing, errno.ENOENT):
            kernel.host.make_filesystem(f"{lab.place(MISSING)}/image", IMAGE_BYTES)

    def test_a_file_system_on_a_full_disk_leaves_nothing(self, kernel: Kernel, lab: Lab) -> None:
        """ENOSPC."""
        path = f"{lab.place(FULL)}/image"
        with refused(NoSpace, errno.ENOSPC):
            kernel.host.make_filesystem(path, IMAGE_BYTES)
        assert not lab.exists(path)

    def test_mounting_no_image_is_missing(self, kernel: Kernel, lab: Lab) -> None:
        """ENOENT, and no directory is made."""
        with refused(Missing, errno.ENOENT):
            kernel.host.mount_image(f"{lab.directory}/image", f"{lab.directory}/target")
        assert not lab.exists(f"{lab.directory}/target")

    def test_mounting_a_file_without_a_file_system_is_invalid(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL; a directory that was made for it is gone, one that was there stays."""
        image, target = f"{lab.directory}/image", f"{lab.directory}/target"
        lab.write_file(image, bytes(TOO_SMALL_BYTES))
        with refused(Invalid, errno.EINVAL):
            kernel.host.mount_image(image, target)
        assert not lab.exists(target)
        lab.make_directory(target)
        with refused(Invalid, errno.EINVAL):
            kernel.host.mount_image(image, target)
        assert lab.exists(target)

    def test_mounting_at_a_file_is_invalid(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL, and the file stays as it is."""
        image, target = f"{lab.directory}/image", f"{lab.directory}/target"
        kernel.host.make_filesystem(image, IMAGE_BYTES)
        lab.write_file(target, b"mine")
        with refused(Invalid, errno.EINVAL):
            kernel.host.mount_image(image, target)
        assert lab.read_file(target) == b"mine"

    def test_mounting_twice_is_busy(self, kernel: Kernel, lab: Lab) -> None:
        """EBUSY; it stays mounted once."""
        image, target = f"{lab.directory}/image", f"{lab.directory}/target"
        kernel.host.make_filesystem(image, IMAGE_BYTES)
        kernel.host.mount_image(image, target)
        with refused(Busy, errno.EBUSY):
            kernel.host.mount_image(image, target)
        kernel.host.unmount(target)
        assert kernel.host.mount_at(target) is None

    def test_a_restricted_mount_is_for_root_alone(self, kernel: Kernel, lab: Lab) -> None:
        """Mode 0700, nosuid and nodev; restricted once more, it is the same (S14)."""
        place = f"{lab.directory}/place"
        lab.make_directory(place)
        lab.mount(place)
        lab.write_file(f"{place}/file", b"kept")
        for _ in range(2):
            kernel.host.restrict(place)
            mounted = kernel.host.mount_at(place)
            assert mounted is not None
            assert {"nosuid", "nodev", "rw"} <= set(mounted.flags)
            assert lab.tree(place)["."].mode == 0o700
        assert lab.read_file(f"{place}/file") == b"kept"

    def test_restricting_where_nothing_is_mounted_is_invalid(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL, and the directory's mode stays; ENOENT where there is none."""
        place = f"{lab.directory}/place"
        lab.make_directory(place)
        with refused(Invalid, errno.EINVAL):
            kernel.host.restrict(place)
        assert lab.tree(place)["."].mode == 0o755
        with refused(Missing, errno.ENOENT):
            kernel.host.restrict(f"{lab.directory}/no")

    def test_what_is_read_only_can_not_be_restricted(self, kernel: Kernel, lab: Lab) -> None:
        """EROFS, and the mount stays as it is."""
        path = f"{lab.directory}/program"
        lab.write_file(path, b"content")
        kernel.host.protect(path, path)
        before = kernel.host.mount_at(path)
        with refused(ReadOnly, errno.EROFS):
            kernel.host.restrict(path)
        assert kernel.host.mount_at(path) == before
        kernel.host.unmount(path)

    def test_a_protected_file_can_not_be_written_through_the_mount(self, kernel: Kernel, lab: Lab) -> None:
        """EROFS there; the file itself, by its own path, can."""
        path, target = f"{lab.directory}/program", f"{lab.directory}/mounted"
        lab.write_file(path, b"old")
        kernel.host.protect(path, target)
        with refused(ReadOnly, errno.EROFS):
            lab.write_file(target, b"new")
        assert lab.read_file(target) == b"old"
        mounted = kernel.host.mount_at(target)
        assert mounted is not None
        assert "ro" in mounted.flags
        kernel.host.unmount(target)

    def test_a_file_can_be_protected_in_its_own_place(self, kernel: Kernel, lab: Lab) -> None:
        """Nobody can open it for writing by its name until it is unmounted."""
        path = f"{lab.directory}/program"
        lab.write_file(path, b"old")
        kernel.host.protect(path, path)
        with refused(ReadOnly, errno.EROFS):
            lab.write_file(path, b"new")
        kernel.host.unmount(path)
        lab.write_file(path, b"new")
        assert lab.read_file(path) == b"new"

    def test_a_protected_file_keeps_what_its_mount_forbids(self, kernel: Kernel, lab: Lab) -> None:
        """It is of the same file system, with the same flags but for being read-only."""
        image, target, mounted = (f"{lab.directory}/{name}" for name in ("image", "target", "mounted"))
        kernel.host.make_filesystem(image, IMAGE_BYTES)
        kernel.host.mount_image(image, target)
        lab.write_file(f"{target}/program", b"")
        kernel.host.protect(f"{target}/program", mounted)
        found = kernel.host.mount_at(mounted)
        for path in (mounted, target):
            kernel.host.unmount(path)
        assert found is not None
        assert found.kind == "btrfs"
        assert {"ro", "rw", "nosuid", "nodev"} & set(found.flags) == {"ro", "nosuid", "nodev"}

    def test_an_image_that_is_deleted_lives_on_while_it_is_mounted(self, kernel: Kernel, lab: Lab) -> None:
        """What is made in its place is another one."""
        image, target = f"{lab.directory}/image", f"{lab.directory}/target"
        for count in range(2):
            kernel.host.make_filesystem(image, IMAGE_BYTES)
            kernel.host.mount_image(image, target)
            assert not lab.exists(f"{target}/file")
            if count == 0:
                kernel.host.delete(image)
                assert not lab.exists(image)
            lab.write_file(f"{target}/file", b"kept")
            assert lab.read_file(f"{target}/file") == b"kept"
            kernel.host.unmount(target)
        kernel.host.delete(image)

    def test_protecting_makes_the_place_and_its_directory(self, kernel: Kernel, lab: Lab) -> None:
        """The directory has mode 0755, the file below the mount is empty and nobody else's."""
        path, target = f"{lab.directory}/program", f"{lab.directory}/new/mounted"
        lab.write_file(path, b"content")
        kernel.host.protect(path, target)
        assert lab.read_file(target) == b"content"
        kernel.host.unmount(target)
        assert lab.read_file(target) == b""
        tree = lab.tree(lab.directory)
        assert (tree["new"].mode, tree["new/mounted"].mode) == (0o755, 0o600)

    def test_protecting_twice_is_busy(self, kernel: Kernel, lab: Lab) -> None:
        """EBUSY; one unmount is enough."""
        path, target = f"{lab.directory}/program", f"{lab.directory}/mounted"
        lab.write_file(path, b"")
        kernel.host.protect(path, target)
        with refused(Busy, errno.EBUSY):
            kernel.host.protect(path, target)
        kernel.host.unmount(target)
        assert kernel.host.mount_at(target) is None

    def test_protecting_no_file_is_missing(self, kernel: Kernel, lab: Lab) -> None:
        """ENOENT, and nothing is made."""
        with refused(Missing, errno.ENOENT):
            kernel.host.protect(f"{lab.directory}/program", f"{lab.directory}/mounted")
        assert list(lab.tree(lab.directory)) == ["."]

    def test_protecting_a_directory_is_refused_and_makes_nothing(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL: it can't be mounted at the file that was made for it, which goes again, with its directory."""
        lab.make_directory(f"{lab.directory}/program")
        with refused(Invalid, errno.EINVAL):
            kernel.host.protect(f"{lab.directory}/program", f"{lab.directory}/new/mounted")
        assert sorted(lab.tree(lab.directory)) == [".", "program"]

    def test_unmounting_where_nothing_is_mounted_is_invalid(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL; ENOENT where there is no directory."""
        with refused(Invalid, errno.EINVAL):
            kernel.host.unmount(lab.directory)
        with refused(Missing, errno.ENOENT):
            kernel.host.unmount(f"{lab.directory}/no")

    def test_unmounting_what_is_in_use_is_busy(self, kernel: Kernel, lab: Lab) -> None:
        """EBUSY until the process that has its root there is gone."""
        place = f"{lab.directory}/place"
        lab.make_directory(place)
        lab.mount(place)
        pid = lab.spawn(place)
        with refused(Busy, errno.EBUSY):
            kernel.host.unmount(place)
        lab.kill(pid)
        kernel.host.unmount(place)
        assert kernel.host.mount_at(place) is None

    def test_what_is_in_use_can_be_detached(self, kernel: Kernel, lab: Lab) -> None:
        """It is gone at once with what is mounted in it, and who uses it lives on and stands in no other's way."""
        place = f"{lab.directory}/place"
        lab.make_directory(place)
        lab.mount(place)
        lab.make_directory(f"{place}/below")
        lab.mount(f"{place}/below")
        pid = lab.spawn(place)
        with refused(Busy, errno.EBUSY):
            kernel.host.unmount(place)
        kernel.host.unmount(place, detach=True)
        assert kernel.host.mount_at(place) is None
        assert kernel.host.mount_at(f"{place}/below") is None
        assert not lab.exists(f"{place}/below")
        assert lab.fork(pid) == 0
        lab.mount(place)
        kernel.host.unmount(place)
        lab.kill(pid)

    def test_detaching_where_nothing_is_mounted_is_refused(self, kernel: Kernel, lab: Lab) -> None:
        """As without: EINVAL, and ENOENT where there is no directory."""
        with refused(Invalid, errno.EINVAL):
            kernel.host.unmount(lab.directory, detach=True)
        with refused(Missing, errno.ENOENT):
            kernel.host.unmount(f"{lab.directory}/no", detach=True)

    def test_files_links_and_empty_directories_can_be_deleted(self, kernel: Kernel, lab: Lab) -> None:
        """Of a link only itself."""
        lab.write_file(f"{lab.directory}/file", b"kept")
        lab.make_link(f"{lab.directory}/link", "file")
        lab.make_directory(f"{lab.directory}/empty")
        lab.make_link(f"{lab.directory}/link to directory", "empty")
        for name in ("link", "link to directory"):
            kernel.host.delete(f"{lab.directory}/{name}")
        assert sorted(lab.tree(lab.directory)) == [".", "empty", "file"]
        for name in ("file", "empty"):
            kernel.host.delete(f"{lab.directory}/{name}")
        assert list(lab.tree(lab.directory)) == ["."]

    def test_deleting_nothing_is_missing(self, kernel: Kernel, lab: Lab) -> None:
        """ENOENT."""
        with refused(Missing, errno.ENOENT):
            kernel.host.delete(f"{lab.directory}/no")

    def test_deleting_a_directory_with_something_in_it_is_refused(self, kernel: Kernel, lab: Lab) -> None:
        """ENOTEMPTY, and all stays."""
        lab.make_directory(f"{lab.directory}/full")
        lab.write_file(f"{lab.directory}/full/file", b"")
        with refused(NotEmpty, errno.ENOTEMPTY):
            kernel.host.delete(f"{lab.directory}/full")
        assert lab.exists(f"{lab.directory}/full/file")

    def test_deleting_a_mount_point_is_busy(self, kernel: Kernel, lab: Lab) -> None:
        """EBUSY."""
        place = f"{lab.directory}/place"
        lab.make_directory(place)
        lab.mount(place)
        with refused(Busy, errno.EBUSY):
            kernel.host.delete(place)
        assert kernel.host.mount_at(place) is not None

    def test_what_may_not_be_deleted_stays(self, kernel: Kernel, lab: Lab) -> None:
        """EROFS on a read-only file system, EPERM or EACCES where it is not allowed."""
        with refused(ReadOnly, errno.EROFS):
            kernel.host.delete(f"{lab.place(READ_ONLY)}/file")
        with refused(Denied):
            kernel.host.delete(f"{lab.place(DENIED)}/file")
        assert lab.read_file(f"{lab.place(READ_ONLY)}/file") == b"content"
        assert lab.read_file(f"{lab.place(DENIED)}/file") == b"content"

    def test_a_copy_has_everything(self, kernel: Kernel, lab: Lab) -> None:
        """Every kind of file, owner, mode, time, link, device, attribute and hole; the root's own too (W4, W5)."""
        source, target = f"{lab.directory}/source", f"{lab.directory}/target"
        lab.fill(source)
        lab.make_directory(target)
        kernel.host.copy_tree(source, target)
        copied = lab.tree(target)
        assert copied == lab.tree(source)
        kinds = {entry.kind for entry in copied.values()}
        assert kinds == {"file", "directory", "link", "character", "block", "fifo"}
        assert any(entry.sparse for entry in copied.values())
        assert any(entry.attributes for entry in copied.values())
        assert any(entry.mode & 0o4000 for entry in copied.values())
        assert any(name != entry.first_name for name, entry in copied.items())
        assert copied["."].owner != (0, 0)

    def test_a_copy_is_independent(self, kernel: Kernel, lab: Lab) -> None:
        """Also where the file system shares the blocks of both."""
        source, target = f"{lab.directory}/source", f"{lab.directory}/target"
        for path in (source, target):
            lab.make_directory(path)
        lab.write_file(f"{source}/file", b"old" * 10_000)
        kernel.host.copy_tree(source, target)
        lab.write_file(f"{source}/file", b"new")
        assert lab.read_file(f"{target}/file") == b"old" * 10_000

    @pytest.mark.parametrize("name", ["empty", "-dash", "--help", "with blank", "not-utf8-\udcff"])
    def test_a_directory_of_any_name_can_be_copied(self, kernel: Kernel, lab: Lab, name: str) -> None:
        """An empty one as well (W6)."""
        source, target = f"{lab.directory}/{name}", f"{lab.directory}/target"
        for path in (source, target):
            lab.make_directory(path)
        kernel.host.copy_tree(source, target)
        assert lab.tree(target) == lab.tree(source)

    def test_a_copy_of_no_directory_is_refused(self, kernel: Kernel, lab: Lab) -> None:
        """Missing when there is nothing, ENOTDIR for a file; the target stays empty."""
        target = f"{lab.directory}/target"
        lab.make_directory(target)
        with refused(Missing, errno.ENOENT):
            kernel.host.copy_tree(f"{lab.directory}/no", target)
        lab.write_file(f"{lab.directory}/file", b"")
        with refused(Invalid, errno.ENOTDIR):
            kernel.host.copy_tree(f"{lab.directory}/file", target)
        assert list(lab.tree(target)) == ["."]

    def test_a_copy_into_nothing_is_missing(self, kernel: Kernel, lab: Lab) -> None:
        """ENOENT: the target has to be there."""
        lab.make_directory(f"{lab.directory}/source")
        with refused(Missing, errno.ENOENT):
            kernel.host.copy_tree(f"{lab.directory}/source", f"{lab.directory}/target")

    def test_a_copy_into_a_file_is_refused(self, kernel: Kernel, lab: Lab) -> None:
        """ENOTDIR, and the file stays."""
        lab.make_directory(f"{lab.directory}/source")
        lab.write_file(f"{lab.directory}/file", b"kept")
        with refused(Invalid, errno.ENOTDIR):
            kernel.host.copy_tree(f"{lab.directory}/source", f"{lab.directory}/file")
        assert lab.read_file(f"{lab.directory}/file") == b"kept"

    def test_a_copy_into_itself_is_refused(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL, whatever way leads there, and nothing is copied; out of itself it may go."""
        source = f"{lab.directory}/source"
        for path in (source, f"{source}/inside", f"{source}/inside/deep"):
            lab.make_directory(path)
        lab.make_link(f"{lab.directory}/link", "source/inside")
        for target in (source, f"{source}/inside", f"{source}/inside/deep", f"{lab.directory}/link"):
            with refused(Invalid, errno.EINVAL):
                kernel.host.copy_tree(source, target)
        with refused(Invalid, errno.EINVAL):
            kernel.host.copy_tree("/", source)
        with refused(Invalid, errno.EINVAL):
            kernel.host.copy_tree(f"{lab.directory}/link", f"{source}/inside/deep")
        assert sorted(lab.tree(source)) == [".", "inside", "inside/deep"]
        kernel.host.copy_tree(f"{source}/inside", source)
        assert sorted(lab.tree(source)) == [".", "deep", "inside", "inside/deep"]

    @pytest.mark.parametrize(
        ("condition", "inside", "kind"),
        [(FULL, "/img_42002", NoSpace), (READ_ONLY, "/img_42002", ReadOnly), (DENIED, "", Denied)],
    )
    def test_a_copy_that_finds_no_place_is_refused(
        self, kernel: Kernel, lab: Lab, condition: str, inside: str, kind: type
    ) -> None:
        """With the reason, which the tool tells in words only (D12)."""
        lab.make_directory(f"{lab.directory}/source")
        lab.write_file(f"{lab.directory}/source/large", b"x" * (4 << 20))
        with refused(kind):
            kernel.host.copy_tree(f"{lab.directory}/source", lab.place(condition) + inside)

    def test_a_file_can_be_read(self, kernel: Kernel, lab: Lab) -> None:
        """All of it, whatever it holds."""
        lab.write_file(f"{lab.directory}/file", b"\0\xff" * 50_000)
        assert kernel.host.read(f"{lab.directory}/file") == b"\0\xff" * 50_000

    @pytest.mark.parametrize(
        ("path", "kind", "number"),
        [
            ("/./file", None, 0),
            ("//file", None, 0),
            ("/below/../file", None, 0),
            ("/link/../file", None, 0),
            ("/chain40", None, 0),
            ("/chain41", KernelError, errno.ELOOP),
            ("/none/../file", Missing, errno.ENOENT),
            ("/file/../file", Invalid, errno.ENOTDIR),
            ("/file/.", Invalid, errno.ENOTDIR),
            ("/file/", Invalid, errno.ENOTDIR),
            ("/below/", Invalid, errno.EISDIR),
            ("/none/", Missing, errno.ENOENT),
            ("/loop", KernelError, errno.ELOOP),
            ("/" + "n" * 256, Invalid, errno.ENAMETOOLONG),
            ("/" + "n" * 256 + "/../file", Invalid, errno.ENAMETOOLONG),
        ],
    )
    def test_a_path_is_walked_part_by_part(
        self, kernel: Kernel, lab: Lab, path: str, kind: type[KernelError] | None, number: int
    ) -> None:
        """path_resolution(7)."""
        lab.write_file(f"{lab.directory}/file", b"content")
        lab.make_directory(f"{lab.directory}/below")
        lab.make_link(f"{lab.directory}/link", "below")
        lab.make_link(f"{lab.directory}/loop", "loop")
        lab.make_link(f"{lab.directory}/chain1", "file")
        for count in range(2, 42):
            lab.make_link(f"{lab.directory}/chain{count}", f"chain{count - 1}")
        if kind is None:
            assert kernel.host.read(lab.directory + path) == b"content"
            return
        with pytest.raises(kind) as caught:
            kernel.host.read(lab.directory + path)
        assert caught.value.errno == number

    def test_an_image_holds_what_fits(self, kernel: Kernel, lab: Lab) -> None:
        """ENOSPC for more than the file system was made for."""
        image, target = f"{lab.directory}/image", f"{lab.directory}/target"
        kernel.host.make_filesystem(image, IMAGE_BYTES)
        kernel.host.mount_image(image, target)
        try:
            lab.write_file(f"{target}/small", os.urandom(IMAGE_BYTES // 10))
            with refused(NoSpace, errno.ENOSPC):
                lab.write_file(f"{target}/large", os.urandom(IMAGE_BYTES))
        finally:
            kernel.host.unmount(target)

    def test_what_is_written_has_the_time_of_that(self, kernel: Kernel, lab: Lab) -> None:
        """As the clock that people see has it, which is read in steps of some milliseconds."""
        for _ in range(2):
            before_ns = kernel.ambient.now_ns()
            lab.write_file(f"{lab.directory}/file", b"content")
            after_ns = kernel.ambient.now_ns()
            assert before_ns - 20_000_000 <= lab.tree(lab.directory)["file"].modified_ns <= after_ns
            kernel.ambient.sleep(0.1)

    def test_reading_no_file_is_refused(self, kernel: Kernel, lab: Lab) -> None:
        """Missing when there is nothing, EISDIR for a directory."""
        with refused(Missing, errno.ENOENT):
            kernel.host.read(f"{lab.directory}/no")
        with refused(Invalid, errno.EISDIR):
            kernel.host.read(lab.directory)

    @pytest.mark.usefixtures("forwarding")
    def test_a_kernel_setting_can_be_changed(self, kernel: Kernel) -> None:
        """It reads back without the newline."""
        for value in ("1", "0", "1"):
            kernel.host.write_sysctl(FORWARDING, value)
            assert kernel.host.read_sysctl(FORWARDING) == value

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            ("0x10", "16"),
            ("010", "8"),
            (" 2\n", "2"),
            ("3 x", "3"),
            ("-2147483648", "-2147483648"),
            ("2147483647", "2147483647"),
            ("", "1"),
        ],
    )
    @pytest.mark.usefixtures("forwarding")
    def test_a_kernel_setting_is_a_number_as_C_writes_them(self, kernel: Kernel, value: str, kept: str) -> None:
        """The first of what is written, and nothing changes when that is nothing."""
        kernel.host.write_sysctl(FORWARDING, "1")
        kernel.host.write_sysctl(FORWARDING, value)
        assert kernel.host.read_sysctl(FORWARDING) == kept

    @pytest.mark.parametrize("names", [ALL_NAMES, ALL_NAMES[::-1]])
    @pytest.mark.usefixtures("forwarding")
    def test_forwarding_has_two_names(self, kernel: Kernel, names: tuple[str, str]) -> None:
        """It is one variable."""
        for value in ("0", "1"):
            kernel.host.write_sysctl(names[0], value)
            assert kernel.host.read_sysctl(names[1]) == value

    @pytest.mark.parametrize("value", ["1", "-1"])
    @pytest.mark.parametrize(
        "garbage", ["garbage", "-", "--1", "1-", " ", "x 1", "08", "0x", "1_0", "\u0661", "2147483648"]
    )
    @pytest.mark.usefixtures("forwarding")
    def test_a_kernel_setting_refuses_garbage(self, kernel: Kernel, value: str, garbage: str) -> None:
        """EINVAL, and the value stays; a negative number is one."""
        kernel.host.write_sysctl(FORWARDING, value)
        assert kernel.host.read_sysctl(FORWARDING) == value
        with refused(Invalid, errno.EINVAL):
            kernel.host.write_sysctl(FORWARDING, garbage)
        assert kernel.host.read_sysctl(FORWARDING) == value

    def test_a_kernel_setting_that_is_not_there_is_missing(self, kernel: Kernel) -> None:
        """ENOENT: it is not made."""
        with refused(Missing, errno.ENOENT):
            kernel.host.read_sysctl("net.ipv4.no_such_setting")
        with refused(Missing, errno.ENOENT):
            kernel.host.write_sysctl("net.ipv4.no_such_setting", "1")
