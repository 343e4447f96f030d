"""The whole engine against a model that knows nothing of it: any row of commands, `ps` and `images` agree.

The model is two dictionaries. Whatever a person does, and however engines are killed in between,
the lists say what the model says, no file is lost, and after `cleanup` nothing is left over.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from bocker.core.errors import AmbiguousReference, BockerError, NameInUse, NoSuchContainer, NoSuchImage
from bocker.core.settings import Settings
from bocker.fakes import Crashed
from bocker.fakes.faults import CrashAt
from tests.unit.engine.bench import Bench, Screen

pytestmark = pytest.mark.sweep

TAGS = st.sampled_from([None, "app", "base", "db:1"])
NAMES = st.sampled_from([None, "web", "db"])
CODES = st.sampled_from([0, 1, 7, 255])
NONSENSE = st.sampled_from(["..", ".", "img_", "ps_", "nothing", "5", ".*", "img_99", "ps_99999", ""])
ENTRYPOINT = ("probe", "echo", "entered", ",")
USERS = st.sampled_from(["", "7", "1000"])
ROOT = "0"  # who may write where the mark is, whatever user the image says
DIRECTORIES = st.sampled_from(["", "/srv/app", "tmp"])
SUBNET_OF_FIVE = "10.0.0.0/29"
ROOM = 5
FIRST_LETTERS = "abcdefgh"


@attrs.frozen
class Configuration:
    """What belongs to an image's content: the containers of it keep it, also when the image is another one."""

    user: str = ""
    directory: str = ""
    has_entrypoint: bool = False


@attrs.define
class ImageModel:
    """An image: its tags, what the file `mark` in it says, and how it is run."""

    tags: set[str]
    mark: bytes
    said: Configuration = attrs.field(factory=Configuration)


@attrs.define
class ContainerModel:
    """A container that has ended: how, its name, what its file `mark` says, and its image's configuration."""

    state: str
    code: int | None
    name: str | None
    mark: bytes
    said: Configuration


class Life(RuleBasedStateMachine):
    """What a person can do, in any order."""

    containers_made = Bundle("containers_made")
    images_made = Bundle("images_made")

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(Settings(subnet=SUBNET_OF_FIVE))
        self.images: dict[str, ImageModel] = {}
        self.containers: dict[str, ContainerModel] = {}
        self.marks = 0

    def next_mark(self) -> str:
        self.marks += 1
        return f"mark-{self.marks}"

    def give_tag(self, image: str, tag: str | None) -> None:
        full = None if tag is None else tag if ":" in tag else f"{tag}:latest"
        if full is not None:
            for other in self.images.values():
                other.tags.discard(full)
            self.images[image].tags.add(full)

    @initialize(target=images_made)
    def first_image(self) -> str:
        return self.make_image("base")

    @rule(target=images_made, tag=TAGS)
    def init(self, tag: str | None) -> str:
        return self.make_image(tag)

    def make_image(self, tag: str | None) -> str:
        image = self.bench.add_image(tag=tag)
        assert image not in self.images
        self.images[image] = ImageModel(set(), b"")
        self.give_tag(image, tag)
        return image

    @rule(target=containers_made, image=images_made, code=CODES, name=NAMES, remove=st.booleans())
    def run(self, image: str, code: int, name: str | None, remove: bool) -> object:
        mark = self.next_mark()
        words = ("probe", "write", "/etc/mark", mark, ",", "echo", mark, ",", "exit", str(code))
        try:
            seen = self.bench.run(*words, image=image, name=name, remove_on_exit=remove, entrypoint=(), user=ROOT)
        except BockerError as error:
            return self.refused(error, image, name)
        assert (seen.code, seen.out) == (code, f"{mark}\n".encode())
        return multiple() if remove else self.ended("exited", code, name, mark, image)

    def refused(self, error: BockerError, image: str, name: str | None) -> object:
        """Check that a `run` was refused for the right reason."""
        if image not in self.images:
            assert isinstance(error, NoSuchImage)
        elif len(self.containers) >= ROOM:
            assert "All 5 container ids are in use" in error.message or isinstance(error, NameInUse)
        else:
            assert isinstance(error, NameInUse)
            assert name in {one.name for one in self.containers.values()}
        return multiple()

    def ended(self, state: str, code: int | None, name: str | None, mark: str, image: str) -> str:
        (container,) = set(self.bench.ps()) - set(self.containers)
        self.containers[container] = ContainerModel(state, code, name, mark.encode(), self.images[image].said)
        return container

    @rule(image=images_made, user=USERS, directory=DIRECTORIES, has_entrypoint=st.booleans())
    def configure(self, image: str, user: str, directory: str, has_entrypoint: bool) -> None:
        """An image that was pulled says how it is run: from the beginning, so before there are containers of it."""
        if image in self.images and not self.is_in_use(self.images[image].said):
            self.images[image].said = Configuration(user, directory, has_entrypoint)
            entrypoint = ENTRYPOINT if has_entrypoint else ()
            self.bench.configure(image, user=user, working_directory=directory, entrypoint=entrypoint)

    def is_in_use(self, said: Configuration) -> bool:
        return any(one.said is said for one in self.containers.values())

    @rule(image=images_made)
    def run_as_configured(self, image: str) -> None:
        if image not in self.images or len(self.containers) >= ROOM:
            return
        said = self.images[image].said
        words = ("ids", ",", "cwd") if said.has_entrypoint else ("probe", "ids", ",", "cwd")
        lines = self.bench.run(*words, image=image, remove_on_exit=True).out.decode().splitlines()
        assert lines[:-2] == (["entered"] if said.has_entrypoint else [])
        assert lines[-2].split() == [said.user or "0"] * 3 + ["0"] * 3
        assert lines[-1] == f"/{said.directory.strip('/')}"

    @rule(container=containers_made)
    def stop_what_has_ended(self, container: str) -> None:
        missing = f"No container named '{container}' exists"
        assert self.bench.stop(container) == [container if container in self.containers else missing]

    @rule(target=containers_made, image=images_made, name=NAMES)
    def run_and_kill_the_engine(self, image: str, name: str | None) -> object:
        mark = self.next_mark()
        victim = self.bench.in_another_terminal()
        screen = Screen(lambda data: self.bench.world.kill_program(victim.kernel))
        words = ("probe", "write", "/etc/mark", mark, ",", "echo", "up", ",", "sleep", "60")
        try:
            victim.run(*words, image=image, name=name, screen=screen, entrypoint=(), user=ROOT)
        except BockerError as error:
            return self.refused(error, image, name)
        except Crashed:
            return self.ended("dead", None, name, mark, image)
        raise AssertionError("a killed engine returned")

    @rule(container=containers_made, tag=TAGS, target=images_made)
    def commit_to_a_tag(self, container: str, tag: str | None) -> object:
        wanted = tag or "fresh"
        full = wanted if ":" in wanted else f"{wanted}:latest"
        if container not in self.containers:
            with pytest.raises(NoSuchContainer):
                self.bench.commit(container, wanted)
            return multiple()
        owner = next((image for image, one in self.images.items() if full in one.tags), None)
        image, replaced = self.bench.commit(container, wanted)
        assert (replaced, owner) in ((True, image), (False, None))
        if owner is None:
            self.images[image] = ImageModel(set(), b"")
            self.give_tag(image, wanted)
        self.committed(container, image)
        return multiple() if replaced else image

    @rule(container=containers_made, image=images_made)
    def commit_onto_an_id(self, container: str, image: str) -> None:
        if container not in self.containers:
            with pytest.raises(NoSuchContainer):
                self.bench.commit(container, image)
        elif image not in self.images:
            with pytest.raises(NoSuchImage):
                self.bench.commit(container, image)
        else:
            assert self.bench.commit(container, image) == (image, True)
            self.committed(container, image)

    def committed(self, container: str, image: str) -> None:
        """Take over what a container is: its files, and a copy of what its image says, with the user of its run."""
        self.images[image].mark = self.containers[container].mark
        self.images[image].said = attrs.evolve(self.containers[container].said, user=ROOT)

    @rule(container=consumes(containers_made))
    def rm_container(self, container: str) -> None:
        expected = (
            f"Removed: {container}"
            if container in self.containers
            else f"No container or image named '{container}' exists"
        )
        assert self.bench.rm(container) == [expected]
        self.containers.pop(container, None)

    @rule(image=consumes(images_made))
    def rm_image(self, image: str) -> None:
        expected = f"Removed: {image}" if image in self.images else f"No container or image named '{image}' exists"
        assert self.bench.rm(image) == [expected]
        self.images.pop(image, None)

    @rule(word=st.sampled_from(["web", "db", "app", "base", "db:1"]))
    def rm_by_name(self, word: str) -> None:
        named = [container for container, one in self.containers.items() if one.name == word]
        full = word if ":" in word else f"{word}:latest"
        tagged = [image for image, one in self.images.items() if full in one.tags]
        (line,) = self.bench.rm(word)
        if len(named + tagged) == 1:
            assert line == f"Removed: {(named + tagged)[0]}"
            for gone in named + tagged:
                self.containers.pop(gone, None)
                self.images.pop(gone, None)
        else:
            kind = "names more than one thing" if named else "No container or image"
            assert kind in line

    @rule(word=NONSENSE)
    def nonsense(self, word: str) -> None:
        assert self.bench.rm(word) in (
            [f"No container or image named '{word}' exists"],
            [AmbiguousReference(word, ()).message],
        )

    @rule(number=st.integers(1, 40), what=st.sampled_from(["init", "run", "rm"]), image=images_made)
    def a_killed_command_is_repaired(self, number: int, what: str, image: str) -> None:
        """Kill an engine at any call; what it left is taken back, or finished, by the next cleanup."""
        victim = self.bench.in_another_terminal()
        victim.kernel.gate = CrashAt(number)
        before = set(self.bench.ps())
        try:
            if what == "init":
                self.images[victim.add_image()] = ImageModel(set(), b"")
            elif what == "run":
                victim.run("true", image=image, remove_on_exit=True, entrypoint=())
            else:
                victim.rm(image)
        except (BockerError, Crashed):
            pass
        self.bench.world.kill_program(victim.kernel)
        self.bench.cleanup()
        self.settle_model(before)

    def settle_model(self, before: set[str]) -> None:
        """Take over what a killed command may have done: one image more, or one less."""
        listed = self.bench.images()
        for image in set(self.images) - set(listed):
            del self.images[image]
        for image in set(listed) - set(self.images):
            assert listed[image] == ()
            self.images[image] = ImageModel(set(), b"")
        assert set(self.bench.ps()) == before

    @rule()
    def cleanup_has_nothing_to_do(self) -> None:
        assert self.bench.cleanup() == ()

    @invariant()
    def ps_is_the_model(self) -> None:
        assert {record.id: (record.state, record.exit_code, record.name) for record in self.bench.records()} == {
            container: (one.state, one.code, one.name) for container, one in self.containers.items()
        }

    @invariant()
    def images_is_the_model(self) -> None:
        assert {image: set(tags) for image, tags in self.bench.images().items()} == {
            image: one.tags for image, one in self.images.items()
        }

    @invariant()
    def no_file_is_lost(self) -> None:
        for container, one in self.containers.items():
            assert self.bench.tree(container)["etc/mark"] == one.mark
        for image, other in self.images.items():
            assert self.bench.tree(image).get("etc/mark", b"") == other.mark

    @invariant()
    def nothing_is_left_of_what_has_ended(self) -> None:
        text = "\n".join(self.bench.traces())
        assert "group bocker/" not in text
        assert "veth0_" not in text
        assert "name netns_" not in text


Life.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestLife = Life.TestCase


@pytest.mark.parametrize("directories", [("", "/srv/app"), ("tmp", "")])
def test_the_model_knows_that_a_content_never_changes(directories: tuple[str, str]) -> None:
    """Found by chance: what containers had been made of was configured anew, which nothing in bocker can do."""
    life = Life()
    image = life.first_image()
    life.configure(image, user="7", directory=directories[0], has_entrypoint=False)
    container = life.run_and_kill_the_engine(image, None)
    life.configure(image, user="", directory=directories[1], has_entrypoint=True)
    life.run_as_configured(life.commit_to_a_tag(container, None))
