from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from bocker.kernel.errors import AlreadyExists, Busy, Denied, Invalid, KernelError, Missing, NoSpace, ReadOnly
from tests.contracts.lab import DENIED, FULL, MISSING, READ_ONLY
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

KEY = "containers/ps_42002"
OTHER = "containers/ps_42003"
LONGEST = "é" * 125  # 250 bytes
TOO_LONG = "n" * 256
BAD_PARTS = ["", ".", "..", ".hidden", "a\0b", LONGEST + "x"]
BAD_KEYS = ["", "/", "folder", "a/b/c", "/a/b", "../a", *(f"containers/{part}" for part in BAD_PARTS[1:])]
BAD_KEYS += [f"{part}/name" for part in BAD_PARTS]
WRITERS: list[tuple[str, tuple[Any, ...]]] = [
    ("claim", (KEY, b"data")),
    ("write", (KEY, b"data")),
    ("append", (KEY, b"data")),
]
CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("claim", (b"data",)),
    ("write", (b"data",)),
    ("append", (b"data",)),
    ("read", ()),
    ("remove", ()),
]


class RecordsContract:
    def test_a_claimed_record_can_be_read(self, kernel: Kernel) -> None:
        """With its whole content."""
        kernel.records.claim(KEY, b"one\0two\n")
        assert kernel.records.read(KEY) == b"one\0two\n"

    def test_claiming_what_exists_is_refused(self, kernel: Kernel) -> None:
        """However it came to be; its content stays."""
        kernel.records.claim(KEY, b"first")
        kernel.records.write(OTHER, b"first")
        for key in (KEY, OTHER):
            with refused(AlreadyExists, errno.EEXIST):
                kernel.records.claim(key, b"second")
            assert kernel.records.read(key) == b"first"

    def test_a_removed_record_can_be_claimed_again(self, kernel: Kernel) -> None:
        """Ids are used again."""
        kernel.records.claim(KEY, b"first")
        kernel.records.remove(KEY)
        kernel.records.claim(KEY, b"second")
        assert kernel.records.read(KEY) == b"second"

    def test_an_empty_record_is_one(self, kernel: Kernel) -> None:
        """It exists, and holds nothing."""
        kernel.records.claim(KEY, b"")
        assert kernel.records.read(KEY) == b""
        assert kernel.records.list("containers") == ("ps_42002",)

    @pytest.mark.parametrize("durable", [False, True])
    def test_writing_makes_and_replaces(self, kernel: Kernel, durable: bool) -> None:
        """A shorter content leaves nothing of the longer one before it."""
        kernel.records.write(KEY, b"a longer first content", durable)
        assert kernel.records.read(KEY) == b"a longer first content"
        kernel.records.write(KEY, b"second", durable)
        assert kernel.records.read(KEY) == b"second"
        assert kernel.records.list("containers") == ("ps_42002",)

    def test_a_large_record_is_kept_whole(self, kernel: Kernel) -> None:
        """More than one buffer of anything."""
        data = bytes(range(256)) * 12_000
        kernel.records.write(KEY, data)
        assert kernel.records.read(KEY) == data

    def test_appending_makes_and_adds(self, kernel: Kernel) -> None:
        """Always at the end."""
        kernel.records.append(KEY, b"one\n")
        kernel.records.append(KEY, b"two\n")
        assert kernel.records.read(KEY) == b"one\ntwo\n"

    def test_appending_to_two_in_turn(self, kernel: Kernel) -> None:
        """Each gets its own."""
        for number in range(3):
            kernel.records.append(KEY, b"a%d" % number)
            kernel.records.append(OTHER, b"b%d" % number)
        assert kernel.records.read(KEY) == b"a0a1a2"
        assert kernel.records.read(OTHER) == b"b0b1b2"

    def test_appending_after_a_removal_starts_again(self, kernel: Kernel) -> None:
        """Nothing goes to a file that has no name any more."""
        kernel.records.append(KEY, b"old")
        kernel.records.remove(KEY)
        kernel.records.append(KEY, b"new")
        assert kernel.records.read(KEY) == b"new"

    def test_appending_after_a_replacement_adds_to_that(self, kernel: Kernel) -> None:
        """The record is what has the name now."""
        kernel.records.append(KEY, b"old")
        kernel.records.write(KEY, b"replaced ")
        kernel.records.append(KEY, b"new")
        assert kernel.records.read(KEY) == b"replaced new"

    @pytest.mark.parametrize(("offset", "rest"), [(0, b"0123456789"), (4, b"456789"), (10, b""), (11, b""), (99, b"")])
    def test_reading_from_an_offset(self, kernel: Kernel, offset: int, rest: bytes) -> None:
        """The rest from there, nothing when it is shorter."""
        kernel.records.write(KEY, b"0123456789")
        assert kernel.records.read(KEY, offset) == rest

    @pytest.mark.parametrize("method", ["read", "remove"])
    def test_what_is_not_there_is_missing(self, kernel: Kernel, method: str) -> None:
        """In a folder that is not there either, and in one that is."""
        for _ in range(2):
            with refused(Missing, errno.ENOENT):
                getattr(kernel.records, method)(KEY)
            kernel.records.write(OTHER, b"")

    def test_a_removed_record_is_gone(self, kernel: Kernel) -> None:
        """And only that one."""
        for key in (KEY, OTHER):
            kernel.records.claim(key, b"")
        kernel.records.remove(KEY)
        assert kernel.records.list("containers") == ("ps_42003",)
        with refused(Missing, errno.ENOENT):
            kernel.records.read(KEY)

    def test_the_list_is_sorted_and_of_one_folder(self, kernel: Kernel) -> None:
        """Names without the folder."""
        for key in ("a/two", "a/one", "a/10", "b/three"):
            kernel.records.write(key, b"")
        assert kernel.records.list("a") == ("10", "one", "two")

    def test_the_list_of_no_folder_is_empty(self, kernel: Kernel) -> None:
        """Before anything was written, and after."""
        assert kernel.records.list("containers") == ()
        kernel.records.write("images/img_42002", b"")
        assert kernel.records.list("containers") == ()

    @pytest.mark.parametrize("folder", [*BAD_PARTS, "a/b", "/"])
    def test_the_list_of_a_bad_folder_is_invalid(self, kernel: Kernel, folder: str) -> None:
        """EINVAL, as for a key."""
        with refused(Invalid, errno.EINVAL):
            kernel.records.list(folder)

    @pytest.mark.parametrize(("method", "arguments"), CALLS)
    def test_a_key_that_no_file_can_have_is_too_long(
        self, kernel: Kernel, method: str, arguments: tuple[Any, ...]
    ) -> None:
        """ENAMETOOLONG, of a lock and a folder as well; one of 251 bytes is just not a key."""
        for key in (f"containers/{TOO_LONG}", f"{TOO_LONG}/name"):
            with refused(Invalid, errno.ENAMETOOLONG):
                getattr(kernel.records, method)(key, *arguments)
        with refused(Invalid, errno.ENAMETOOLONG):
            kernel.records.lock(TOO_LONG)
        with refused(Invalid, errno.ENAMETOOLONG):
            kernel.records.list(TOO_LONG)

    @pytest.mark.parametrize("key", BAD_KEYS)
    @pytest.mark.parametrize(("method", "arguments"), CALLS)
    def test_a_bad_key_is_invalid(self, kernel: Kernel, method: str, arguments: tuple[Any, ...], key: str) -> None:
        """EINVAL: no key leads out of the folder, or to what is no record."""
        with refused(Invalid, errno.EINVAL):
            getattr(kernel.records, method)(key, *arguments)

    def test_the_longest_key(self, kernel: Kernel) -> None:
        """250 bytes in each part, through every method."""
        key = f"{LONGEST}/{LONGEST}"
        kernel.records.claim(key, b"1")
        kernel.records.write(key, b"2")
        kernel.records.append(key, b"3")
        assert kernel.records.read(key) == b"23"
        assert kernel.records.list(LONGEST) == (LONGEST,)
        kernel.records.remove(key)

    @pytest.mark.parametrize(
        ("method", "arguments", "kind", "number"),
        [
            ("claim", (b"x",), AlreadyExists, errno.EEXIST),
            ("append", (b"x",), Invalid, errno.EISDIR),
            ("read", (), Invalid, errno.EISDIR),
            ("write", (b"x",), Invalid, errno.EISDIR),
            ("remove", (), Invalid, errno.EISDIR),
        ],
    )
    def test_a_directory_is_no_record(
        self,
        kernel: Kernel,
        settings: Settings,
        lab: Lab,
        method: str,
        arguments: tuple[Any, ...],
        kind: type[KernelError],
        number: int,
    ) -> None:
        """It stays."""
        kernel.records.write("containers/other", b"")
        lab.make_directory(f"{settings.store}/.meta/containers/ps_42002")
        with refused(kind, number):
            getattr(kernel.records, method)("containers/ps_42002", *arguments)
        assert lab.tree(f"{settings.store}/.meta/containers")["ps_42002"].kind == "directory"

    def test_a_link_in_the_place_of_a_record(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """A new record replaces it, and removed, it goes alone; what it leads to stays as it is."""
        kernel.records.write("containers/other", b"")
        lab.write_file(f"{lab.directory}/target", b"kept")
        path = f"{settings.store}/.meta/containers/ps_42002"
        for method, arguments in (("remove", ()), ("write", (b"new",))):
            lab.make_link(path, f"{lab.directory}/target")
            with refused(AlreadyExists, errno.EEXIST):
                kernel.records.claim("containers/ps_42002", b"")
            getattr(kernel.records, method)("containers/ps_42002", *arguments)
            assert lab.read_file(f"{lab.directory}/target") == b"kept"
            assert lab.exists(path) is bool(arguments)
        assert lab.read_file(path) == b"new"

    def test_hidden_names_are_no_records(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """They are what an engine that was killed left."""
        kernel.records.write("containers/ps_42002", b"")
        lab.write_file(f"{settings.store}/.meta/containers/.ps_42003.new", b"")
        assert kernel.records.list("containers") == ("ps_42002",)

    def test_a_lock_whose_file_is_read_only_is_not_taken(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """EROFS, although it is there."""
        path = f"{settings.store}/.meta/.locks/layers"
        with kernel.records.lock("layers", shared=True):
            kernel.host.protect(path, path)
            with refused(ReadOnly, errno.EROFS):
                kernel.records.lock("layers", shared=True)
            kernel.host.unmount(path)

    def test_records_are_for_root_alone(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """Directories of mode 0700, files of mode 0600, however they were made (S19)."""
        kernel.records.claim("a/claimed", b"")
        kernel.records.write("b/written", b"")
        kernel.records.append("c/appended", b"")
        with kernel.records.lock("ps_42002"):
            tree = lab.tree(f"{settings.store}/.meta")
        assert {entry.mode for entry in tree.values() if entry.kind == "directory"} == {0o700}
        assert {entry.mode for entry in tree.values() if entry.kind == "file"} == {0o600}
        assert {"a/claimed", "b/written", "c/appended"} <= set(tree)

    def test_state_lies_apart_from_records(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """One key in both places is two records; state is not in the store."""
        kernel.records.write("setup/host", b"in the store")
        kernel.state.write("setup/host", b"on the host")
        assert kernel.records.read("setup/host") == b"in the store"
        assert kernel.state.read("setup/host") == b"on the host"
        assert lab.exists(f"{settings.state}/setup/host")

    def test_a_lock_keeps_another_out(self, kernel: Kernel) -> None:
        """Busy at once when it does not want to wait, in the same program too."""
        with kernel.records.lock("ps_42002"), refused(Busy):
            kernel.records.lock("ps_42002", wait=False)

    def test_a_lock_is_taken_by_the_call(self, kernel: Kernel) -> None:
        """Not only when the block is entered."""
        held = kernel.records.lock("ps_42002")
        with refused(Busy):
            kernel.records.lock("ps_42002", wait=False)
        with held:
            pass
        with kernel.records.lock("ps_42002", wait=False):
            pass

    def test_a_lock_is_free_after_the_block(self, kernel: Kernel) -> None:
        """After one that failed, too."""
        with pytest.raises(ZeroDivisionError), kernel.records.lock("names"):
            raise ZeroDivisionError
        with kernel.records.lock("names", wait=False):
            pass

    def test_locks_of_other_names_are_free(self, kernel: Kernel) -> None:
        """And so is the lock of the same name in the other place."""
        mine = kernel.records.lock("ps_42002")
        others = (kernel.records.lock("ps_42003", wait=False), kernel.state.lock("ps_42002", wait=False))
        with mine, others[0], others[1]:
            pass

    def test_a_lock_can_be_shared(self, kernel: Kernel) -> None:
        """By as many as ask for it so; only then does one who wants it alone get it."""
        first = kernel.records.lock("layers", shared=True)
        second = kernel.records.lock("layers", wait=False, shared=True)
        for held in (first, second):
            with held, refused(Busy, errno.EAGAIN):
                kernel.records.lock("layers", wait=False)
        with kernel.records.lock("layers", wait=False):
            pass

    def test_one_who_has_a_lock_alone_shares_it_with_nobody(self, kernel: Kernel) -> None:
        """Busy; and afterwards it can be shared."""
        with kernel.records.lock("layers"), refused(Busy, errno.EAGAIN):
            kernel.records.lock("layers", wait=False, shared=True)
        with kernel.records.lock("layers", wait=False, shared=True):
            pass

    def test_a_lock_that_is_let_go_of_can_be_shared_on(self, kernel: Kernel) -> None:
        """Whoever comes while others share it keeps it when they are gone, however they follow each other."""
        held = kernel.records.lock("layers", shared=True)
        for _ in range(5):
            following = kernel.records.lock("layers", wait=False, shared=True)
            with held:
                pass
            held = following
            with refused(Busy):
                kernel.records.lock("layers", wait=False)
        with held:
            pass

    @pytest.mark.parametrize("shared", [False, True])
    def test_locks_leave_nothing(self, kernel: Kernel, settings: Settings, lab: Lab, shared: bool) -> None:
        """No file, not even when one was refused it meanwhile."""
        with kernel.records.lock("ps_42002", shared=shared), kernel.records.lock("ps_42003", shared=shared):
            with refused(Busy):
                kernel.records.lock("ps_42002", wait=False)
            if shared:
                with kernel.records.lock("ps_42002", shared=True):
                    pass
            held = [entry.kind for entry in lab.tree(f"{settings.store}/.meta").values()]
            assert held.count("file") == 2
        kinds = [entry.kind for entry in lab.tree(f"{settings.store}/.meta").values()]
        assert "directory" in kinds
        assert "file" not in kinds

    def test_locks_are_no_records(self, kernel: Kernel) -> None:
        """They are in no folder that can be listed, and take no key."""
        with kernel.records.lock("ps_42002"):
            assert kernel.records.list("locks") == ()
            kernel.records.claim("locks/ps_42002", b"")

    @pytest.mark.parametrize("name", [*BAD_PARTS, "a/b", "/"])
    def test_a_bad_lock_is_invalid(self, kernel: Kernel, name: str) -> None:
        """EINVAL, as for a key."""
        with refused(Invalid, errno.EINVAL):
            kernel.records.lock(name)

    @pytest.mark.parametrize(("method", "arguments"), [*WRITERS, ("lock", ("names",))])
    def test_without_a_store_nothing_is_written(self, lab: Lab, method: str, arguments: tuple[Any, ...]) -> None:
        """Missing: the records would be hidden when the store comes back."""
        with refused(Missing, errno.ENOENT):
            getattr(lab.kernel(MISSING).records, method)(*arguments)
        assert not lab.exists(lab.place(MISSING))

    def test_without_a_store_there_are_no_records(self, lab: Lab) -> None:
        """As without any."""
        assert lab.kernel(MISSING).records.list("containers") == ()

    def test_records_that_went_are_not_taken_for_none(self, kernel: Kernel, settings: Settings, lab: Lab) -> None:
        """Somebody mounted something over the store: an empty list would be no answer, and a new record be hidden."""
        kernel.records.claim("containers/ps_1", b"")
        lab.mount(settings.store)
        with refused(Missing, errno.ENOENT):
            kernel.records.list("containers")
        with refused(Missing, errno.ENOENT):
            kernel.records.claim("containers/ps_2", b"")

    @pytest.mark.parametrize(("method", "arguments"), [*WRITERS, ("lock", ("names",))])
    def test_a_read_only_store_takes_nothing(self, lab: Lab, method: str, arguments: tuple[Any, ...]) -> None:
        """EROFS."""
        with refused(ReadOnly, errno.EROFS):
            getattr(lab.kernel(READ_ONLY).records, method)(*arguments)

    @pytest.mark.parametrize(("method", "arguments"), [*WRITERS, ("lock", ("names",))])
    def test_what_may_not_be_written_is_denied(self, lab: Lab, method: str, arguments: tuple[Any, ...]) -> None:
        """EPERM or EACCES."""
        with refused(Denied):
            getattr(lab.kernel(DENIED).records, method)(*arguments)

    @pytest.mark.parametrize(("method", "arguments"), [*WRITERS, ("lock", ("names",))])
    def test_a_full_store_takes_no_more(self, lab: Lab, method: str, arguments: tuple[Any, ...]) -> None:
        """ENOSPC, and no record is there."""
        kernel = lab.kernel(FULL)
        with refused(NoSpace, errno.ENOSPC):
            getattr(kernel.records, method)(*arguments)
        assert kernel.records.list("containers") == ()
