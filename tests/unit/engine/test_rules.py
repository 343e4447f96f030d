"""Small rules of the engine, each by itself: whose tag, whose name, whose address, which words."""

from __future__ import annotations

import errno

import pytest

from bocker.core.addresses import parse_interface
from bocker.core.errors import (
    BockerError,
    Damaged,
    HostNotReady,
    InvalidValue,
    NoSuchContainer,
    NotPrivileged,
    OperationFailed,
)
from bocker.core.ids import ContainerId, ImageId
from bocker.core.model import ContainerRecord, ImageContent, ImageTags
from bocker.core.settings import Settings
from bocker.engine import building, burial, layers, options, program, repair, resolve, setup, store
from bocker.engine.failures import Doing, reason_of
from bocker.engine.run import RunRequest
from bocker.fakes.faults import Gate
from bocker.kernel.errors import kernel_error
from tests.unit.engine.bench import Bench, Screen, ready
from tests.unit.engine.test_setup import SMALL, RefuseOperation, bare, undo
from tests.unit.images.bench import BASE, MIDDLE, ImageBench, archive, three_layers

WEB = ContainerId(42002)
CONTENT = ImageContent("", "/rootfs", 0)


def uuid_of(bench: Bench, name: str) -> str:
    return bench.kernel.storage.describe(name).uuid


def test_a_tag_goes_to_the_image_that_was_just_made_whatever_its_time() -> None:
    """The clock may go back, and an image may be as old as it was where it came from."""
    bench = ready()
    recipe = building.Recipe(CONTENT, bench.kernel.storage.create, created_ns=1)
    made = building.new_image(bench.kernel, recipe, "base:latest")
    assert bench.images() == {"img_42002": (), str(made): ("base:latest",)}
    assert store.load_content(bench.kernel, uuid_of(bench, str(made))).created_ns == 1


def test_the_size_of_an_image_is_written_down_when_it_is_made() -> None:
    bench = ready()
    content = store.load_content(bench.kernel, uuid_of(bench, "img_42002"))
    assert content.size_bytes == bench.kernel.storage.size_bytes("img_42002")
    assert content.size_bytes


def test_what_was_known_of_a_content_that_was_replaced_is_forgotten() -> None:
    bench = ready()
    building.replace_image(bench.kernel, ImageId(42002), building.Recipe(CONTENT, bench.kernel.storage.create))
    assert bench.kernel.records.list("contents") == (uuid_of(bench, "img_42002"),)


def test_who_is_written_down_as_dead_is_dead() -> None:
    """The kernel kills the child of an engine that was killed; one that somehow lives must not live on unseen."""
    bench = ready()
    other = bench.program()

    def bury(data: bytes) -> None:
        record = store.load_container(other, WEB)
        assert burial.bury(other, record).state == "dead"
        assert record.process is not None
        assert not other.processes.alive(record.process)

    assert bench.run("probe", "echo", "up", ",", "sleep", "9", screen=Screen(bury)).code == 137


def test_a_record_that_changed_since_it_was_read_counts_as_it_is_now() -> None:
    bench = ready()
    stale: list[ContainerRecord] = []
    screen = Screen(lambda data: stale.append(store.load_container(bench.program(), WEB)))
    bench.run("probe", "echo", "up", ",", "exit", "3", screen=screen)
    current = repair.reconcile(bench.kernel, stale[0])
    assert current is not None
    assert (current.state, current.exit_code) == ("exited", 3)


@pytest.mark.parametrize(
    ("store_is_there", "privileged", "needs_store", "kind"),
    [
        (True, True, True, OperationFailed),
        (False, True, True, HostNotReady),
        (False, True, False, OperationFailed),
        (True, False, True, NotPrivileged),
        (True, False, False, OperationFailed),
    ],
)
def test_what_is_missing_is_said_before_what_failed(
    store_is_there: bool, privileged: bool, needs_store: bool, kind: type[BockerError]
) -> None:
    bench = bare(privileged=privileged)
    if store_is_there:
        bench.world.prepare(bench.settings)
    with pytest.raises(BockerError) as failed, Doing(bench.kernel, bench.settings, "Something", needs_store):
        raise kernel_error("network.link", "bridge0", errno.ENODEV)
    assert type(failed.value) is kind


@pytest.mark.parametrize(
    ("store_is_there", "error", "kind"),
    [
        (True, NoSuchContainer("web"), NoSuchContainer),
        (False, NoSuchContainer("web"), HostNotReady),
        (False, InvalidValue("'a b' is no host name", "say another"), InvalidValue),
    ],
)
def test_what_seems_not_to_exist_may_be_where_the_store_should_be_and_a_wrong_word_is_wrong_all_the_same(
    store_is_there: bool, error: BockerError, kind: type[BockerError]
) -> None:
    bench = bare()
    if store_is_there:
        bench.world.prepare(bench.settings)
    with pytest.raises(BockerError) as failed, Doing(bench.kernel, bench.settings, "Something"):
        raise error
    assert type(failed.value) is kind


@pytest.mark.parametrize(
    ("number", "detail", "reason"),
    [
        (errno.ENODEV, "", "there is no such thing (network.link bridge0: ENODEV)"),
        (errno.ENODEV, "by name", "there is no such thing (network.link bridge0: ENODEV by name)"),
        (errno.EXDEV, "by name", "network.link bridge0: EXDEV by name"),
    ],
)
def test_the_reason_is_in_words_with_the_kernels_own(number: int, detail: str, reason: str) -> None:
    assert reason_of(kernel_error("network.link", "bridge0", number, detail)) == reason


def test_a_layer_that_nothing_is_known_of_is_written_down_again_by_whoever_uses_it() -> None:
    bench = ImageBench()
    three_layers(bench)
    three_layers(bench, name="other", layers=[BASE, MIDDLE, archive(("own", "1"))])
    bench.pull("app:1")
    records = {name: bench.kernel.records.read(f"layers/{name}") for name in bench.kernel.records.list("layers")}
    for name in records:
        bench.kernel.records.remove(f"layers/{name}")
    bench.pull("other:1")
    again = {name: bench.kernel.records.read(f"layers/{name}") for name in bench.kernel.records.list("layers")}
    assert {name: again[name] for name in again if name in records} == {
        name: records[name] for name in records if name in again
    }
    assert len(again.keys() & records.keys()) == 2


def test_a_bad_stop_signal_is_told_with_its_flag() -> None:
    with pytest.raises(InvalidValue, match="--stop-signal"):
        options.check(RunRequest("base", stop_signal="NOPE"))


def test_a_text_that_is_no_utf8_is_passed_on_and_one_that_can_not_be_is_refused() -> None:
    program.check_texts(("\udcff", "ä", ""))
    for text in ("\ud800", "a\0b"):
        with pytest.raises(InvalidValue, match="can not be passed"):
            program.check_texts(("fine", text))


@pytest.mark.parametrize("command", ["rm", "rmi", "rmi by id"])
def test_a_tag_does_not_come_back_with_the_older_image_that_an_engine_was_killed_over(command: str) -> None:
    bench = ImageBench()
    bench.add_image(tag="a")
    bench.add_image(tag="a")
    bench.kernel.records.write("images/img_42002", store.encode(ImageTags("img_42002", ("a:latest",))))
    if command == "rm":
        assert bench.rm("img_42003") == ["Removed: img_42003"]
    else:
        word = "a" if command == "rmi" else "img_42003"
        assert bench.rmi(word) == ["Untagged: a:latest", "Removed: img_42003"]
    assert bench.images() == {"img_42002": ()}


def test_of_two_that_have_a_tag_the_one_that_came_later_counts() -> None:
    bench = ready()
    bench.add_image(tag="base")
    bench.kernel.records.write("images/img_42002", store.encode(ImageTags("img_42002", ("base:latest",))))
    assert resolve.tagged(bench.kernel, "base:latest") == ImageId(42003)
    assert resolve.give_up_tag(bench.kernel, "base:latest") == ImageId(42003)
    assert bench.images() == {"img_42002": (), "img_42003": ("base:latest",)}
    assert resolve.give_up_tag(bench.kernel, "base:latest") is None


def test_a_tag_that_the_winner_lost_meanwhile_is_left_to_who_has_it() -> None:
    bench = ready()
    bench.add_image(tag="base")
    assert resolve.give_up_tag(bench.kernel, "base:latest", ImageId(42002)) is None
    assert bench.images() == {"img_42002": (), "img_42003": ("base:latest",)}


def test_no_container_gets_the_address_of_the_bridge() -> None:
    bench = Bench(settings=Settings(subnet="10.0.0.0/29"))
    bench.kernel.network.delete("bridge0")
    bench.kernel.network.create_bridge("bridge0", setup.BRIDGE_MAC)
    bench.kernel.network.add_address("bridge0", parse_interface("10.0.0.3/29"))
    bench.kernel.network.set_up("bridge0", True)
    bench.add_image(tag="base")
    for _ in range(3):
        bench.run("true")
    assert list(bench.ps()) == ["ps_42002", "ps_42004", "ps_42005"]


def test_a_program_that_does_not_start_was_not_out_of_memory() -> None:
    bench = ready()
    with pytest.raises(BockerError, match="nothing"):
        bench.run("nothing")
    (record,) = bench.records()
    assert (record.exit_code, record.oom_killed) == (127, False)


def test_a_container_that_did_not_come_to_be_gives_its_name_up() -> None:
    bench = ready()
    bench.kernel.gate = RefuseOperation("storage.snapshot", errno.ENOSPC)
    with pytest.raises(OperationFailed):
        bench.run("true", name="web")
    bench.kernel.gate = Gate()
    assert bench.kernel.records.list("names") == ()
    assert bench.run("true", name="web").code == 0


def test_undo_says_only_what_it_did_itself() -> None:
    bench = bare()
    bench.setup(size_bytes=SMALL)
    bench.kernel.network.delete("bridge0")
    bench.kernel.host.unmount("/usr/bin/python3.11")
    lines = undo(bench, delete_data=True)
    assert "Removed: the firewall table bocker" in lines
    assert not [line for line in lines if "bridge0" in line or "python" in line]


def test_a_directory_for_the_store_that_was_there_stays() -> None:
    bench = bare()
    bench.world.add_files("/var/bocker", {"": bench.world.tree("/rootfs")[""]})
    bench.setup(size_bytes=SMALL)
    undo(bench, delete_data=True)
    assert bench.world.entry("/var/bocker") is not None


@pytest.mark.parametrize(
    ("key", "subject", "load"),
    [
        ("containers/ps_42002", "ps_42002", lambda kernel: store.load_container(kernel, WEB)),
        ("images/img_42002", "img_42002", lambda kernel: store.load_tags(kernel, ImageId(42002))),
        ("contents/some", "content some", lambda kernel: store.load_content(kernel, "some")),
        ("layers/some", "layer some", lambda kernel: store.load_layer(kernel, "some")),
    ],
)
@pytest.mark.parametrize("data", [b"{", b"[]", b'{"id": 5}'])
def test_a_damaged_record_is_named_with_what_is_wrong(key: str, subject: str, load: object, data: bytes) -> None:
    bench = Bench()
    bench.kernel.records.write(key, data)
    with pytest.raises(Damaged) as damaged:
        load(bench.kernel)  # type: ignore[operator]
    assert damaged.value.subject == subject
    assert damaged.value.reason not in {"", "None"}


@pytest.mark.parametrize("key", ["containers/ps_42002", "images/img_42002"])
def test_a_record_under_anothers_name_is_damaged(key: str) -> None:
    bench = ready()
    bench.run("true")
    bench.add_image()
    bench.run("true", image="img_42003")
    other = key.replace("42002", "42003")
    bench.kernel.records.write(key, bench.kernel.records.read(other))
    load = store.load_container if "ps_" in key else store.load_tags
    identity = WEB if "ps_" in key else ImageId(42002)
    with pytest.raises(Damaged, match=f"it is of '{other.partition('/')[2]}'") as damaged:
        load(bench.kernel, identity)  # type: ignore[operator]
    assert damaged.value.subject == str(identity)


def test_layers_are_read_only_and_lie_on_each_other() -> None:
    bench = ImageBench()
    three_layers(bench)
    bench.pull("app:1")
    assert {bench.kernel.storage.describe(name).read_only for name in bench.layers()} == {True}
    content = store.load_content(bench.kernel, uuid_of(bench, "img_42002"))
    sizes = dict(layers.own_bytes(bench.kernel, content))
    assert list(sizes) == list(content.layers)
    assert sizes[content.layers[0]] > sizes[content.layers[1]] > 0
    bench.kernel.records.remove(f"layers/{content.layers[1]}")
    assert dict(layers.own_bytes(bench.kernel, content)) == {**sizes, content.layers[1]: 0}
