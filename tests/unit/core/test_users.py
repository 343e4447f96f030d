from __future__ import annotations

import errno

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bocker.core.users import HIGHEST_ID, Identity, UnknownUser, find

PASSWD = b"root:x:0:0:root:/root:/bin/sh\r\nweb:x:1000:1001::/srv:\r\n"
GROUP = b"staff:x:50:web\r\nempty:x:51:\r\nshort:x:52\r\n"
LINES = st.lists(
    st.builds(
        b":".join, st.lists(st.sampled_from([b"root", b"web", b"x", b"0", b"1000", b"-1", b"", b"\xff"]), max_size=8)
    )
).map(b"\n".join)
TEXTS = st.one_of(st.binary(max_size=200), LINES)
WORDS = st.one_of(
    st.sampled_from(["web", "root", "0", "1000", "web:staff", ":", "", ":0", "web:", "2147483648"]),
    st.text(st.characters(codec="utf-8"), max_size=12),
)


def test_lines_that_end_as_those_of_dos_are_read() -> None:
    assert find("web", PASSWD, GROUP) == Identity(1000, 1001, (1001, 50), "/srv")
    assert find("web:short", PASSWD, GROUP) == Identity(1000, 52, (52,), "/srv")
    assert find("", PASSWD, GROUP) == Identity(0, 0, (0,), "/root")


@given(WORDS, TEXTS, TEXTS)
@example("bad", b"bad:x:\xb2:0:::", b"")
def test_whatever_the_files_say_it_is_an_identity_or_one_error(user: str, passwd: bytes, group: bytes) -> None:
    """Ids are in range, the home is no empty word, and nobody becomes root who is not called so in the files."""
    try:
        found = find(user, passwd, group)
    except UnknownUser as unknown:
        refused_with = unknown.errno
    else:
        check(user, passwd, found)
        return
    assert refused_with in {errno.ENOENT, errno.ERANGE}


def check(user: str, passwd: bytes, found: Identity) -> None:
    """Check what holds of whoever was found."""
    assert all(0 <= number <= HIGHEST_ID for number in (found.uid, found.gid, *found.groups))
    assert found.home
    assert "\0" not in found.home
    assert found.gid == found.groups[0]
    name = user.partition(":")[0]
    if found.uid == 0 and name.strip("0"):
        assert any(line.strip().split(b":")[2:3] in ([b"0"], [b"00"], [b"000"]) for line in passwd.split(b"\n"))


@pytest.mark.parametrize("user", ["x", "x:y", "1:y"])
def test_without_files_a_name_is_nobody(user: str) -> None:
    with pytest.raises(UnknownUser):
        find(user, b"", b"")
