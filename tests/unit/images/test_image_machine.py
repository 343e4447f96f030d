"""Images in any row of commands, against a model that knows nothing of layers: names lead to trees of files.

Whatever a person does with a store and a registry, whatever the registry does, wherever an engine is killed and
whoever comes in between: `images` says what the model says, every image's files are those that it should have, and
nothing is left over.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable

import attrs
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bocker.core.errors import BockerError
from bocker.engine import store
from bocker.fakes import Crashed, mishaps
from bocker.fakes.faults import CrashAt
from bocker.fakes.images import root_filesystem as probe_files
from bocker.fakes.mishaps import Mishap
from bocker.fakes.publishing import Platform as Offered
from bocker.images.flat import ImportRequest, export, import_archive
from bocker.images.load import LoadRequest, load
from bocker.images.prune import Sought, prune
from bocker.images.save import SaveRequest, save
from bocker.registry.platforms import parse_platform
from tests.unit.images.bench import HOST, LINUX, Diary, ImageBench, archive, root_filesystem
from tests.unit.images.engines import Turns
from tests.unit.images.soundness import Ancestry, complaints, leftovers

pytestmark = pytest.mark.sweep

Files = dict[str, bytes]

PROBE: Files = {path: found.content for path, found in probe_files().items() if found.kind == "file"}
BASE = root_filesystem(("a", "base"), ("d/x", "base"))
LAYERS: dict[str, tuple[bytes, dict[str, bytes | None]]] = {
    "a": (archive(("a", "one")), {"a": b"one"}),
    "b": (archive(("b", "two"), ("d/y", "two")), {"b": b"two", "d/y": b"two"}),
    "no a": (archive((".wh.a", "")), {"a": None}),
    "no d": (archive((".wh.d", "")), {"d/x": None, "d/y": None}),
    "opaque d": (archive(("d/.wh..wh..opq", ""), ("d/z", "z")), {"d/x": None, "d/y": None, "d/z": b"z"}),
    "empty": (archive(), {}),
}
NAMES = st.sampled_from(["app:1", "app:2", "other:1"])
TAGS = st.sampled_from([f"{HOST}/app:1", f"{HOST}/other:1", "mine:1", "second:1"])
STACKS = st.lists(st.sampled_from(sorted(LAYERS)), max_size=4)
ARCHITECTURES = st.sampled_from(["amd64", "arm64"])
ACCIDENTS: dict[str, mishaps.Act] = {
    "cut": mishaps.cut(300),
    "corrupted": mishaps.corrupted,
    "garbage": mishaps.garbage,
    "announced": mishaps.announced(7),
    "expired": mishaps.expired,
    "busy": mishaps.busy(2),
    "broken": mishaps.broken,
    "page": mishaps.error_page,
    "lost": mishaps.lost_answer,
    "silent": mishaps.silent,
}
PATTERNS = st.sampled_from(["*", "GET *blobs*", "GET *manifests*", "P* *", "HEAD *"])
SAVED, FLAT = "/saved.tar", "/flat.tar"
NEW = "new"


def stacked(names: list[str]) -> Files:
    """Return the files of an image with these layers on the base, by a few lines that know nothing of the engine."""
    files = {**PROBE, "a": b"base", "d/x": b"base"}
    for name in names:
        for path, content in LAYERS[name][1].items():
            if content is None:
                files.pop(path, None)
            else:
                files[path] = content
        if name == "no d":
            files.pop("d/z", None)
        if name == "opaque d":
            files["d/z"] = b"z"
    return files


@attrs.define
class Picture:
    """An image: its names and its files."""

    tags: set[str]
    files: Files


@attrs.define
class Model:
    """What there should be. shelf: the registry's, by name and architecture; saved: what is in the archive."""

    images: dict[str, Picture] = attrs.field(factory=dict)
    containers: dict[str, Files] = attrs.field(factory=dict)
    shelf: dict[str, dict[str, Files]] = attrs.field(factory=dict)
    saved: list[tuple[set[str], Files, str]] = attrs.field(factory=list)
    flat: Files | None = None

    def give(self, image: str, *tags: str) -> None:
        for other in self.images.values():
            other.tags.difference_update(tags)
        self.images[image].tags.update(tags)

    def holder(self, tag: str) -> str | None:
        return next((image for image, one in self.images.items() if tag in one.tags), None)

    def rows(self) -> list[tuple[list[str], list[tuple[str, bytes]]]]:
        """Return the images without their ids."""
        return sorted((sorted(one.tags), sorted(one.files.items())) for one in self.images.values())


@attrs.frozen
class Deed:
    """A command: what is typed, and what it makes of the model. The id that an image gets is told to `effect`.

    in_parts: it may be done in part when its engine is killed.
    """

    name: str
    act: Callable[[ImageBench], object]
    effect: Callable[[Model, str], None]
    in_parts: bool = False


class Images(RuleBasedStateMachine):
    """Everything that a person does with images."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = ImageBench()
        self.model = Model()
        self.ancestry = Ancestry()
        self.has_downloads = True
        self.marks = 0
        self.tags_of_saved: dict[str, str] = {}

    # What a command is

    def config_of(self, image: str) -> str | None:
        kernel = self.bench.program()
        return store.load_content(kernel, kernel.storage.describe(image).uuid).config

    def with_config(self, config: str | None) -> str | None:
        """Return the image that has a configuration already: pulled or loaded again it keeps its id."""
        return next((image for image in self.model.images if config and self.config_of(image) == config), None)

    def shelved_config(self, name: str, architecture: str) -> str:
        repository, _, tag = name.partition(":")
        held = self.bench.registry.repository(repository)
        document = json.loads(held.documents[held.tags[tag]].data)
        if "manifests" in document:
            (digest,) = [
                row["digest"] for row in document["manifests"] if row["platform"]["architecture"] == architecture
            ]
            document = json.loads(held.documents[digest].data)
        return str(document["config"]["digest"])

    def pulling(self, name: str, architecture: str) -> Deed | None:
        offered = self.model.shelf.get(name, {})
        if architecture not in offered and not (len(offered) == 1 and offered):
            return None
        files = offered.get(architecture) or next(iter(offered.values()))
        here = self.with_config(self.shelved_config(name, architecture))

        def effect(model: Model, new: str) -> None:
            image = here if here in model.images else new
            model.images.setdefault(image, Picture(set(), files))
            model.give(image, f"{HOST}/{name}")

        platform = parse_platform(architecture)
        return Deed("pull", lambda bench: str(bench.pull(name, platform).image), effect)

    def committing(self, container: str, target: str) -> Deed | None:
        if container not in self.model.containers or (target.startswith("img_") and target not in self.model.images):
            return None
        files = self.model.containers[container]

        def effect(model: Model, new: str) -> None:
            image = target if target in model.images else model.holder(target)
            if image is None:
                model.images[new] = Picture(set(), {})
                model.give(new, target)
            model.images[image or new].files = files

        return Deed("commit", lambda bench: bench.commit(container, target)[0], effect)

    def untagging(self, reference: str, force: bool) -> Deed | None:
        image = reference if reference in self.model.images else self.model.holder(reference)
        if image is None:
            return None
        tags = self.model.images[image].tags
        if reference == image and len(tags) > 1 and not force:
            return None

        def effect(model: Model, new: str) -> None:
            if reference in model.images[image].tags and len(model.images[image].tags) > 1:
                model.images[image].tags.discard(reference)
            else:
                del model.images[image]

        return Deed("rmi", lambda bench: bench.rmi(reference, force=force), effect)

    def tagging(self, image: str, tag: str) -> Deed:
        return Deed("tag", lambda bench: bench.tag(image, tag), lambda model, new: model.give(image, tag))

    def pushing(self, image: str, name: str) -> Deed:
        files = self.model.images[image].files

        def effect(model: Model, new: str) -> None:
            model.shelf[name] = {"amd64": files}

        return Deed("push", lambda bench: bench.push(image, name), effect)

    def saving(self, images: list[str]) -> Deed:
        def effect(model: Model, new: str) -> None:
            model.saved = [(set(model.images[image].tags), model.images[image].files, image) for image in images]

        def act(bench: ImageBench) -> None:
            save(bench.kernel, bench.settings, SaveRequest(tuple(images), LINUX, bench.remote, SAVED), Diary())

        return Deed("save", act, effect)

    def loading(self) -> Deed:
        configs = [self.tags_of_saved.get(image, "") for _, _, image in self.model.saved]
        here = [self.with_config(config) for config in configs]

        def effect(model: Model, new: str) -> None:
            for number, (tags, files, _) in enumerate(model.saved):
                known = here[number]
                image = known if known in model.images else f"{new}{number}"
                model.images.setdefault(image, Picture(set(), files))
                model.give(image, *tags)

        def act(bench: ImageBench) -> object:
            return load(bench.kernel, bench.settings, LoadRequest(SAVED, LINUX), Diary())

        return Deed("load", act, effect, in_parts=True)

    def importing(self, tag: str | None) -> Deed | None:
        files = self.model.flat
        if files is None:
            return None

        def effect(model: Model, new: str) -> None:
            model.images[new] = Picture(set(), files)
            if tag is not None:
                model.give(new, tag)

        request = ImportRequest(FLAT, tag)
        return Deed("import", lambda bench: import_archive(bench.kernel, bench.settings, request), effect)

    def exporting(self, container: str) -> Deed:
        def effect(model: Model, new: str) -> None:
            model.flat = model.containers[container]

        return Deed("export", lambda bench: export(bench.kernel, bench.settings, container, FLAT), effect)

    def pruning(self, sought: Sought) -> Deed:
        kernel = self.bench.program()
        parents = {name: kernel.storage.describe(name).parent_uuid for name in self.model.containers}
        own = {image: kernel.storage.describe(image).uuid for image in self.model.images}

        def effect(model: Model, new: str) -> None:
            if sought.containers:
                model.containers.clear()
            held = {parents[name] for name in model.containers}
            for image in list(model.images):
                if (sought.everything or not model.images[image].tags) and own[image] not in held:
                    del model.images[image]

        def act(bench: ImageBench) -> None:
            done = prune(bench.kernel, bench.settings, sought)
            assert not done.errors

        return Deed("prune", act, effect, in_parts=True)

    def removing(self, name: str) -> Deed:
        def effect(model: Model, new: str) -> None:
            model.containers.pop(name, None)
            model.images.pop(name, None)

        return Deed("rm", lambda bench: bench.rm(name), effect)

    # How it is done

    def seen(self) -> dict[str, Picture]:
        found = self.bench.in_another_terminal()
        return {image: Picture(set(tags), found.tree(image)) for image, tags in found.images().items()}

    def settle(self, *models: Model) -> None:
        """Take over what there is, which must be one of these models, but for the ids of new images."""
        self.bench.kernel = self.bench.program()
        seen = self.seen()
        actual = Model(seen)
        for model in models:
            if actual.rows() == model.rows() and set(self.bench.ps()) == set(model.containers):
                kept = set(model.images) & set(self.model.images)
                assert all(seen[image] == model.images[image] for image in kept)
                self.model = attrs.evolve(model, images=seen)
                return
        raise AssertionError(f"{told(actual)}\nis none of\n" + "\n".join(map(told, models)))

    def after(self, deed: Deed) -> Model:
        model = copy.deepcopy(self.model)
        deed.effect(model, NEW)
        return model

    def do(self, deed: Deed | None) -> None:
        if deed is not None:
            after = self.after(deed)
            deed.act(self.bench)
            self.settle(after)
            self.note(deed)

    def note(self, deed: Deed) -> None:
        """Remember which configurations are in the archive: what is loaded is known by them."""
        if deed.name == "save":
            self.tags_of_saved = {image: self.config_of(image) or "" for _, _, image in self.model.saved}

    def deed(self, draw: st.DataObject) -> Deed | None:
        """Draw a command."""
        images, containers = sorted(self.model.images), sorted(self.model.containers)
        choices: list[Callable[[], Deed | None]] = [
            lambda: self.pulling(draw.draw(NAMES), draw.draw(ARCHITECTURES)),
            lambda: self.pruning(Sought(draw.draw(st.booleans()), draw.draw(st.booleans()), False)),
            lambda: self.untagging(draw.draw(TAGS), False),
            lambda: self.importing(draw.draw(st.one_of(st.none(), TAGS))),
        ]
        if images:
            image = st.sampled_from(images)
            choices += [
                lambda: self.untagging(draw.draw(image), draw.draw(st.booleans())),
                lambda: self.tagging(draw.draw(image), draw.draw(TAGS)),
                lambda: self.pushing(draw.draw(image), draw.draw(NAMES)),
                lambda: self.saving(draw.draw(st.lists(image, min_size=1, max_size=2, unique=True))),
                lambda: self.removing(draw.draw(image)),
            ]
        if containers:
            container = st.sampled_from(containers)
            targets = st.one_of(TAGS, st.sampled_from(images)) if images else TAGS
            choices += [
                lambda: self.committing(draw.draw(container), draw.draw(targets)),
                lambda: self.exporting(draw.draw(container)),
                lambda: self.removing(draw.draw(container)),
            ]
        if self.model.saved:
            choices.append(self.loading)
        return draw.draw(st.sampled_from(choices))()

    @initialize()
    def something_to_begin_with(self) -> None:
        self.publish("app:1", ["a"], "amd64", "oci", "gzip")
        self.do(self.pulling("app:1", "amd64"))

    @rule(
        name=NAMES,
        names=STACKS,
        architecture=ARCHITECTURES,
        kind=st.sampled_from(["oci", "docker"]),
        compression=st.sampled_from(["gzip", "gzip", "gzip", "plain"]),
    )
    def publish(self, name: str, names: list[str], architecture: str, kind: str, compression: str) -> None:
        """Somebody puts an image into the registry; a tag that is there moves. A layer that is here in another
        compression is not fetched, so its blob may then be missing."""
        self.has_downloads = self.has_downloads and compression == "gzip"
        self.shelve(name, {architecture: names}, kind, compression)

    @rule(name=NAMES, first=STACKS, second=STACKS, kind=st.sampled_from(["oci", "docker"]))
    def publish_for_two(self, name: str, first: list[str], second: list[str], kind: str) -> None:
        self.shelve(name, {"amd64": first, "arm64": second}, kind, "gzip")

    def shelve(self, name: str, images: dict[str, list[str]], kind: str, compression: str) -> None:
        repository, _, tag = name.partition(":")
        put, rows = self.bench.registry.put_image, []
        for architecture, names in images.items():
            packed = [BASE, *(LAYERS[one][0] for one in names)]
            said = {"platform": Offered(architecture), "kind": kind, "compression": compression}
            where = tag if len(images) == 1 else ""
            rows.append((Offered(architecture), put(repository, where, packed, **said)))  # type: ignore[arg-type]
        if len(rows) > 1:
            self.bench.registry.put_index(repository, tag, rows, kind=kind)
        self.model.shelf[name] = {architecture: stacked(names) for architecture, names in images.items()}

    @rule(data=st.data())
    def command(self, data: st.DataObject) -> None:
        self.do(self.deed(data))

    @rule(name=NAMES, architecture=ARCHITECTURES)
    def pull(self, name: str, architecture: str) -> None:
        self.do(self.pulling(name, architecture))

    @precondition(lambda self: self.model.images and len(self.model.containers) < 4)
    @rule(data=st.data(), path=st.sampled_from(["a", "own", "d/x"]))
    def run(self, data: st.DataObject, path: str) -> None:
        image = data.draw(st.sampled_from(sorted(self.model.images)))
        files = self.model.images[image].files
        if path.startswith("d/") and not any(name.startswith("d/") for name in files):
            path = "own"
        self.marks += 1
        mark = f"mark-{self.marks}"
        before = set(self.bench.ps())
        self.bench.run("probe", "write", f"/{path}", mark, image=image)
        (container,) = set(self.bench.ps()) - before
        self.model.containers[container] = {**files, path: mark.encode()}

    @precondition(lambda self: self.model.containers)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        targets = st.one_of(TAGS, st.sampled_from(sorted(self.model.images) or ["mine:1"]))
        self.do(self.committing(data.draw(st.sampled_from(sorted(self.model.containers))), data.draw(targets)))

    @rule()
    def prune_downloads(self) -> None:
        self.has_downloads = False
        self.do(self.pruning(Sought(downloads=True)))

    @rule(data=st.data(), accident=st.sampled_from(sorted(ACCIDENTS)), pattern=PATTERNS, number=st.integers(1, 6))
    def a_registry_that_fails(self, data: st.DataObject, accident: str, pattern: str, number: int) -> None:
        """What the registry does once: the command is done in spite of it, or not at all."""
        deed = self.deed(data)
        if deed is None:
            return
        after = self.after(deed)
        self.bench.registry.mishaps.append(Mishap(pattern, ACCIDENTS[accident], number))
        try:
            deed.act(self.bench)
        except BockerError:
            self.undone(deed, after)
        else:
            self.settle(after)
            self.note(deed)
        self.bench.registry.mishaps.clear()

    def undone(self, deed: Deed, after: Model) -> None:
        """A push that failed may have put the manifest there, and its answer was lost."""
        shelf = {name: after.shelf[name] for name in after.shelf if after.shelf[name] != self.model.shelf.get(name)}
        self.settle(self.model)
        for name, offered in shelf.items():
            self.forget_if_moved(name, offered)

    def forget_if_moved(self, name: str, offered: dict[str, Files], others: list[Files] | None = None) -> None:
        """Ask what the registry has of a name by a machine of its own; it may be `others` if two were at work."""
        elsewhere = ImageBench(self.bench.registry)
        try:
            pulled = elsewhere.pull(name)
        except BockerError:
            assert name not in self.model.shelf or "amd64" not in self.model.shelf[name]
            return
        files = elsewhere.tree(str(pulled.image))
        before = self.model.shelf.get(name, {})
        assert files in [*before.values(), *offered.values(), *(others or [])]
        if files not in before.values():
            self.model.shelf[name] = {"amd64": files}

    @rule(data=st.data(), number=st.integers(1, 120))
    def an_engine_that_is_killed(self, data: st.DataObject, number: int) -> None:
        """After a cleanup the command is done, or was never given."""
        deed = self.deed(data)
        if deed is None:
            return
        after = self.after(deed)
        victim = self.bench.in_another_terminal()
        victim.kernel.gate = CrashAt(number)
        try:
            deed.act(victim)
        except (BockerError, Crashed):
            pass
        self.bench.world.kill_program(victim.kernel)
        self.bench.kernel = self.bench.program()
        self.bench.cleanup()
        self.settle(*([self.model, after] if not deed.in_parts else self.between(after)))
        if deed.name == "push":
            for name, offered in after.shelf.items():
                if offered != self.model.shelf.get(name):
                    self.forget_if_moved(name, offered)
        if deed.name in {"save", "export"}:
            self.model.saved, self.model.flat = [], None

    def between(self, after: Model) -> list[Model]:
        """Return what a command may leave that does several things: what there is, if nothing in it is new."""
        seen = self.seen()
        known = [one.files for one in (*self.model.images.values(), *after.images.values())]
        assert all(one.files in known for one in seen.values())
        missing = set(self.model.images) - set(seen)
        assert missing <= set(self.model.images) - set(after.images)
        containers = {name: files for name, files in self.model.containers.items() if name in self.bench.ps()}
        return [attrs.evolve(self.model, images=seen, containers=containers)]

    @rule(data=st.data(), number=st.integers(1, 100))
    def two_at_once(self, data: st.DataObject, number: int) -> None:
        """Another program comes in between: what both leave is whole, and made of what was there."""
        first, second = self.deed(data), self.deed(data)
        if first is None or second is None:
            return
        afters = [self.after(first), self.after(second)]
        one, two = self.bench.in_another_terminal(), self.bench.in_another_terminal()
        turns = Turns(self.bench.world, (one.kernel, two.kernel))
        turns.play(lambda: first.act(one), lambda: second.act(two), number)
        for outcome in turns.outcomes:
            if outcome is not None and not isinstance(outcome, BockerError):
                raise outcome
        self.bench.kernel = self.bench.program()
        self.bench.cleanup()
        self.adopt(afters)

    def adopt(self, afters: list[Model]) -> None:
        seen, models = self.seen(), [self.model, *afters]
        known = [one.files for model in models for one in model.images.values()]
        known += [files for model in models for files in model.containers.values()]
        assert all(one.files in known for one in seen.values())
        kept = [
            tag for one in self.model.images.values() for tag in one.tags if all(model.holder(tag) for model in afters)
        ]
        assert set(kept) <= {tag for one in seen.values() for tag in one.tags}
        containers = {name: files for name, files in self.model.containers.items() if name in self.bench.ps()}
        shelves: dict[str, dict[str, Files]] = {}
        for model in models:
            shelves |= {name: row for name, row in model.shelf.items() if row != self.model.shelf.get(name)}
        self.model = Model(seen, containers, self.model.shelf)
        for name, offered in shelves.items():
            self.forget_if_moved(name, offered, known)

    @rule()
    def cleanup_has_nothing_to_do(self) -> None:
        assert self.bench.cleanup() == ()

    # What is always true

    @invariant()
    def images_is_the_model(self) -> None:
        listed = {image: set(tags) for image, tags in self.bench.images().items()}
        assert listed == {image: one.tags for image, one in self.model.images.items()}

    @invariant()
    def every_file_is_there(self) -> None:
        for image, one in self.model.images.items():
            assert self.bench.tree(image) == one.files, image
        for container, files in self.model.containers.items():
            assert self.bench.tree(container) == files, container

    @invariant()
    def layers_and_records_fit(self) -> None:
        assert complaints(self.bench, self.ancestry, self.has_downloads) == []

    @invariant()
    def nothing_is_left_over(self) -> None:
        assert leftovers(self.bench) == []


def told(model: Model) -> str:
    """Return a model in one line."""
    rows = [(sorted(one.tags), sorted(set(one.files) - set(PROBE))) for one in model.images.values()]
    return f"{sorted(rows)} {sorted(model.containers)}"


Images.TestCase.settings = settings(
    max_examples=int(os.environ.get("BOCKER_EXAMPLES", "6")),
    stateful_step_count=20,
    deadline=None,
    phases=(Phase.generate,),
)
TestImages = Images.TestCase
