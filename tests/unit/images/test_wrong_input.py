"""What a newcomer types wrong, and what others put before him, is said in words that help."""

from __future__ import annotations

import hashlib
import json

import pytest

from bocker.core.errors import InvalidValue
from bocker.core.reference import parse_name
from bocker.fakes.publishing import Platform
from bocker.images.errors import BadArchive, DocumentGone, NoPlaceToWrite
from bocker.images.flat import ImportRequest, export, import_archive
from bocker.images.save import SaveRequest, save
from bocker.registry.platforms import parse_platform
from tests.unit.images.bench import BASE, HOST, LINUX, Diary, ImageBench, archive, with_app


@pytest.fixture
def bench() -> ImageBench:
    bench = with_app()
    bench.run("probe", "exit", "0", image=f"{HOST}/app:1", name="web")
    return bench


@pytest.mark.parametrize(
    ("path", "reason"), [("/nowhere/x.tar", "there is no such directory"), ("/var", "it is a directory")]
)
def test_an_archive_that_can_not_be_written_says_where_and_why(bench: ImageBench, path: str, reason: str) -> None:
    with pytest.raises(NoPlaceToWrite, match=f"^'{path}' can not be written: {reason}$"):
        save(bench.kernel, bench.settings, SaveRequest((f"{HOST}/app:1",), LINUX, bench.remote, path), Diary())
    with pytest.raises(NoPlaceToWrite, match=f"^'{path}' can not be written: {reason}$"):
        export(bench.kernel, bench.settings, "web", path)
    assert bench.cleanup() == ()


def test_a_file_that_is_no_archive_is_called_so(bench: ImageBench) -> None:
    bench.world.write_file("/text", b"root:x:0:0:root:/root:/bin/sh\n" * 40)
    bench.world.write_file("/empty", b"")
    for path in ("/text", "/empty"):
        with pytest.raises(BadArchive, match=f"from '{path}': it is no whole archive: "):
            bench.load(path)
        with pytest.raises(BadArchive, match=f"from '{path}': it is no whole archive: "):
            import_archive(bench.kernel, bench.settings, ImportRequest(path))
    assert bench.cleanup() == ()


def test_what_fails_uses_no_id_up(bench: ImageBench) -> None:
    bench.world.write_file("/text", b"no archive")
    for path in ("/nowhere", "/text"):
        with pytest.raises(BadArchive):
            import_archive(bench.kernel, bench.settings, ImportRequest(path))
    assert bench.add_image() == "img_42003"


@pytest.mark.parametrize(
    ("offered", "wanted", "warned"),
    [
        (Platform("arm64"), "linux/amd64", True),
        (Platform("amd64"), "linux/s390x", True),
        (Platform("amd64"), "linux/amd64", False),
        (Platform("amd64"), "linux/amd64/v3", False),
    ],
)
def test_an_image_for_other_machines_is_told_of(offered: Platform, wanted: str, warned: bool) -> None:
    """Where an index chose it, it fits; a manifest that stands alone may be for any."""
    bench = ImageBench()
    bench.registry.put_image("app", "1", [BASE], platform=offered)
    bench.pull("app:1", parse_platform(wanted))
    expected = [f"Warning: the image is for linux/{offered.architecture}, not for {wanted}"] if warned else []
    assert [line for line in bench.diary.lines if "is for" in line] == expected
    bench.save(f"{HOST}/app:1")
    bench.load(platform=parse_platform(wanted))
    assert bench.diary.lines == expected


def test_a_name_of_one_letter_is_refused_for_that(bench: ImageBench) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_name("v")
    assert "two or more" in (refused.value.hint or "")


def test_a_tag_that_an_archive_says_twice_is_loaded_once(bench: ImageBench) -> None:
    diff_id = f"sha256:{hashlib.sha256(BASE).hexdigest()}"
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    entry = {"Config": "config", "RepoTags": ["twice:1", "docker.io/library/twice:1"], "Layers": ["layer"]}
    files = archive(("manifest.json", json.dumps([entry])), ("config", json.dumps(config)), ("layer", BASE))
    bench.world.write_file("/twice.tar", files)
    (loaded,) = bench.load("/twice.tar")
    assert loaded.tags == ("twice:1",)


def test_a_layer_that_could_not_be_finished_leaves_no_draft(bench: ImageBench) -> None:
    """It is no download that could be gone on with. Here somebody took the documents of its base away by hand."""
    bench.commit("web", f"{HOST}/mine:1")
    for blob in bench.kernel.blobs.list():
        bench.kernel.blobs.remove(blob.name)
    with pytest.raises(DocumentGone):
        bench.push(f"{HOST}/mine:1", "mine:1")
    assert bench.program().blobs.drafts() == ()
    assert bench.cleanup() == ()
