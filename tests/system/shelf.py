"""A registry with images that a test says the layers of, and how they are put there."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.linux import LinuxKernel
from tests.system.layouts import GZIP, PLAIN, ZSTD, Layout
from tests.system.program import Bocker
from tests.system.registry import Registry

NOISE = os.urandom(1 << 20)


def layer(*members: tuple[str, bytes | None, str]) -> list[bytes]:
    """Return an archive: (name, content or None for a symbolic link, where that leads)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, target in members:
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            if content is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return [stream.getvalue()]


def file(name: str, content: bytes) -> tuple[str, bytes, str]:
    return name, content, ""


def link(name: str, target: str) -> tuple[str, None, str]:
    return name, None, target


BASE = layer(
    file("bin/busybox", Path("/bin/busybox").read_bytes()),
    *(link(f"bin/{name}", "busybox") for name in ("sh", "cat", "ls", "env", "id", "pwd")),
    file("etc/passwd", b"root:x:0:0::/root:/bin/sh\njo:x:1000:1000::/home/jo:/bin/sh\n"),
    file("gone", b"base"),
    file("noise", NOISE * 8),
)
MIDDLE = layer(file(".wh.gone", b""), file("second", NOISE * 4))
TOP = layer(file("third", NOISE * 2), file("hello", b"hello\n"))
CONFIG = {
    "Entrypoint": ["/bin/sh", "-c"],
    "Cmd": ["cat /hello; id -un; pwd; echo $COLOUR"],
    "Env": ["COLOUR=red"],
    "User": "jo",
    "WorkingDir": "/srv/here",
}


class Shelf:
    """A registry, and images that are put into it."""

    def __init__(self, registry: Registry, directory: Path) -> None:
        self.address = registry.address
        self._layout = Layout(directory)
        self._count = 0

    def put(self, name: str, layers: list[tuple[list[bytes], str]], config: dict[str, object] | None = None) -> str:
        """Put an image into the registry; return its name for a pull."""
        self._count += 1
        self._layout.image(f"i{self._count}", layers, config)  # type: ignore[arg-type]
        where = f"{self.address}/{name}"
        words = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
        subprocess.run([*words, self._layout.reference(f"i{self._count}"), f"docker://{where}"], check=True)
        return where

    def app(self, name: str = "test/app:1") -> str:
        """Put the usual image there."""
        return self.put(name, [(BASE, GZIP), (MIDDLE, ZSTD), (TOP, PLAIN)], CONFIG)


@pytest.fixture
def shelf(tmp_path: Path, bocker: Bocker, kernel: LinuxKernel) -> Iterator[Shelf]:
    """A registry; images and downloads go after the test."""
    with Registry(tmp_path) as registry:
        yield Shelf(registry, tmp_path / "layout")
    for image in bocker("images", "-q").out.split():
        assert bocker("rm", image).code == 0
    for blob in kernel.blobs.list():
        kernel.blobs.remove(blob.name)
    for draft in kernel.blobs.drafts():
        kernel.blobs.discard(draft.name)
