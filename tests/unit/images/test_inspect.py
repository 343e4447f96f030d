"""`inspect` on the fake machine: docker's shape, with what is known here in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bocker.core.limits import Limits
from bocker.core.timestamps import parse_rfc3339
from bocker.engine import store
from bocker.engine.images import commit
from bocker.images.changes import apply_changes
from bocker.images.inspect import CONTAINER, IMAGE, UNKNOWN_EXIT, inspect
from bocker.registry.platforms import parse_platform
from tests.unit.engine.bench import Screen
from tests.unit.images.bench import BASE, HOST, MIDDLE, ImageBench

APP = f"{HOST}/app:1"
ARM = parse_platform("linux/arm64")
RUN = {
    "User": "jo:staff",
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Env": ["A=1", "B=two=2"],
    "Entrypoint": ["/bin/probe"],
    "Cmd": ["exit", "0"],
    "Volumes": {"/volume": {}},
    "WorkingDir": "/srv",
    "Labels": {"com.example.x": "a=b", "empty": ""},
    "StopSignal": "SIGINT",
}


@pytest.fixture
def bench() -> ImageBench:
    return ImageBench()


def document(bench: ImageBench, reference: str, kind: str | None = None) -> dict[str, Any]:
    (found,) = inspect(bench.kernel, bench.settings, (reference,), ARM, kind)
    assert found.error is None, found.error
    assert found.document is not None
    json.dumps(found.document)
    return found.document


def error(bench: ImageBench, reference: str, kind: str | None = None) -> str:
    (found,) = inspect(bench.kernel, bench.settings, (reference,), ARM, kind)
    assert found.document is None
    assert found.error is not None
    return found.error.message


def test_an_image_that_was_pulled(bench: ImageBench) -> None:
    changes = {
        "config": RUN,
        "author": "jo",
        "created": "2020-09-13T12:26:40.5Z",
        "history": [{"comment": "first"}, {"comment": "last"}],
    }
    bench.registry.put_image("app", "1", [BASE, MIDDLE], changes)
    pulled = bench.pull("app:1")
    bench.tag(APP, "second:2")
    found = document(bench, "second:2")
    content = bench.kernel.blobs.read(found["Id"].removeprefix("sha256:"))
    assert json.loads(content)["rootfs"]["diff_ids"] == found["RootFS"]["Layers"]
    assert found == {
        "Id": found["Id"],
        "ID": "img_42002",
        "RepoTags": [APP, "second:2"],
        "RepoDigests": [f"{HOST}/app@{pulled.digest}"],
        "Parent": "",
        "Comment": "last",
        "Created": "2020-09-13T12:26:40.500000000Z",
        "Author": "jo",
        "Config": RUN,
        "Architecture": "amd64",
        "Variant": "",
        "Os": "linux",
        "Size": sum(map(len, bench.tree("img_42002").values())),
        "GraphDriver": {"Name": "btrfs", "Data": {"Subvolume": "/var/bocker/img_42002"}},
        "RootFS": {"Type": "layers", "Layers": found["RootFS"]["Layers"]},
    }


def test_an_image_that_was_made_here_has_no_id_of_dockers_yet(bench: ImageBench) -> None:
    bench.add_image(tag="small:1")
    found = document(bench, "small:1")
    assert found["Id"] is None
    assert (found["Architecture"], found["Os"], found["RepoDigests"]) == ("arm64", "linux", [])
    assert found["RootFS"] == {"Type": "layers", "Layers": []}
    config = found["Config"]
    assert (config["Cmd"], config["Entrypoint"], config["Env"], config["Labels"]) == (None, None, [], {})
    bench.push("small:1", "small:1")
    after = document(bench, "small:1")
    assert after["Id"].startswith("sha256:")
    assert len(after["RootFS"]["Layers"]) == 1


def test_a_commit_shows_its_base_and_its_message(bench: ImageBench) -> None:
    bench.registry.put_image("app", "1", [BASE], {"config": RUN})
    bench.pull("app:1")
    bench.run(image=APP, name="web", user="0")
    commit(
        bench.kernel,
        bench.settings,
        "web",
        "mine:1",
        lambda content: apply_changes(content.replace(author="me", message="why"), ("CMD x",)),
    )
    found = document(bench, "mine:1")
    assert (found["Id"], found["Comment"], found["Author"]) == (None, "why", "me")
    assert found["Architecture"] == "amd64"
    assert len(found["RootFS"]["Layers"]) == 1
    assert found["Config"]["Cmd"] == ["/bin/sh", "-c", "x"]
    bench.push("mine:1", "mine:1")
    assert document(bench, "mine:1")["Comment"] == "why"


def test_a_container_that_ended(bench: ImageBench) -> None:
    bench.add_image(tag="base")
    bench.run(
        "probe", "echo", "x", ",", "exit", "7", name="web", environment=("A=1",), working_directory="/srv", user="7:8",
        hostname="db", labels=("x.y=z=z",), stop_signal="INT",
        limits=Limits(100, 64_000_000, 9, 150_000),
    )  # fmt: skip
    found = document(bench, "web")
    times = [parse_rfc3339(found["Created"])]
    times += [parse_rfc3339(found["State"][name]) for name in ("StartedAt", "FinishedAt")]
    assert times == sorted(times)
    assert found["State"] == {
        "Status": "exited",
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": 0,
        "ExitCode": 7,
        "StartedAt": found["State"]["StartedAt"],
        "FinishedAt": found["State"]["FinishedAt"],
    }
    assert (found["Id"], found["Name"], found["Image"]) == ("ps_42002", "/web", "img_42002")
    assert (found["Path"], found["Args"]) == ("probe", ["echo", "x", ",", "exit", "7"])
    assert found["HostConfig"] == {
        "Memory": 64_000_000,
        "NanoCpus": 1_500_000_000,
        "CpuShares": 100,
        "CpuPeriod": 100_000,
        "CpuQuota": 150_000,
        "PidsLimit": 9,
        "AutoRemove": False,
    }
    config = found["Config"]
    assert config["Image"] == "base"
    assert config["Env"][-1] == "A=1"
    assert (config["Hostname"], config["User"], config["WorkingDir"]) == ("db", "7:8", "/srv")
    assert config["Cmd"] == [found["Path"], *found["Args"]]
    assert (config["Labels"], config["StopSignal"]) == ({"x.y": "z=z"}, "INT")
    assert found["NetworkSettings"]["IPAddress"] == ""
    assert bench.world.read_file(found["LogPath"]).endswith(b" stdout F x\n")
    bench.rm("base")
    assert document(bench, "web")["Image"] == "base"


def test_a_running_container_has_a_process_and_an_address(bench: ImageBench) -> None:
    bench.add_image(tag="base")
    seen: list[dict[str, Any]] = []
    other = bench.in_another_terminal()
    screen = Screen(on_output=lambda _: seen.append(document(other, "ps_42002")))
    bench.run("probe", "echo", "x", screen=screen)
    (found,) = seen
    assert (found["State"]["Status"], found["State"]["Running"]) == ("running", True)
    assert found["State"]["Pid"] > 1
    assert found["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert found["Name"] == "/ps_42002"
    assert found["Config"]["Hostname"] == "ps-42002"
    assert found["NetworkSettings"] == {
        "Bridge": "bridge0",
        "Gateway": "10.0.0.1",
        "IPAddress": "10.0.0.2",
        "IPPrefixLen": 24,
        "MacAddress": "02:42:ac:11:00:02",
    }


def test_a_container_whose_end_nobody_saw(bench: ImageBench) -> None:
    bench.add_image(tag="base")
    bench.run("probe", "exit", "0")
    record = bench.records()[0]
    store.save_container(bench.kernel, record.replace(state="dead", exit_code=None, finished_ns=None))
    state = document(bench, "ps_42002")["State"]
    assert (state["Dead"], state["Running"], state["ExitCode"]) == (True, False, UNKNOWN_EXIT)


def test_what_names_nothing_says_so_and_keeps_no_other(bench: ImageBench) -> None:
    bench.add_image(tag="base")
    bench.run("probe", "exit", "0", name="web")
    assert error(bench, "nope") == "No container or image named 'nope' exists"
    assert error(bench, "base", CONTAINER) == "No container named 'base' exists"
    assert error(bench, "web", IMAGE) == "No image named 'web' exists"
    assert error(bench, "../x") == "No container or image named '../x' exists"
    found = inspect(bench.kernel, bench.settings, ("nope", "web", "base"), ARM)
    assert [one.error is None for one in found] == [False, True, True]


def test_a_word_for_two_things_wants_to_know_which(bench: ImageBench) -> None:
    bench.add_image(tag="web")
    bench.run("probe", "exit", "0", image="web", name="web")
    assert "names more than one thing" in error(bench, "web")
    assert document(bench, "web", IMAGE)["ID"] == "img_42002"
    assert document(bench, "web", CONTAINER)["Id"] == "ps_42002"


def test_one_whose_record_is_damaged_is_named(bench: ImageBench) -> None:
    bench.add_image(tag="base")
    bench.run("probe", "exit", "0", name="web")
    bench.kernel.records.write("containers/ps_42002", b"{")
    assert "damaged" in error(bench, "ps_42002")
