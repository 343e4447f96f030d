"""A fake machine with a person in front of it: what the engine's tests type, and what they see."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from bocker.core.limits import Limits
from bocker.core.model import ContainerRecord
from bocker.core.settings import Settings
from bocker.engine import execute, images, listing, logs, removal, repair, resolve, run, setup, stop, store
from bocker.engine.console import Console
from bocker.engine.execute import ExecRequest
from bocker.engine.logs import LogsRequest
from bocker.engine.run import RunRequest
from bocker.fakes import Entry, FakeKernel, World, files, storage

# What a crash leaves that is no trace: which number comes next, empty lock files, the programs themselves.
_NO_TRACE = ("/counters/", "/.locks/", "process ", "lock names")


class Screen(Console):
    """Keeps what was shown. `on_output` is called with each chunk: what somebody does meanwhile."""

    def __init__(self, on_output: Callable[[bytes], object] | None = None, closed: tuple[int, ...] = ()) -> None:
        self.streams: dict[int, bytes] = {1: b"", 2: b""}
        self.notices: list[str] = []
        self.on_output = on_output
        self.closed = closed

    def write(self, stream: int, data: bytes) -> bool:
        if stream in self.closed:
            return False
        self.streams[stream] += data
        if self.on_output is not None:
            self.on_output(data)
        return True

    def notice(self, text: str) -> None:
        self.notices.append(text)


@attrs.frozen
class Seen:
    """What a command showed."""

    code: int
    out: bytes
    err: bytes
    notices: tuple[str, ...]


class Bench:
    """A host that is set up, with a root file system at `/rootfs`."""

    def __init__(self, settings: Settings | None = None, ready: bool = True, **world: object) -> None:
        self.settings = settings or Settings()
        self.world = World(**world)  # type: ignore[arg-type]
        self.world.add_root_filesystem("/rootfs")
        if ready:
            self.world.prepare(self.settings)
        self.kernel = self.program()
        if ready:
            self.setup()

    def program(self) -> FakeKernel:
        """Start another program on the machine, as in another terminal."""
        return self.world.kernel(self.settings)

    def in_another_terminal(self) -> Bench:
        """Return the same machine for somebody else."""
        other = object.__new__(Bench)
        other.settings, other.world = self.settings, self.world
        other.kernel = self.program()
        return other

    def setup(self, **options: object) -> tuple[str, ...]:
        """`bocker setup`."""
        lines = setup.setup(self.kernel, self.settings, setup.SetupOptions(**options))  # type: ignore[arg-type]
        self.kernel = self.program()  # the next command, by an interpreter that is protected now
        return lines

    def add_image(self, files: Mapping[str, Entry] | None = None, tag: str | None = None) -> str:
        """Make an image with the probe program in it, and `files`."""
        if files:
            self.world.add_root_filesystem("/other", files)
        return str(images.init(self.kernel, self.settings, "/other" if files else "/rootfs", tag))

    def configure(self, image: str, **configuration: object) -> str:
        """Give an image a configuration, as one that was pulled has; return its id."""
        kernel = self.program()
        found = resolve.image(kernel, image)
        content = store.content_or_unknown(kernel, kernel.storage.describe(str(found)).uuid)
        kernel.records.write(store.content_key(content.uuid), store.encode(content.replace(**configuration)))
        return str(found)

    def run(
        self,
        *words: str,
        image: str = "base",
        screen: Screen | None = None,
        limits: Limits | None = None,
        **request: object,
    ) -> Seen:
        """`bocker run`, of the image `base` unless said."""
        screen = screen or Screen()
        asked = RunRequest(image, words, limits or Limits(), **request)  # type: ignore[arg-type]
        return _seen(run.run(self.kernel, self.settings, asked, screen), screen)

    def execute(self, container: str, *words: str, screen: Screen | None = None, **request: object) -> Seen:
        """`bocker exec`."""
        screen = screen or Screen()
        asked = ExecRequest(container, words, **request)  # type: ignore[arg-type]
        return _seen(execute.execute(self.kernel, self.settings, asked, screen), screen)

    def logs(self, container: str, screen: Screen | None = None, **request: object) -> Seen:
        """`bocker logs`."""
        screen = screen or Screen()
        logs.logs(self.kernel, self.settings, LogsRequest(container, **request), screen)  # type: ignore[arg-type]
        return _seen(0, screen)

    def commit(self, container: str, target: str) -> tuple[str, bool]:
        """`bocker commit`: the image's id, and whether it was replaced."""
        made = images.commit(self.kernel, self.settings, container, target)
        return str(made.image), made.replaced

    def rm(self, *references: str, force: bool = False) -> list[str]:
        """`bocker rm`: a line each, the errors among them."""
        removals = removal.remove(self.kernel, self.settings, references, force)
        return [f"Removed: {one.removed}" if one.error is None else one.error.message for one in removals]

    def stop(self, *references: str, **options: object) -> list[str]:
        """`bocker stop`: a line each, the errors among them."""
        results = stop.stop(self.kernel, self.settings, references, **options)  # type: ignore[arg-type]
        return [one.reference if one.error is None else one.error.message for one in results]

    def cleanup(self) -> tuple[str, ...]:
        """`bocker cleanup`: what it did; what it could not do, the first of that, is raised."""
        cleaned = repair.cleanup(self.kernel, self.settings)
        for error in cleaned.errors:
            raise error
        return cleaned.lines

    def records(self) -> tuple[ContainerRecord, ...]:
        """`bocker ps`, as records."""
        return listing.containers(self.kernel, self.settings)

    def ps(self) -> dict[str, str]:
        """`bocker ps`: the state of each."""
        return {record.id: record.state for record in self.records()}

    def images(self) -> dict[str, tuple[str, ...]]:
        """`bocker images`: the tags of each."""
        return {image.id: image.tags for image in listing.images(self.kernel, self.settings)}

    def tree(self, name: str) -> dict[str, bytes]:
        """Return the files in a subvolume by path."""
        found = self.world.tree(f"{self.settings.store}/{name}")
        return {path: entry.content for path, entry in found.items() if entry.kind == "file"}

    def write(self, name: str, path: str, text: str) -> None:
        """Put a file into a subvolume, as its container would."""
        self.world.write_file(f"{self.settings.store}/{name}/{path}", text.encode())

    def nest(self, name: str, inner: str) -> None:
        """Make a subvolume inside another, as a container can."""
        path = f"{self.settings.store}/{name}/{inner}"
        self.world.change(
            "make_subvolume", path, lambda state: storage.add_subvolume(state, files.locate(state, path).place)
        )

    def traces(self) -> list[str]:
        """Return everything that is on the machine, line by line, once the kernel has settled."""
        self.world.settle()
        return [line for line in self.world.dump().splitlines() if not any(word in line for word in _NO_TRACE)]


def ready(**options: object) -> Bench:
    """Return a bench with the image `base`, which is `img_42002`."""
    bench = Bench(**options)  # type: ignore[arg-type]
    bench.add_image(tag="base")
    return bench


def _seen(code: int, screen: Screen) -> Seen:
    return Seen(code, screen.streams[1], screen.streams[2], tuple(screen.notices))
