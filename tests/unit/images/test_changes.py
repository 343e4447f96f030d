"""`--change`: what docker's builder reads, and whatever anybody may type."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bocker.core.errors import InvalidValue
from bocker.core.jsontext import loads
from bocker.core.model import ImageContent, from_data
from bocker.engine import store
from bocker.images.changes import apply_changes
from bocker.images.contents import run_fields

BASE = ImageContent(
    "uuid",
    "source",
    1,
    command=("old",),
    entrypoint=("old-entry",),
    environment=("A=1", "B=2"),
    working_directory="/srv",
    exposed_ports=("80/tcp",),
    volumes=("/data",),
    labels=("x=1",),
)


def changed(*lines: str) -> ImageContent:
    return apply_changes(BASE, lines)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ('CMD ["a", "b c"]', "command", ("a", "b c")),
        ("CMD a  b", "command", ("/bin/sh", "-c", "a  b")),
        ("cmd []", "command", ()),
        ('ENTRYPOINT ["/x"]', "entrypoint", ("/x",)),
        ('ENTRYPOINT ["/x"]', "command", ()),
        ("ENV A=3 C=\"d e\" D=''", "environment", ("A=3", "B=2", "C=d e", "D=")),
        ("ENV B two words", "environment", ("A=1", "B=two words")),
        ("LABEL x=2 y.z=3", "labels", ("x=2", "y.z=3")),
        ("EXPOSE 80 53/UDP 1-3", "exposed_ports", ("80/tcp", "53/udp", "1-3/tcp")),
        ("VOLUME /a /data", "volumes", ("/data", "/a")),
        ('VOLUME ["/a b"]', "volumes", ("/data", "/a b")),
        ("WORKDIR sub", "working_directory", "/srv/sub"),
        ("WORKDIR /other", "working_directory", "/other"),
        ("USER jo:staff", "user", "jo:staff"),
        ("STOPSIGNAL SIGINT", "stop_signal", "SIGINT"),
        ("  USER   jo  ", "user", "jo"),
    ],
)
def test_what_dockers_builder_reads(line: str, field: str, value: object) -> None:
    assert changed(line).fields()[field] == value


def test_they_are_made_in_their_order() -> None:
    found = changed("WORKDIR /a", "WORKDIR b", 'ENTRYPOINT ["x"]', 'CMD ["y"]')
    assert (found.working_directory, found.entrypoint, found.command) == ("/a/b", ("x",), ("y",))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "CMD",
        "CMD ",
        "FROM x",
        "RUN x",
        "CMD [1]",
        'CMD ["a"',
        "ENV",
        "ENV A",
        "ENV =x",
        'ENV A="x',
        "ENV ''",
        'ENV "" x',
        "LABEL x",
        "EXPOSE 0",
        "EXPOSE 65536",
        "EXPOSE 5-3",
        "EXPOSE x/tcp",
        "VOLUME data",
        'VOLUME ["data"]',
        "USER a b",
        "STOPSIGNAL a b",
        "USER a\0",
        "ENV A=\0",
        "WORKDIR /a\0b",
        "CMD a\0b",
        "VOLUME /a\0",
        "LABEL a=\0",
        'CMD ["\\u0000"]',
        "STOPSIGNAL NOPE",
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(line: str) -> None:
    with pytest.raises(InvalidValue) as found:
        changed("USER first", line)
    assert "\n" not in found.value.message


LINES = st.one_of(
    st.text(max_size=40),
    st.builds(
        " ".join,
        st.tuples(
            st.sampled_from("CMD ENTRYPOINT ENV LABEL EXPOSE VOLUME WORKDIR USER STOPSIGNAL".split()),
            st.one_of(
                st.text(max_size=20),
                st.lists(
                    st.sampled_from([*"[]\"\\'=,/: #-0159aé\t\n\0", "\udcff", "\ud800", "\u2028"]), max_size=12
                ).map("".join),
            ),
        ),
    ),
)


@given(st.lists(LINES, max_size=4))
@example(["CMD " + "[" * 100_000])
@example(["ENV #"])
@example(["ENV \\"])
@example(["LABEL ''"])
@example(["CMD [" + "9" * 5000 + "]"])
@example(['CMD ["\\ud800"]'])
@example(["USER \ud800"])
def test_any_lines_give_a_record_or_are_refused(lines: list[str]) -> None:
    """And the record can be stored, read, and shown."""
    try:
        found = apply_changes(BASE, tuple(lines))
    except InvalidValue:
        return
    assert from_data(ImageContent, loads(store.encode(found)), "image") == found
    assert "\0" not in "".join((*found.environment, *found.command, found.working_directory, *found.volumes))
    assert all(label.partition("=")[0] for label in found.labels)
    run_fields(found)
