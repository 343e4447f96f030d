"""`pull` on the fake machine: what comes in, what is shared, and what is refused."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json

import pytest

from bocker.core.errors import BockerError, NoSuchImage, OperationFailed
from bocker.fakes import publishing
from bocker.fakes.access import Basic, Rules
from bocker.fakes.faults import RefuseCall
from bocker.fakes.mishaps import ALWAYS, Act, Handle, Mishap, corrupted, cut, error_page, refusing
from bocker.fakes.publishing import PLAIN, Layer
from bocker.fakes.publishing import Platform as Offered
from bocker.fakes.registry import Document, FakeRegistry
from bocker.fakes.servers import Reply
from bocker.fakes.web import refusal
from bocker.images import watch
from bocker.images.errors import BadLayer, LayerTooLarge
from bocker.images.sources import Remote
from bocker.kernel.archives import Bounds
from bocker.kernel.http import Request
from bocker.registry.credentials import Credentials, with_entry
from bocker.registry.endpoints import Registries
from bocker.registry.errors import AccessDenied, BadDocument, NoSuchPlatform, NotInRegistry, WrongDigest
from bocker.registry.platforms import parse_platform
from tests.unit.engine.test_setup import RefuseOperation
from tests.unit.images.bench import BASE, HOME, HOST, MIDDLE, TOP, ImageBench, archive, three_layers


@pytest.fixture
def bench() -> ImageBench:
    return ImageBench()


def test_P2_P11_layers_are_applied_base_to_top_however_many(bench: ImageBench) -> None:
    more = [archive((f"layer{number}", str(number)), ("last", str(number))) for number in range(12)]
    three_layers(bench, layers=[BASE, MIDDLE, TOP, *more])
    pulled = bench.pull("app:1")
    tree = bench.tree(str(pulled.image))
    assert (tree["data"], tree["middle"], tree["last"], tree["layer0"]) == (b"new", b"second", b"11", b"0")
    assert "gone" not in tree
    assert not [name for name in tree if ".wh." in name]


def test_an_image_has_the_name_it_was_asked_for_by(bench: ImageBench) -> None:
    three_layers(bench)
    pulled = bench.pull("app:1")
    assert bench.images() == {str(pulled.image): (f"{HOST}/app:1",)}
    assert bench.run("probe", "read", "/top", image=f"{HOST}/app:1").out == b"third"


def test_P9_the_tag_that_is_not_said_is_latest(bench: ImageBench) -> None:
    three_layers(bench, tag="latest")
    bench.pull("app")
    assert bench.images() == {"img_42002": (f"{HOST}/app:latest",)}


def test_the_same_image_keeps_its_id_and_is_not_fetched_again(bench: ImageBench) -> None:
    digest = three_layers(bench)
    first = bench.pull("app:1")
    bench.registry.seen.clear()
    assert bench.pull("app:1") == first.replace(fresh=False)
    assert bench.pull(f"app@{digest}").image == first.image
    assert not bench.asked("/blobs/")
    assert first.fresh
    assert first.digest == digest


def test_a_pull_by_digest_gives_no_tag(bench: ImageBench) -> None:
    digest = three_layers(bench)
    pulled = bench.pull(f"app@{digest}")
    assert bench.images() == {str(pulled.image): ()}
    assert bench.run("probe", "exit", "3", image=f"{HOST}/app@{digest}").code == 3


def test_a_tag_that_moved_leaves_the_old_image_untagged(bench: ImageBench) -> None:
    three_layers(bench)
    old = bench.pull("app:1").image
    three_layers(bench, layers=[BASE, TOP])
    new = bench.pull("app:1").image
    assert bench.images() == {str(old): (), str(new): (f"{HOST}/app:1",)}


def test_images_share_the_layers_they_share(bench: ImageBench) -> None:
    three_layers(bench)
    three_layers(bench, name="other", layers=[BASE, MIDDLE, archive(("own", "1"))])
    bench.pull("app:1")
    bench.registry.seen.clear()
    bench.pull("other:1")
    assert len(bench.layers()) == 4
    assert len(bench.asked("GET /v2/other/blobs/")) == 2  # the configuration and one layer
    assert len(bench.diary.seen(watch.EXISTS)) == 2
    assert bench.rm("img_42002") == ["Removed: img_42002"]
    assert len(bench.layers()) == 3
    bench.rm("img_42003")
    assert bench.layers() == []


def test_a_layer_stays_while_a_container_was_made_of_it(bench: ImageBench) -> None:
    three_layers(bench)
    bench.pull("app:1")
    bench.run("probe", "exit", "0", image="img_42002", name="web")
    bench.rm("img_42002")
    assert len(bench.layers()) == 3
    assert bench.cleanup() == ()
    bench.rm("web")
    assert bench.layers() == []
    assert bench.cleanup() == ()


def test_layers_go_with_the_content_that_a_commit_replaces(bench: ImageBench) -> None:
    bench.add_image(tag="base")
    bench.run("probe", "echo", "hi", name="web")
    bench.registry.put_image("app", "1", [BASE, MIDDLE])
    bench.pull("app:1")
    assert bench.layers()
    bench.commit("web", f"{HOST}/app:1")
    assert bench.layers() == []


def test_an_image_may_have_a_layer_twice_an_empty_one_and_none(bench: ImageBench) -> None:
    three_layers(bench, layers=[BASE, archive(), BASE])
    three_layers(bench, name="empty", layers=[])
    assert bench.tree(str(bench.pull("app:1").image))["gone"] == b"base"
    assert bench.tree(str(bench.pull("empty:1").image)) == {}


@pytest.mark.parametrize("kind", ["oci", "docker"])
@pytest.mark.parametrize("compression", ["plain", "gzip", "zstd"])
def test_every_format_of_manifest_and_layer(bench: ImageBench, kind: str, compression: str) -> None:
    pytest.importorskip("zstandard") if compression == "zstd" else None
    bench.registry.put_image("app", "1", [BASE, TOP], kind=kind, compression=compression)
    assert bench.tree(str(bench.pull("app:1").image))["top"] == b"third"


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_an_index_gives_the_image_of_the_platform(bench: ImageBench, kind: str) -> None:
    images = [
        (
            Offered(name),
            bench.registry.put_image("app", "", [archive(("arch", name))], platform=Offered(name), kind=kind),
        )
        for name in ("arm64", "amd64")
    ]
    index = bench.registry.put_index("app", "1", images, kind=kind)
    pulled = bench.pull("app:1")
    assert bench.tree(str(pulled.image))["arch"] == b"amd64"
    assert pulled.digest == index
    assert bench.tree(str(bench.pull("app:1", parse_platform("arm64")).image))["arch"] == b"arm64"
    with pytest.raises(NoSuchPlatform, match="linux/s390x"):
        bench.pull("app:1", parse_platform("s390x"))


def test_the_configuration_is_the_containers(bench: ImageBench) -> None:
    config = {"config": {"Entrypoint": ["probe"], "Cmd": ["env"], "Env": ["COLOUR=red"], "Labels": {"a": "b"}}}
    bench.registry.put_image("app", "1", [BASE], config)
    bench.pull("app:1")
    assert b"COLOUR=red" in bench.run(image=f"{HOST}/app:1").out
    assert bench.records()[0].labels == ("a=b",)


def test_no_such_image_is_said_in_the_originals_words(bench: ImageBench) -> None:
    with pytest.raises(NoSuchImage, match=f"No image named '{HOST}/nope:1' exists"):
        bench.pull("nope:1")
    assert bench.images() == {}


def nothing_but_downloads(bench: ImageBench) -> bool:
    """Tell whether a pull that failed left no image, no layer and nothing half done."""
    names = [name for name in bench.program().storage.names() if not name.startswith("ps_")]
    kernel = bench.program()
    records = [*kernel.records.list("images"), *kernel.records.list("contents"), *kernel.records.list("layers")]
    return names == [] and records == [] and bench.cleanup() == ()


def test_P4_a_layer_that_has_not_its_digest_is_named(bench: ImageBench) -> None:
    three_layers(bench)
    repository = bench.registry.repository("app")
    digest = next(digest for digest, blob in repository.blobs.items() if gzip_of(blob) == MIDDLE)
    repository.blobs[digest] = gzip.compress(b"another archive")
    with pytest.raises(BockerError, match=digest):
        bench.pull("app:1")
    assert nothing_but_downloads(bench)


def gzip_of(blob: bytes) -> bytes:
    try:
        return gzip.decompress(blob)
    except OSError:
        return b""


def test_P4_a_configuration_that_has_not_its_digest_is_named(bench: ImageBench) -> None:
    three_layers(bench)
    repository = bench.registry.repository("app")
    digest = next(digest for digest, blob in repository.blobs.items() if blob.startswith(b"{"))
    repository.blobs[digest] = repository.blobs[digest].replace(b"amd64", b"amd65")
    with pytest.raises(WrongDigest, match=digest):
        bench.pull("app:1")
    assert nothing_but_downloads(bench)


def test_P4_a_manifest_that_has_not_its_digest_is_named(bench: ImageBench) -> None:
    digest = three_layers(bench)
    repository = bench.registry.repository("app")
    other = repository.documents[digest]
    repository.documents[digest] = Document(other.media_type, other.data + b" ")
    with pytest.raises(WrongDigest, match=digest):
        bench.pull(f"app@{digest}")
    assert nothing_but_downloads(bench)


def test_P4_a_layer_that_unpacks_to_something_else_is_named(bench: ImageBench) -> None:
    """The blob has its digest; the configuration says what should be in it."""
    config = {"rootfs": {"type": "layers", "diff_ids": [publishing.digest_of(TOP)]}}
    bench.registry.put_image("app", "1", [BASE], config)
    with pytest.raises(BadLayer, match=hashlib.sha256(BASE).hexdigest()):
        bench.pull("app:1")
    assert nothing_but_downloads(bench)


@pytest.mark.parametrize(
    "blob",
    [b"<html>not a layer</html>" * 50, gzip.compress(BASE)[:-30], gzip.compress(BASE[:700])],
    ids=["page", "cut", "short"],
)
def test_P6_a_page_or_a_truncated_layer_is_an_error(bench: ImageBench, blob: bytes) -> None:
    """Even one whose digest is right."""
    bench.registry.put_image("app", "1", [Layer(blob, PLAIN)])
    with pytest.raises(BadLayer):
        bench.pull("app:1")
    assert nothing_but_downloads(bench)


def test_manifest_and_configuration_must_agree(bench: ImageBench) -> None:
    bench.registry.put_image("app", "1", [BASE], {"rootfs": {"type": "layers", "diff_ids": []}})
    with pytest.raises(BadDocument, match="1 layers"):
        bench.pull("app:1")
    assert nothing_but_downloads(bench)


def test_a_garbage_manifest_is_an_error(bench: ImageBench) -> None:
    bench.registry.put_document("app", "1", Document("application/vnd.oci.image.manifest.v1+json", b'{"layers": 3}'))
    with pytest.raises(BockerError):
        bench.pull("app:1")


@pytest.mark.parametrize("bounds", [Bounds(size_bytes=5000), Bounds(entries=2), Bounds(depth=1)])
def test_a_bomb_meets_a_limit(bench: ImageBench, bounds: Bounds) -> None:
    three_layers(bench)
    with pytest.raises(LayerTooLarge, match="limits"):
        bench.pull("app:1", bounds=bounds)
    assert nothing_but_downloads(bench)


def test_a_broken_transfer_goes_on_where_it_broke(bench: ImageBench) -> None:
    three_layers(bench, layers=[archive(("noise", bytes(hashlib.shake_128(b"x").digest(400_000))))])
    bench.registry.mishaps.append(Mishap("GET *blobs*", cut(100_000), number=2))
    bench.pull("app:1")
    assert [dict(seen.headers).get("range") for seen in bench.registry.seen if "/blobs/" in seen.path][
        -1
    ] == "bytes=100000-"
    assert bench.diary.seen(watch.RETRYING)


def test_P10_a_full_disk_leaves_nothing_and_then_it_works(bench: ImageBench) -> None:
    three_layers(bench)
    bench.kernel.gate = Full()
    with pytest.raises(OperationFailed, match="no space is left"):
        bench.pull("app:1")
    bench.kernel = bench.program()
    assert nothing_but_downloads(bench)
    bench.registry.seen.clear()
    bench.pull("app:1")
    assert not [path for path in bench.asked("GET /v2/app/blobs/") if path]


class Full(RefuseCall):
    """The disk is full when the last layer is unpacked."""

    def __init__(self) -> None:
        super().__init__(0, errno.ENOSPC)
        self.unpacked = 0

    def _is_now(self, call: object) -> bool:
        self.unpacked += getattr(call, "operation", "") == "archives.unpack"
        return self.unpacked == 3 and getattr(call, "operation", "") == "archives.unpack"


def test_credentials_are_a_persons_own(bench: ImageBench) -> None:
    closed = ImageBench(FakeRegistry(access=Basic(Rules({"jo": "secret"}, anonymous=False))))
    three_layers(closed)
    with pytest.raises(AccessDenied) as refused:
        closed.pull("app:1")
    assert refused.value.hint == f"run: bocker login {HOST}"
    written = with_entry(b"", HOST, Credentials("jo", "secret"))
    closed.kernel.accounts.update(HOME.files[0], lambda _: written)
    closed.pull("app:1")


def test_a_mirror_is_asked_first_and_may_fail(bench: ImageBench) -> None:
    mirror = FakeRegistry("https://mirror.example")
    bench.world.serve(mirror, *mirror.addresses)
    three_layers(bench)
    remote = Remote(Registries(mirrors=((HOST, "https://mirror.example"),)), HOME)
    bench.pull("app:1", remote=remote)
    assert mirror.seen
    mirror.put_image("app", "2", [BASE])
    bench.registry.seen.clear()
    bench.pull("app:2", remote=remote)
    assert bench.registry.seen == []


MIRRORED = Remote(Registries(mirrors=((HOST, "https://mirror.example"),)), HOME)


@pytest.fixture
def mirror(bench: ImageBench) -> FakeRegistry:
    """A mirror that has `app:1`, as the registry has."""
    mirror = FakeRegistry("https://mirror.example")
    bench.world.serve(mirror, *mirror.addresses)
    mirror.put_image("app", "1", [BASE, MIDDLE, TOP])
    three_layers(bench)
    return mirror


def missing(request: Request, handle: Handle) -> Reply:
    """There is no such blob."""
    return Reply(refusal(404, "BLOB_UNKNOWN"))


def top_of(registry: FakeRegistry) -> str:
    """Return the digest of the highest layer of `app:1`."""
    repository = registry.repository("app")
    return str(json.loads(repository.documents[repository.tags["1"]].data)["layers"][-1]["digest"])


@pytest.mark.parametrize("act", [refusing, error_page, corrupted, cut(0), missing])
def test_what_a_mirror_has_half_of_is_had_elsewhere(bench: ImageBench, mirror: FakeRegistry, act: Act) -> None:
    """What it gave is not fetched again, and what was unpacked is not unpacked again."""
    mirror.mishaps.append(Mishap(f"GET mirror.example/v2/app/blobs/{top_of(mirror)}", act, times=ALWAYS))
    pulled = bench.pull("app:1", remote=MIRRORED)
    assert bench.tree(str(pulled.image))["top"] == b"third"
    assert [line for line in bench.diary.lines if line.startswith("Mirror mirror.example: ")]
    assert bench.asked("GET /v2/app/blobs/") == [f"GET /v2/app/blobs/{top_of(mirror)}"]
    assert (bench.kernel.blobs.drafts(), bench.cleanup()) == ((), ())


def test_a_layer_of_a_mirrors_that_is_none_is_had_from_the_registry(bench: ImageBench, mirror: FakeRegistry) -> None:
    mirror.put_image("app", "1", [BASE, Layer(b"no archive")])
    pulled = bench.pull("app:1", remote=MIRRORED)
    assert bench.tree(str(pulled.image))["top"] == b"third"
    assert bench.cleanup() == ()


def test_where_the_registry_fails_too_its_own_word_is_told(bench: ImageBench, mirror: FakeRegistry) -> None:
    for registry, act in ((mirror, refusing), (bench.registry, missing)):
        registry.mishaps.append(Mishap(f"GET */blobs/{top_of(mirror)}", act, times=ALWAYS))
    with pytest.raises(NotInRegistry, match="layer sha256"):
        bench.pull("app:1", remote=MIRRORED)
    assert bench.images() == {}


def test_a_disk_that_is_full_is_no_fault_of_the_mirrors(bench: ImageBench, mirror: FakeRegistry) -> None:
    bench.kernel.gate = RefuseOperation("archives.unpack", errno.ENOSPC)
    with pytest.raises(OperationFailed):
        bench.pull("app:1", remote=MIRRORED)
    assert bench.registry.seen == []


def test_two_pulls_of_one_image_make_one(bench: ImageBench) -> None:
    """One that is at work does not keep the other from its layers, and what is collected is nobody's."""
    three_layers(bench)
    bench.pull("app:1")
    other = bench.in_another_terminal()
    three_layers(bench, name="other")
    assert other.pull("other:1").image == bench.pull("other:1").image


def test_the_origin_is_remembered(bench: ImageBench) -> None:
    digest = three_layers(bench)
    pulled = bench.pull("app:1")
    kernel = bench.program()
    content = json.loads(kernel.records.read(f"contents/{kernel.storage.describe(str(pulled.image)).uuid}"))
    assert content["digests"] == [f"{HOST}/app@{digest}"]


def test_an_image_of_another_platform_is_taken_and_said(bench: ImageBench) -> None:
    """As docker does: only an index has something to choose from."""
    bench.registry.put_image("app", "1", [BASE], platform=Offered("s390x"))
    assert bench.pull("app:1").fresh
    assert "Warning: the image is for linux/s390x, not for linux/amd64" in bench.diary.lines
    bench.pull("app:1", parse_platform("s390x"))
    assert not [line for line in bench.diary.lines if "not for" in line]


def test_a_registry_that_is_down_is_waited_for_and_that_is_said(bench: ImageBench) -> None:
    three_layers(bench)
    bench.registry.mishaps.append(Mishap("GET */manifests/*", refusing, times=2))
    assert bench.pull("app:1").fresh
    told = [line for line in bench.diary.lines if "trying again in" in line]
    assert len(told) == 2
    assert f"{HOST} can not be reached: connection refused; trying again in 1 s" in told[0]
