"""A fake machine beside a fake registry, and a person who moves images between them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

from bocker.engine.tags import remove_images, tag
from bocker.fakes import images
from bocker.fakes.registry import FakeRegistry
from bocker.images.accounts import AuthPlaces
from bocker.images.load import Loaded, LoadRequest, load
from bocker.images.pull import Pulled, PullRequest, pull
from bocker.images.push import Pushed, PushRequest, push
from bocker.images.save import SaveRequest, save
from bocker.images.sources import Remote
from bocker.images.watch import Watch
from bocker.kernel.archives import Bounds
from bocker.registry.endpoints import Registries
from bocker.registry.names import parse_name
from bocker.registry.platforms import Platform, parse_platform
from tests.unit.engine.bench import Bench

HOST = "registry.example"
OUT = "/out.tar"
HOME = AuthPlaces(("/root/.docker/config.json",))
LINUX = parse_platform("linux/amd64")


class Diary(Watch):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.states: list[tuple[str, str]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def part(self, digest: str, state: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        if (digest, state) not in self.states[-8:]:
            self.states.append((digest, state))

    def seen(self, state: str) -> list[str]:
        """Return the parts that were in a state."""
        return [digest for digest, told in self.states if told == state]


class ImageBench(Bench):
    """A host that is set up, and the registry `registry.example`."""

    def __init__(self, registry: FakeRegistry | None = None, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.registry = registry or FakeRegistry()
        self.world.serve(self.registry, *self.registry.addresses)
        self.remote = Remote(Registries(), HOME)
        self.diary = Diary()

    def in_another_terminal(self) -> ImageBench:
        other = object.__new__(ImageBench)
        other.__dict__.update(self.__dict__)
        other.kernel = self.program()
        return other

    def pull(
        self, name: str, platform: Platform = LINUX, bounds: Bounds | None = None, remote: Remote | None = None
    ) -> Pulled:
        """`bocker pull`, of a name at the registry."""
        request = PullRequest(parse_name(f"{HOST}/{name}"), platform, remote or self.remote, bounds or Bounds())
        self.diary = Diary()
        return pull(self.kernel, self.settings, request, self.diary)

    def push(self, reference: str, name: str) -> Pushed:
        """`bocker push`, to a name at the registry."""
        request = PushRequest(reference, parse_name(f"{HOST}/{name}"), LINUX, self.remote)
        self.diary = Diary()
        return push(self.kernel, self.settings, request, self.diary)

    def save(self, *references: str) -> bytes:
        """`bocker save -o /out.tar`; return the archive."""
        save(self.kernel, self.settings, SaveRequest(references, LINUX, self.remote, OUT), Diary())
        return self.world.read_file(OUT)

    def load(self, path: str = OUT, platform: Platform = LINUX) -> tuple[Loaded, ...]:
        """`bocker load -i`."""
        self.diary = Diary()
        return load(self.kernel, self.settings, LoadRequest(path, platform), self.diary)

    def tag(self, reference: str, name: str) -> str:
        """`bocker tag`."""
        return str(tag(self.kernel, self.settings, reference, name))

    def rmi(self, *references: str, force: bool = False) -> list[str]:
        """`bocker rmi`: a line each, the errors among them."""
        lines = []
        for one in remove_images(self.kernel, self.settings, references, force):
            lines += [one.error.message] if one.error else [f"Untagged: {name}" for name in one.tags]
            lines += [f"Removed: {one.removed}"] if one.removed else []
        return lines

    def layers(self) -> list[str]:
        """Return the names of the layers that are there."""
        return [name for name in self.program().storage.names() if name.startswith("layer_")]

    def asked(self, pattern: str) -> list[str]:
        """Return the requests that reached the registry, those with a word in them."""
        return [f"{seen.method} {seen.path}" for seen in self.registry.seen if pattern in f"{seen.method} {seen.path}"]


def archive(*members: tuple[str, str | bytes | None]) -> bytes:
    """Return a tar archive: (name, content); None is a directory."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.mode = 1_600_000_000, 0o755
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
                continue
            data = content.encode() if isinstance(content, str) else content
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def root_filesystem(*more: tuple[str, str | bytes | None]) -> bytes:
    """Return an archive of a root file system with the probe in it, and more."""
    entries = images.root_filesystem()
    stream = io.BytesIO(archive(*more))
    with tarfile.open(fileobj=stream, mode="a", format=tarfile.PAX_FORMAT) as tar:
        for path, found in entries.items():
            if path:
                entry = tarfile.TarInfo(path)
                entry.mode, entry.size, entry.linkname = found.mode, len(found.content), found.target
                entry.type = {"directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}.get(found.kind, tarfile.REGTYPE)
                tar.addfile(entry, io.BytesIO(found.content))
    return stream.getvalue()


BASE = root_filesystem(("gone", "base"), ("data", "x" * 9000))
MIDDLE = archive((".wh.gone", ""), ("middle", "second"))
TOP = archive(("top", "third"), ("data", "new"))


def with_app() -> ImageBench:
    """Return a host that has pulled `app:1`, of three layers."""
    bench = ImageBench()
    three_layers(bench)
    bench.pull("app:1")
    return bench


def three_layers(
    bench: ImageBench, name: str = "app", tag: str = "1", layers: Iterable[bytes] = (BASE, MIDDLE, TOP)
) -> str:
    """Put an image into the registry; return its digest."""
    return bench.registry.put_image(name, tag, list(layers))
