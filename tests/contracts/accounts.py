from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from bocker.kernel import accounts
from bocker.kernel.accounts import MOST_BYTES, HelperAnswer
from bocker.kernel.errors import Denied, Invalid, KernelError, Missing, NoSpace, ReadOnly, TooLarge, Unreachable
from tests.contracts.lab import DENIED, ECHO, ENDLESS, FLOOD, FORBIDDEN, FULL, READ_ONLY, REFUSE, SLOW, SUICIDE
from tests.contracts.refusals import refused

if TYPE_CHECKING:
    from bocker.kernel import Kernel
    from tests.contracts.lab import Lab

HELPER = "docker-credential-test"


class AccountsContract:
    def test_a_file_can_be_read(self, kernel: Kernel, lab: Lab) -> None:
        """With its whole content, by way of a symbolic link too, and up to the limit."""
        path = f"{lab.directory}/config.json"
        for data in (b"", b'{"auths": {}}\n', b"x" * MOST_BYTES):
            lab.write_file(path, data)
            assert kernel.accounts.read(path) == data
        lab.make_link(f"{lab.directory}/link", "config.json")
        assert kernel.accounts.read(f"{lab.directory}/link") == data

    def test_what_is_not_there_can_not_be_read(self, kernel: Kernel, lab: Lab) -> None:
        """In a directory that is not there, and in one that is."""
        for path in (f"{lab.directory}/none", f"{lab.directory}/none/config.json"):
            with refused(Missing, errno.ENOENT):
                kernel.accounts.read(path)

    def test_a_directory_can_not_be_read(self, kernel: Kernel, lab: Lab) -> None:
        """EISDIR; and ENOTDIR for what would lie in a file."""
        with refused(Invalid, errno.EISDIR):
            kernel.accounts.read(lab.directory)
        lab.write_file(f"{lab.directory}/file", b"")
        with refused(Invalid, errno.ENOTDIR):
            kernel.accounts.read(f"{lab.directory}/file/config.json")

    def test_a_file_that_is_too_large_is_not_read(self, kernel: Kernel, lab: Lab) -> None:
        """EFBIG, by one byte."""
        lab.write_file(f"{lab.directory}/large", b"x" * (MOST_BYTES + 1))
        with refused(TooLarge, errno.EFBIG):
            kernel.accounts.read(f"{lab.directory}/large")

    def test_updating_makes_a_file_and_its_directories(self, kernel: Kernel, lab: Lab) -> None:
        """For their owner alone; what was there before is empty. No other name is left in the directory."""
        kernel.accounts.update(f"{lab.directory}/a/b/config.json", lambda data: b"new" + data)
        tree = lab.tree(f"{lab.directory}/a")
        assert {path: (entry.mode, entry.content) for path, entry in tree.items()} == {
            ".": (0o700, b""),
            "b": (0o700, b""),
            "b/config.json": (0o600, b"new"),
        }

    def test_updating_replaces_a_file(self, kernel: Kernel, lab: Lab) -> None:
        """From its content, by a shorter one; its owner stays, its directory's mode too."""
        lab.fill(f"{lab.directory}/home")
        path = f"{lab.directory}/home/file"
        before = lab.read_file(path)
        kernel.accounts.update(path, lambda data: data[:3] + b"!")
        after = lab.tree(f"{lab.directory}/home")
        assert after["file"].content == before[:3] + b"!"
        assert (after["file"].mode, after["file"].owner) == (0o600, (1000, 1001))
        assert after["."].mode == 0o711
        assert not [name for name in after if name.startswith(".") and name not in {".", ".dot"}]

    @pytest.mark.parametrize("there", [True, False])
    def test_updating_by_way_of_a_symbolic_link(self, kernel: Kernel, lab: Lab, there: bool) -> None:
        """The link stays one, whether or not it leads to something yet."""
        lab.make_directory(f"{lab.directory}/dotfiles")
        lab.make_directory(f"{lab.directory}/home")
        if there:
            lab.write_file(f"{lab.directory}/dotfiles/docker.json", b"old")
        lab.make_link(f"{lab.directory}/home/config.json", "../dotfiles/docker.json")
        kernel.accounts.update(f"{lab.directory}/home/config.json", lambda data: data + b"new")
        assert lab.tree(f"{lab.directory}/home")["config.json"].kind == "link"
        assert lab.read_file(f"{lab.directory}/dotfiles/docker.json") == (b"oldnew" if there else b"new")
        assert set(lab.tree(f"{lab.directory}/dotfiles")) == {".", "docker.json"}

    def test_what_the_change_raises_is_passed_on(self, kernel: Kernel, lab: Lab) -> None:
        """The file is as it was, and can be updated after that."""
        path = f"{lab.directory}/config.json"
        lab.write_file(path, b"old")

        def fails(data: bytes) -> bytes:
            raise ZeroDivisionError(data)

        with pytest.raises(ZeroDivisionError):
            kernel.accounts.update(path, fails)
        assert set(lab.tree(lab.directory)) == {".", "config.json"}
        assert lab.read_file(path) == b"old"
        kernel.accounts.update(path, lambda data: data + b"!")
        assert lab.read_file(path) == b"old!"

    def test_too_much_is_not_written(self, kernel: Kernel, lab: Lab) -> None:
        """EFBIG, and the file is as it was; what is too large already is not changed either."""
        path = f"{lab.directory}/config.json"
        lab.write_file(path, b"old")
        with refused(TooLarge, errno.EFBIG):
            kernel.accounts.update(path, lambda data: b"x" * (MOST_BYTES + 1))
        assert lab.read_file(path) == b"old"
        lab.write_file(path, b"x" * (MOST_BYTES + 1))
        with refused(TooLarge, errno.EFBIG):
            kernel.accounts.update(path, lambda data: b"")

    def test_a_directory_can_not_be_updated(self, kernel: Kernel, lab: Lab) -> None:
        """EISDIR; and ENOTDIR for what would lie in a file."""
        lab.make_directory(f"{lab.directory}/directory")
        with refused(Invalid, errno.EISDIR):
            kernel.accounts.update(f"{lab.directory}/directory", lambda data: b"")
        lab.write_file(f"{lab.directory}/file", b"")
        with refused(Invalid, errno.ENOTDIR):
            kernel.accounts.update(f"{lab.directory}/file/config.json", lambda data: b"")

    @pytest.mark.parametrize(("condition", "kind"), [(READ_ONLY, ReadOnly), (DENIED, Denied), (FULL, NoSpace)], ids=str)
    @pytest.mark.parametrize("name", ["new", "directory/new"])
    def test_where_nothing_can_be_written(
        self, kernel: Kernel, lab: Lab, condition: str, kind: type[KernelError], name: str
    ) -> None:
        """The error says why, and there is nothing new."""
        place = lab.place(condition)
        with refused(kind):
            kernel.accounts.update(f"{place}/{name}", lambda data: b"new")
        assert not lab.exists(f"{place}/new")
        assert not lab.exists(f"{place}/directory")

    def test_a_helper_is_given_a_text_and_answers(self, kernel: Kernel, lab: Lab) -> None:
        """Its verb is its only argument; what it prints comes back byte for byte."""
        lab.add_helper(HELPER, ECHO)
        text = b"https://index.docker.io/v1/\0\n" + b"x" * 100_000
        assert kernel.accounts.ask(HELPER, "get", text) == HelperAnswer(0, b"get " + text)
        assert kernel.accounts.ask(HELPER, "list", b"") == HelperAnswer(0, b"list ")

    def test_a_helper_that_refuses(self, kernel: Kernel, lab: Lab) -> None:
        """Its exit code, what it printed all the same, and no complaint that it read nothing."""
        lab.add_helper(HELPER, REFUSE)
        assert kernel.accounts.ask(HELPER, "store", b"x" * 200_000) == HelperAnswer(3, b"refused\n")

    def test_a_helper_that_a_signal_ends(self, kernel: Kernel, lab: Lab) -> None:
        """128 + n."""
        lab.add_helper(HELPER, SUICIDE)
        assert kernel.accounts.ask(HELPER, "get", b"") == HelperAnswer(137, b"")

    def test_a_helper_that_is_not_there(self, kernel: Kernel, lab: Lab) -> None:
        """ENOENT."""
        with refused(Missing, errno.ENOENT):
            kernel.accounts.ask("docker-credential-none", "get", b"")

    def test_a_helper_that_can_not_be_executed(self, kernel: Kernel, lab: Lab) -> None:
        """EACCES."""
        lab.add_helper(HELPER, FORBIDDEN)
        with refused(Denied, errno.EACCES):
            kernel.accounts.ask(HELPER, "get", b"")

    @pytest.mark.parametrize("kind", [ENDLESS, SLOW])
    def test_a_helper_that_takes_too_long_is_ended(
        self, kernel: Kernel, lab: Lab, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        """Whether or not it closed its output."""
        monkeypatch.setattr(accounts, "HELPER_S", 0.3)
        lab.add_helper(HELPER, kind)
        with refused(Unreachable, errno.ETIMEDOUT):
            kernel.accounts.ask(HELPER, "get", b"")

    def test_a_helper_that_prints_too_much_is_ended(self, kernel: Kernel, lab: Lab) -> None:
        """EFBIG; it may never stop."""
        lab.add_helper(HELPER, FLOOD)
        with refused(TooLarge, errno.EFBIG):
            kernel.accounts.ask(HELPER, "get", b"")
