"""Out again on the fake machine: a commit's layer, push, save and load, export and import."""

from __future__ import annotations

import io
import json
import tarfile
from functools import partial

import pytest

from bocker.core.errors import InvalidValue, NoSuchImage
from bocker.core.model import ImageContent
from bocker.engine import images as engine_images
from bocker.engine import store
from bocker.fakes.registry import FakeRegistry
from bocker.images import watch
from bocker.images.changes import apply_changes
from bocker.images.errors import BadArchive, BlobGone
from bocker.images.flat import ImportRequest, export, import_archive
from bocker.images.history import history
from tests.unit.images.bench import HOST, OUT, ImageBench, archive, root_filesystem, with_app


@pytest.fixture
def bench() -> ImageBench:
    return with_app()


def committed(bench: ImageBench, name: str = f"{HOST}/mine:1", *changes: str) -> str:
    """Commit a container of the pulled image, that changed two files and took one away."""
    bench.run("probe", "write", "/data", "mine", ",", "write", "/own", "file", image=f"{HOST}/app:1", name="web")
    bench.world.remove(f"{bench.settings.store}/ps_42002/middle")
    made = engine_images.commit(
        bench.kernel, bench.settings, "web", name, lambda content: apply_changes(content, changes)
    )
    return str(made.image)


def document(bench: ImageBench, repository: str, tag: str) -> dict[str, object]:
    found = bench.registry.repository(repository)
    return json.loads(found.documents[found.tags[tag]].data)  # type: ignore[no-any-return]


def saved(bench: ImageBench, *references: str) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(bench.save(*references))) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def test_pushing_what_was_pulled_gives_the_same_digest(bench: ImageBench) -> None:
    pulled = bench.pull("app:1")
    bench.tag(f"{HOST}/app:1", f"{HOST}/copy/app:9")
    assert bench.push(f"{HOST}/copy/app:9", "copy/app:9").digest == pulled.digest
    assert bench.registry.repository("copy/app").tags == {"9": pulled.digest}


def test_only_what_is_missing_is_sent_and_what_a_neighbour_has_is_mounted(bench: ImageBench) -> None:
    committed(bench)
    bench.registry.seen.clear()
    bench.push(f"{HOST}/mine:1", "mine:1")
    assert len(bench.diary.seen(watch.MOUNTED)) == 3
    assert len(bench.diary.seen(watch.PUSHED)) == 1
    bench.registry.seen.clear()
    bench.push(f"{HOST}/mine:1", "mine:1")
    assert not [line for line in bench.asked("") if line.startswith(("POST", "PATCH"))]


def test_a_registry_without_mounts_gets_the_blobs(bench: ImageBench) -> None:
    bench.registry.mounts = False
    committed(bench)
    bench.push(f"{HOST}/mine:1", "mine:1")
    assert len(bench.diary.seen(watch.PUSHED)) == 4


def test_what_was_committed_comes_back_the_same(bench: ImageBench) -> None:
    image = committed(bench, f"{HOST}/mine:1", 'CMD ["probe", "read", "/own"]', "ENV A=b", "LABEL x=y")
    tree = bench.tree(image)
    bench.push(f"{HOST}/mine:1", "mine:1")
    elsewhere = ImageBench(bench.registry)
    pulled = elsewhere.pull("mine:1")
    assert elsewhere.tree(str(pulled.image)) == tree
    assert elsewhere.run(image=f"{HOST}/mine:1").out == b"file"
    config = elsewhere.program().records
    assert config is not None
    assert len(document(bench, "mine", "1")["layers"]) == 4  # type: ignore[arg-type]


def test_a_commit_of_an_image_made_here_is_one_layer_and_keeps_its_history(bench: ImageBench) -> None:
    bench.add_image(tag=f"{HOST}/flat:1")
    bench.push(f"{HOST}/flat:1", "flat:1")
    assert len(document(bench, "flat", "1")["layers"]) == 1  # type: ignore[arg-type]


def test_a_commit_that_changed_nothing_has_no_layer_of_its_own(bench: ImageBench) -> None:
    bench.run("probe", "exit", "0", image=f"{HOST}/app:1", name="idle")
    engine_images.commit(
        bench.kernel, bench.settings, "idle", f"{HOST}/same:1", lambda c: apply_changes(c, ("USER jo",))
    )
    bench.push(f"{HOST}/same:1", "same:1")
    assert len(document(bench, "same", "1")["layers"]) == 3  # type: ignore[arg-type]


def test_a_sealed_image_is_the_same_when_it_goes_out_again(bench: ImageBench) -> None:
    committed(bench)
    first = bench.push(f"{HOST}/mine:1", "mine:1")
    bench.world.settle()
    assert bench.push(f"{HOST}/mine:1", "other:1").digest == first.digest
    assert bench.pull("mine:1").fresh is False


def test_a_layer_that_was_pruned_is_fetched_again_or_named(bench: ImageBench) -> None:
    other = FakeRegistry("https://other.example")
    bench.world.serve(other, *other.addresses)
    for blob in bench.program().blobs.list():
        if blob.size_bytes > 200 and bench.program().blobs.read(blob.name)[:1] != b"{":
            bench.kernel.blobs.remove(blob.name)
    bench.push(f"{HOST}/app:1", "again:1")
    bench.registry.repositories.clear()
    for blob in bench.program().blobs.list():
        if bench.program().blobs.read(blob.name)[:1] != b"{":
            bench.kernel.blobs.remove(blob.name)
    with pytest.raises(BlobGone, match="was pruned"):
        saved(bench, f"{HOST}/app:1")


def test_saved_and_loaded_it_is_the_same_image(bench: ImageBench) -> None:
    image = committed(bench)
    tree = bench.tree(image)
    saved(bench, f"{HOST}/mine:1", f"{HOST}/app:1")
    assert bench.rm("img_42002", image) == ["Removed: img_42002", f"Removed: {image}"]
    back = bench.load()
    assert [one.tags for one in back] == [(f"{HOST}/mine:1",), (f"{HOST}/app:1",)]
    assert bench.tree(str(back[0].image)) == tree
    assert [one.image for one in bench.load()] == [one.image for one in back]


def test_an_archive_is_both_an_oci_layout_and_dockers(bench: ImageBench) -> None:
    files = saved(bench, f"{HOST}/app:1")
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"] == {
        "io.containerd.image.name": f"{HOST}/app:1",
        "org.opencontainers.image.ref.name": "1",
    }
    (image,) = json.loads(files["manifest.json"])
    assert image["RepoTags"] == [f"{HOST}/app:1"]
    assert all(name in files for name in (image["Config"], *image["Layers"]))
    assert saved(bench, f"{HOST}/app:1") == files


def test_one_that_is_named_by_its_id_goes_with_all_its_tags(bench: ImageBench) -> None:
    bench.tag("img_42002", "second:2")
    files = saved(bench, "img_42002", "second:2")
    (image,) = json.loads(files["manifest.json"])
    assert image["RepoTags"] == [f"{HOST}/app:1", "second:2"]
    bench.rmi("second:2", f"{HOST}/app:1")
    (back,) = bench.load()
    assert set(back.tags) == {f"{HOST}/app:1", "second:2"}


def docker_archive(*layers: tuple[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """Return what an old `docker save` writes: uncompressed layers under names of their own, links between them."""
    import hashlib

    diff_ids = [f"sha256:{hashlib.sha256(data).hexdigest()}" for _, data in layers]
    names = [name for name, _ in layers]
    if links:
        names += list(links)
        by_name = dict(zip([name for name, _ in layers], diff_ids, strict=True))
        diff_ids += [by_name[target.removeprefix("../")] for target in links.values()]
    config = json.dumps(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}, "config": {}}
    )
    manifest = [{"Config": "abc.json", "RepoTags": ["old/app:1"], "Layers": names}]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in (*layers, ("abc.json", config.encode()), ("manifest.json", json.dumps(manifest).encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return stream.getvalue()


def test_dockers_older_archives_are_read_links_and_all(bench: ImageBench) -> None:
    data = docker_archive(
        ("one/layer.tar", root_filesystem()),
        ("two/layer.tar", archive(("x", "1"))),
        links={"three/layer.tar": "../two/layer.tar"},
    )
    bench.world.write_file(OUT, data)
    (back,) = bench.load()
    assert back.tags == ("old/app:1",)
    assert bench.tree(str(back.image))["x"] == b"1"
    assert bench.push("old/app:1", "old/app:1").digest


@pytest.mark.parametrize(
    "data",
    [
        b"no archive at all" * 100,
        b"",
        archive(("hello", "x")),
        archive(("manifest.json", "[3]")),
        archive(("manifest.json", '[{"Config": "../../etc/passwd", "Layers": []}]')),
        archive(("oci-layout", "{}"), ("index.json", '{"schemaVersion": 2, "manifests": 5}')),
        docker_archive(("a", root_filesystem()))[:8000],
    ],
)
def test_what_is_no_archive_of_images_is_refused(bench: ImageBench, data: bytes) -> None:
    from bocker.core.errors import BockerError

    before = bench.images()
    bench.world.write_file(OUT, data)
    with pytest.raises(BockerError):
        bench.load()
    assert bench.images() == before
    assert bench.cleanup() == ()


def test_what_is_not_there_is_said(bench: ImageBench) -> None:
    with pytest.raises(BadArchive, match="no such file"):
        bench.load("/nowhere.tar")
    with pytest.raises(NoSuchImage):
        saved(bench, f"{HOST}/app:1", "nothing:1")
    with pytest.raises(NoSuchImage):
        bench.push("nothing:1", "nothing:1")


def test_a_containers_files_go_out_and_come_in(bench: ImageBench) -> None:
    bench.run("probe", "write", "/own", "x", image=f"{HOST}/app:1", name="web")
    export(bench.kernel, bench.settings, "web", OUT)
    request = ImportRequest(OUT, "flat:1", ('ENTRYPOINT ["probe"]', 'CMD ["read", "/own"]'))
    image = import_archive(bench.kernel, bench.settings, request)
    assert bench.tree(str(image))["own"] == b"x"
    assert bench.run(image="flat:1").out == b"x"
    assert bench.cleanup() == ()


def test_bad_input_of_import_makes_nothing(bench: ImageBench) -> None:
    before = bench.images()
    bench.world.write_file(OUT, archive(("x", "1")))
    with pytest.raises(InvalidValue):
        import_archive(bench.kernel, bench.settings, ImportRequest(OUT, "flat:1", ("RUN rm",)))
    with pytest.raises(InvalidValue):
        import_archive(bench.kernel, bench.settings, ImportRequest(OUT, "FLAT:1"))
    with pytest.raises(BadArchive):
        import_archive(bench.kernel, bench.settings, ImportRequest("/nowhere", "flat:1"))
    assert bench.images() == before


def test_a_commit_remembers_the_base_of_an_image_that_is_gone(bench: ImageBench) -> None:
    bench.run("probe", "write", "/own", "x", image=f"{HOST}/app:1", name="web")
    bench.rm("img_42002")
    engine_images.commit(bench.kernel, bench.settings, "web", f"{HOST}/mine:1")
    bench.push(f"{HOST}/mine:1", "mine:1")
    assert len(document(bench, "mine", "1")["layers"]) == 4  # type: ignore[arg-type]


def test_message_and_author_are_in_the_history(bench: ImageBench) -> None:
    bench.run("probe", "write", "/own", "x", image=f"{HOST}/app:1", name="web")
    engine_images.commit(
        bench.kernel, bench.settings, "web", f"{HOST}/mine:1", lambda c: c.replace(author="jo", message="a word")
    )
    bench.push(f"{HOST}/mine:1", "mine:1")
    config = document(bench, "mine", "1")["config"]["digest"]  # type: ignore[index]
    written = json.loads(bench.registry.repository("mine").blobs[config])
    assert written["history"][-1]["comment"] == "a word"
    assert written["author"] == "jo"
    assert len(written["history"]) == 4
    kernel = bench.program()
    assert all(content.config for content in store.contents_in_use(kernel))


def test_a_commit_keeps_what_run_was_told_and_the_images_command(bench: ImageBench) -> None:
    told = {"environment": ("COLOUR=red",), "user": "0", "working_directory": "/bin", "labels": ("a=b",)}
    bench.run("probe", "exit", "0", image=f"{HOST}/app:1", name="web", **told)
    made = engine_images.commit(bench.kernel, bench.settings, "web", "mine:1")
    kernel = bench.program()
    content = store.load_content(kernel, kernel.storage.describe(str(made.image)).uuid)
    assert "COLOUR=red" in content.environment
    assert (content.user, content.working_directory, content.labels) == ("0", "/bin", ("a=b",))
    assert content.command == ("/bin/sh",)


def test_a_commit_of_a_commit_has_both_steps(bench: ImageBench) -> None:
    for number, (image, name) in enumerate(((f"{HOST}/app:1", "first:1"), ("first:1", f"{HOST}/mine:1"))):
        message = f"step {number}"
        bench.run("probe", "write", f"/own{number}", "x", image=image, name=f"web{number}")
        told = partial(ImageContent.replace, message=message)
        engine_images.commit(bench.kernel, bench.settings, f"web{number}", name, told)
    before = [step.comment for step in history(bench.kernel, bench.settings, f"{HOST}/mine:1")]
    assert before[:2] == ["step 1", "step 0"]
    bench.push(f"{HOST}/mine:1", "mine:1")
    digest = document(bench, "mine", "1")["config"]["digest"]  # type: ignore[index]
    config = json.loads(bench.registry.repository("mine").blobs[digest])
    steps = [(step.get("comment"), step.get("empty_layer", False)) for step in config["history"][-2:]]
    assert steps == [("step 0", True), ("step 1", False)]
    assert [step.comment for step in history(bench.kernel, bench.settings, f"{HOST}/mine:1")] == before
    assert bench.run("probe", "read", "/own0", image=f"{HOST}/mine:1").out == b"x"
