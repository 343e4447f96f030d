"""Defects of the original's pull that no other test of images is about; docs/bash-bugs.md has them all."""

from __future__ import annotations

import io
import tarfile
from contextlib import nullcontext

import pytest

from bocker.core.errors import BockerError
from bocker.fakes.mishaps import Act, Mishap, cut, garbage
from bocker.fakes.publishing import PLAIN, Layer
from bocker.fakes.registry import FakeRegistry
from bocker.images.pull import PullRequest, pull
from bocker.registry.names import parse_name
from tests.unit.images.bench import BASE, HOST, LINUX, TOP, Diary, ImageBench, archive, root_filesystem, three_layers

ODD_NAMES = [
    " blanks at the ends ",
    "a blank ",
    "a\ttab",
    "semi;colon",
    "a\nline",
    "quotes \" and '",
    "back\\slash",
    "$(id) `id` *",
    "-n",
    "\udce9",
    "é",
]
OWNER, MOMENT_NS = (1000, 1001), 1_600_000_000_000_000_001


@pytest.fixture
def bench() -> ImageBench:
    return ImageBench()


def test_P1_no_request_is_of_the_first_api(bench: ImageBench) -> None:
    """It is gone since 2022; the fake registry has what the second has, and nothing else."""
    three_layers(bench)
    bench.pull("app:1")
    assert bench.registry.seen
    assert {seen.path.partition("/")[2].partition("/")[0] for seen in bench.registry.seen} == {"v2"}


def test_P7_names_with_separators_come_and_go_as_they_are(bench: ImageBench) -> None:
    kept, taken = ODD_NAMES[::2], ODD_NAMES[1::2]
    first = archive(*((f"odd/{name}", name.encode("utf-8", "replace")) for name in ODD_NAMES))
    second = archive(*((f"odd/.wh.{name}", "") for name in taken))
    three_layers(bench, layers=[BASE, first, second])
    tree = bench.tree(str(bench.pull("app:1").image))
    assert sorted(path for path in tree if path.startswith("odd/")) == sorted(f"odd/{name}" for name in kept)


def test_P7_words_of_the_configuration_stay_words(bench: ImageBench) -> None:
    words = ["probe", "echo", "a  b\tc\nd '\" $HOME *"]
    config = {"config": {"Cmd": words, "Env": ["ODD= a=b\tc "], "Labels": {"a b": "c=d, e"}}}
    bench.registry.put_image("app", "1", [BASE], config)
    bench.pull("app:1")
    assert bench.run(image=f"{HOST}/app:1").out == words[2].encode() + b"\n"
    (record,) = bench.records()
    assert (record.command, record.labels) == (tuple(words), ("a b=c=d, e",))
    assert "ODD= a=b\tc " in record.environment


def test_P8_what_a_layer_says_of_a_file_is_kept(bench: ImageBench) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo("own")
        entry.mode, entry.size = 0o4751, 1
        entry.uid, entry.gid = OWNER
        entry.pax_headers = {"mtime": "1600000000.000000001", "SCHILY.xattr.user.note": "kept"}
        tar.addfile(entry, io.BytesIO(b"x"))
        again = tarfile.TarInfo("second")
        again.type, again.linkname = tarfile.LNKTYPE, "own"
        tar.addfile(again)
    three_layers(bench, layers=[BASE, stream.getvalue()])
    found = bench.world.tree(f"{bench.settings.store}/{bench.pull('app:1').image}")
    assert (found["own"].mode, (found["own"].uid, found["own"].gid), found["own"].mtime_ns) == (
        0o4751,
        OWNER,
        MOMENT_NS,
    )
    assert found["own"].xattrs == (("user.note", b"kept"),)
    assert found["second"] == found["own"]


@pytest.mark.parametrize(
    ("act", "times", "top", "comes"),
    [
        (cut(100), 1, TOP, True),
        (cut(0), 99, TOP, False),
        (garbage, 99, TOP, False),
        (cut(0), 0, Layer(b"<html>" * 99, PLAIN), False),
    ],
    ids=["broken", "unreached", "garbage", "page"],
)
def test_P10_nothing_temporary_is_left(
    bench: ImageBench, act: Act, times: int, top: bytes | Layer, comes: bool
) -> None:
    """Outside the store nothing is ever written; inside there are images, layers, and blobs."""
    three_layers(bench, layers=[BASE, top])  # type: ignore[list-item]
    before = set(bench.world.tree("/"))
    bench.registry.mishaps.append(Mishap("GET *blobs*", act, times=times))
    with nullcontext() if comes else pytest.raises(BockerError):
        bench.pull("app:1")
    store = bench.settings.store.lstrip("/")
    assert [path for path in bench.world.tree("/") if path not in before and not path.startswith(store)] == []
    names = bench.program().storage.names()
    assert [name for name in names if not name.startswith(("img_", "layer_"))] == []
    assert bool(names) == comes


@pytest.mark.parametrize("host", ["registry.example", "registry.example:5000", "10.0.0.7:80", "localhost:5001"])
@pytest.mark.parametrize("path", ["app", "library/app", "team/app", "a/b/c/d/e-f__g.h"])
def test_P12_any_host_and_any_name(host: str, path: str) -> None:
    local = host.startswith("localhost")
    registry = FakeRegistry(f"{'http' if local else 'https'}://{host}")
    bench = ImageBench(registry)
    registry.put_image(path, "v_1.0-X", [root_filesystem()])
    request = PullRequest(parse_name(f"{host}/{path}:v_1.0-X"), LINUX, bench.remote)
    pulled = pull(bench.kernel, bench.settings, request, Diary())
    assert bench.images() == {str(pulled.image): (f"{host}/{path}:v_1.0-X",)}
