from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from bocker.kernel.blobs import Blob
from bocker.kernel.errors import Denied, Invalid, Missing, NoSpace, ReadOnly, TooLarge
from tests.contracts.lab import DENIED, FULL, MISSING, READ_ONLY
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

DATA = b"one\0two\n"
DIGEST = hashlib.sha256(DATA).hexdigest()
OTHER = "f" * 64
LONGEST = "é" * 100  # 200 bytes
NAME = f"{DIGEST}.partial"
BAD_DIGESTS = ["", "a", "f" * 63, "f" * 65, "F" * 64, "g" * 64, f"sha256:{DIGEST}", f"../{'f' * 61}", "٣" * 64]
BAD_NAMES = ["", ".", "..", ".hidden", "a/b", "/", "a\0b", LONGEST + "x", "n" * 300]
WRITERS: list[tuple[str, tuple[Any, ...]]] = [("draft", (NAME,)), ("add", (DIGEST, DATA))]


def kept(kernel: Kernel, lab: Lab, data: bytes) -> str:
    """Write a draft and make it a blob; return its digest."""
    digest = hashlib.sha256(data).hexdigest()
    lab.write_file(kernel.blobs.draft("draft"), data)
    kernel.blobs.keep("draft", digest)
    return digest


class BlobsContract:
    # Blobs

    def test_an_added_blob_can_be_read(self, kernel: Kernel) -> None:
        """With its whole content, nothing too."""
        empty = hashlib.sha256(b"").hexdigest()
        kernel.blobs.add(DIGEST, DATA)
        kernel.blobs.add(empty, b"")
        assert kernel.blobs.read(DIGEST) == DATA
        assert kernel.blobs.read(empty) == b""

    def test_a_blob_is_a_file_of_the_host(self, kernel: Kernel, lab: Lab, settings: Settings) -> None:
        """For nobody but root, in directories of the same kind; its path is known before it is there."""
        path = kernel.blobs.path(DIGEST)
        assert path.startswith(f"{settings.store}/.meta/")
        assert not lab.exists(path)
        kernel.blobs.add(DIGEST, DATA)
        assert lab.read_file(path) == DATA
        kernel.blobs.draft(NAME)
        kinds = {
            (name.count("/"), entry.kind, entry.mode)
            for name, entry in lab.tree(f"{settings.store}/.meta").items()
            if not name.startswith(".locks")
        }
        assert kinds == {(0, "directory", 0o700), (1, "file", 0o600)}

    def test_a_blob_that_is_there_stays(self, kernel: Kernel) -> None:
        """The content of a digest is one and the same; nothing is checked here."""
        kernel.blobs.add(DIGEST, DATA)
        kernel.blobs.add(DIGEST, b"something else")
        assert kernel.blobs.read(DIGEST) == DATA

    def test_a_blob_is_there_or_not(self, kernel: Kernel) -> None:
        """Before anything was written too."""
        assert not kernel.blobs.has(DIGEST)
        kernel.blobs.add(DIGEST, DATA)
        assert kernel.blobs.has(DIGEST)
        assert not kernel.blobs.has(OTHER)

    def test_what_is_larger_than_asked_for_is_not_read(self, kernel: Kernel) -> None:
        """EFBIG; as much as asked for is read."""
        kernel.blobs.add(DIGEST, DATA)
        assert kernel.blobs.read(DIGEST, len(DATA)) == DATA
        with refused(TooLarge, errno.EFBIG):
            kernel.blobs.read(DIGEST, len(DATA) - 1)

    def test_four_mebibytes_are_read_unasked(self, kernel: Kernel) -> None:
        """Manifests and configurations have less, layers mostly more."""
        for digest, size_bytes in ((DIGEST, 4 << 20), (OTHER, (4 << 20) + 1)):
            kernel.blobs.add(digest, bytes(size_bytes))
        assert len(kernel.blobs.read(DIGEST)) == 4 << 20
        with refused(TooLarge, errno.EFBIG):
            kernel.blobs.read(OTHER)

    def test_blobs_are_listed_with_their_sizes(self, kernel: Kernel, lab: Lab) -> None:
        """Sorted, however they came; none before there are directories; no draft."""
        assert kernel.blobs.list() == ()
        kernel.blobs.add(OTHER, b"12345")
        kernel.blobs.add(DIGEST, b"")
        digest = kept(kernel, lab, b"123")
        lab.write_file(kernel.blobs.draft(OTHER.replace("f", "e")), b"")
        assert kernel.blobs.list() == tuple(sorted((Blob(OTHER, 5), Blob(DIGEST, 0), Blob(digest, 3))))

    def test_thousands_are_listed(self, kernel: Kernel) -> None:
        """All of them."""
        digests = [f"{number:064x}" for number in range(300)]
        for digest in digests:
            kernel.blobs.add(digest, b"")
        assert [blob.name for blob in kernel.blobs.list()] == digests

    def test_what_is_no_plain_file_is_no_blob(self, kernel: Kernel, lab: Lab) -> None:
        """A link to a file, a directory, or another name: none is listed, and what a link leads to is not read."""
        lab.write_file(f"{lab.directory}/secret", b"secret")
        kernel.blobs.add(f"{1:064x}", b"")
        lab.make_link(kernel.blobs.path(DIGEST), f"{lab.directory}/secret")
        lab.make_directory(kernel.blobs.path(OTHER))
        lab.write_file(kernel.blobs.path(OTHER).replace(OTHER, "other"), b"")
        assert kernel.blobs.list() == (Blob(f"{1:064x}", 0),)
        for digest in (DIGEST, OTHER):
            assert not kernel.blobs.has(digest)
            with refused(Invalid, errno.EINVAL):
                kernel.blobs.read(digest)

    def test_a_link_in_the_place_of_a_blob(self, kernel: Kernel, lab: Lab) -> None:
        """One that is added leaves it, one that is kept replaces it, and removed it goes; what it leads to stays."""
        lab.write_file(f"{lab.directory}/secret", b"secret")
        kernel.blobs.add(OTHER, b"")
        lab.make_link(kernel.blobs.path(DIGEST), f"{lab.directory}/secret")
        kernel.blobs.add(DIGEST, DATA)
        assert not kernel.blobs.has(DIGEST)
        assert kept(kernel, lab, DATA) == DIGEST
        assert kernel.blobs.read(DIGEST) == DATA
        kernel.blobs.remove(DIGEST)
        lab.make_link(kernel.blobs.path(DIGEST), f"{lab.directory}/secret")
        kernel.blobs.remove(DIGEST)
        assert not lab.exists(kernel.blobs.path(DIGEST))
        assert lab.read_file(f"{lab.directory}/secret") == b"secret"

    def test_a_link_to_nothing_in_the_place_of_a_blob(self, kernel: Kernel, lab: Lab) -> None:
        """It stays when a blob is added, and nothing is made where it leads."""
        kernel.blobs.add(OTHER, b"")
        lab.make_link(kernel.blobs.path(DIGEST), f"{lab.directory}/none")
        kernel.blobs.add(DIGEST, DATA)
        assert not kernel.blobs.has(DIGEST)
        assert not lab.exists(f"{lab.directory}/none")

    def test_a_directory_in_the_place_of_a_blob(self, kernel: Kernel, lab: Lab) -> None:
        """EISDIR, and it stays."""
        kernel.blobs.add(OTHER, b"")
        lab.make_directory(kernel.blobs.path(DIGEST))
        with refused(Invalid, errno.EISDIR):
            kernel.blobs.remove(DIGEST)
        with refused(Invalid, errno.EISDIR):
            kept(kernel, lab, DATA)
        folder, _, name = kernel.blobs.path(DIGEST).rpartition("/")
        assert (lab.tree(folder)[name].kind, lab.tree(folder)[name].mode) == ("directory", 0o755)

    def test_a_removed_blob_is_gone(self, kernel: Kernel) -> None:
        """And only that one."""
        for digest in (DIGEST, OTHER):
            kernel.blobs.add(digest, DATA)
        kernel.blobs.remove(DIGEST)
        assert (kernel.blobs.has(DIGEST), kernel.blobs.has(OTHER)) == (False, True)

    @pytest.mark.parametrize("method", ["read", "remove"])
    def test_what_is_not_there_is_missing(self, kernel: Kernel, method: str) -> None:
        """Before there are directories, and when there are."""
        for _ in range(2):
            with refused(Missing, errno.ENOENT):
                getattr(kernel.blobs, method)(DIGEST)
            kernel.blobs.add(OTHER, b"")

    # Drafts

    def test_a_draft_becomes_a_blob(self, kernel: Kernel, lab: Lab) -> None:
        """And is no draft any more."""
        digest = kept(kernel, lab, DATA)
        assert kernel.blobs.read(digest) == DATA
        assert kernel.blobs.drafts() == ()

    def test_a_draft_gets_the_mode_of_a_blob(self, kernel: Kernel, lab: Lab) -> None:
        """Whoever wrote it."""
        digest = kept(kernel, lab, DATA)
        folder, _, name = kernel.blobs.path(digest).rpartition("/")
        assert lab.tree(folder)[name].mode == 0o600

    def test_a_draft_is_where_it_was(self, kernel: Kernel, lab: Lab) -> None:
        """Its path is the same at each call, so that a broken transfer is resumed."""
        lab.write_file(kernel.blobs.draft(NAME), b"half")
        assert lab.read_file(kernel.blobs.draft(NAME)) == b"half"

    def test_drafts_are_listed_with_their_sizes(self, kernel: Kernel, lab: Lab) -> None:
        """Sorted; asking for a path makes none; links and directories are left out, and no blob is one."""
        assert kernel.blobs.drafts() == ()
        lab.write_file(kernel.blobs.draft("b"), b"123")
        lab.write_file(kernel.blobs.draft(LONGEST), b"")
        lab.write_file(kernel.blobs.draft("ü \udcff"), b"1")
        lab.make_link(kernel.blobs.draft("link"), kernel.blobs.draft("b"))
        lab.make_directory(kernel.blobs.draft("directory"))
        lab.write_file(kernel.blobs.draft("a").removesuffix("a") + ".hidden", b"")
        kernel.blobs.draft("a")
        kernel.blobs.add(DIGEST, DATA)
        assert kernel.blobs.drafts() == (Blob("b", 3), Blob(LONGEST, 0), Blob("ü \udcff", 1))

    def test_keeping_replaces_what_is_there(self, kernel: Kernel, lab: Lab) -> None:
        """A blob that was damaged is fetched again."""
        kernel.blobs.add(DIGEST, b"damaged")
        assert kept(kernel, lab, DATA) == DIGEST
        assert kernel.blobs.read(DIGEST) == DATA
        assert kernel.blobs.list() == (Blob(DIGEST, len(DATA)),)

    def test_keeping_what_is_not_there(self, kernel: Kernel) -> None:
        """ENOENT, and the blob of that digest stays."""
        for _ in range(2):
            with refused(Missing, errno.ENOENT):
                kernel.blobs.keep(NAME, DIGEST)
            kernel.blobs.add(DIGEST, DATA)
            kernel.blobs.draft(NAME)
        assert kernel.blobs.read(DIGEST) == DATA

    def test_only_a_plain_file_is_kept(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL for a link and a directory; nothing comes of them."""
        lab.write_file(f"{lab.directory}/secret", b"secret")
        lab.make_link(kernel.blobs.draft("link"), f"{lab.directory}/secret")
        lab.make_directory(kernel.blobs.draft("directory"))
        for name in ("link", "directory"):
            with refused(Invalid, errno.EINVAL):
                kernel.blobs.keep(name, DIGEST)
        assert kernel.blobs.list() == ()

    def test_a_discarded_draft_is_gone(self, kernel: Kernel, lab: Lab) -> None:
        """And only that one; again is no error, nor before anything was made."""
        kernel.blobs.discard("a")
        for name in ("a", "b"):
            lab.write_file(kernel.blobs.draft(name), b"")
        for _ in range(2):
            kernel.blobs.discard("a")
        assert kernel.blobs.drafts() == (Blob("b", 0),)

    # What can't be

    @pytest.mark.parametrize("digest", BAD_DIGESTS)
    @pytest.mark.parametrize(
        ("method", "arguments"), [("path", ()), ("add", (b"",)), ("read", ()), ("has", ()), ("remove", ())]
    )
    def test_a_bad_digest_is_invalid(
        self, kernel: Kernel, method: str, arguments: tuple[Any, ...], digest: str
    ) -> None:
        """EINVAL: it is 64 of 0-9 and a-f."""
        with refused(Invalid, errno.EINVAL):
            getattr(kernel.blobs, method)(digest, *arguments)

    @pytest.mark.parametrize("name", BAD_NAMES)
    @pytest.mark.parametrize(("method", "arguments"), [("draft", ()), ("keep", (DIGEST,)), ("discard", ())])
    def test_a_bad_draft_is_invalid(self, kernel: Kernel, method: str, arguments: tuple[Any, ...], name: str) -> None:
        """EINVAL."""
        with refused(Invalid, errno.EINVAL):
            getattr(kernel.blobs, method)(name, *arguments)

    def test_a_draft_is_not_kept_under_a_bad_digest(self, kernel: Kernel, lab: Lab) -> None:
        """EINVAL, and it stays."""
        lab.write_file(kernel.blobs.draft(NAME), b"")
        with refused(Invalid, errno.EINVAL):
            kernel.blobs.keep(NAME, "x")
        assert kernel.blobs.drafts() == (Blob(NAME, 0),)

    @pytest.mark.parametrize(("method", "arguments"), WRITERS)
    def test_without_a_store_nothing_is_written(self, lab: Lab, method: str, arguments: tuple[Any, ...]) -> None:
        """Missing: the blobs would be hidden when the store comes back."""
        with refused(Missing, errno.ENOENT):
            getattr(lab.kernel(MISSING).blobs, method)(*arguments)
        assert not lab.exists(lab.place(MISSING))

    def test_without_a_store_there_are_no_blobs(self, lab: Lab) -> None:
        """As without any."""
        blobs = lab.kernel(MISSING).blobs
        assert (blobs.list(), blobs.drafts(), blobs.has(DIGEST)) == ((), (), False)

    @pytest.mark.parametrize(
        ("condition", "kind"), [(READ_ONLY, ReadOnly), (DENIED, Denied), (FULL, NoSpace)], ids=["ro", "denied", "full"]
    )
    @pytest.mark.parametrize(("method", "arguments"), WRITERS)
    def test_a_store_that_takes_nothing(
        self, lab: Lab, method: str, arguments: tuple[Any, ...], condition: str, kind: type
    ) -> None:
        """Read-only, not allowed, or full: there is no blob then."""
        blobs = lab.kernel(condition).blobs
        with refused(kind):
            getattr(blobs, method)(*arguments)
        assert (blobs.list(), blobs.drafts()) == ((), ())
