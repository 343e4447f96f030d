"""The tools of others that make, move and unpack images: skopeo, umoci, buildah, podman, docker-registry.

Everything they write lies below one directory, and `/var/lib/containers`, where skopeo remembers what it
has seen, is an empty one meanwhile.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.patience import patience

PROGRAMS = ("skopeo", "umoci", "buildah", "podman", "docker-registry", "crun", "dockerd", "docker", "mmdebstrap")
PACKAGES = ("skopeo", "umoci", "buildah", "podman", "docker-registry", "crun", "docker.io")  # of Debian 12
ADDRESS = "127.0.0.1:5000"
CACHES = "/var/lib/containers"
TIMEOUT_S = 600
PATIENCE_S = patience(10.0)

REGISTRY = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{directory}/registry"}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"}}
"""
REGISTRIES = """
[[registry]]
location = "{address}"
insecure = true
"""
CONTAINERS = """
[engine]
lock_type = "file"
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
tmp_dir = "{directory}/libpod"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""
STORAGE = """
[storage]
driver = "{driver}"
graphroot = "{directory}/{name}"
runroot = "{directory}/{name}-run"
"""


class Peers:
    """The tools with settings of their own. `podman` and `buildah` have a store each; `driver` is podman's."""

    def __init__(self, directory: str | Path, driver: str = "vfs", store: str | None = None) -> None:
        self.directory = Path(directory)
        self.driver = driver
        self._store = store
        self._registry: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        os.makedirs(CACHES, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "peers", CACHES], check=True)
        self._configure()
        self._serve()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._registry is not None:
            self._registry.terminate()
            self._registry.wait()
        for path in sorted(self._mounts(), reverse=True):
            subprocess.run(["umount", "--lazy", path], check=True)
        subprocess.run(["umount", CACHES], check=True)

    def skopeo(self, *words: str | Path) -> str:
        """Run skopeo with any signature policy; return what it prints."""
        return self._output(
            "skopeo", "--insecure-policy", "--registries-conf", self.directory / "registries.conf", *words
        )

    def umoci(self, *words: str | Path) -> str:
        return self._output("umoci", *words)

    def buildah(self, *words: str | Path) -> str:
        return self._output("buildah", "--storage-driver", "overlay", *words)

    def podman(self, *words: str | Path) -> str:
        return self._output(*self.podman_command(*words))

    def podman_command(self, *words: str | Path) -> list[str | Path]:
        """Return the words that run podman on its store here."""
        store = self._store or f"{self.directory}/podman"
        return ["podman", "--root", store, "--runroot", f"{store}-run", "--storage-driver", self.driver, *words]

    def copy(self, source: str, target: str, *options: str) -> None:
        """Copy an image by skopeo, which changes nothing that the options do not say."""
        self.skopeo("copy", "--quiet", *options, source, target)

    def push(self, source: str, name: str, *options: str) -> str:
        """Push an image as it is; return its reference."""
        self.copy(source, f"docker://{ADDRESS}/{name}", *(options or ("--preserve-digests",)))
        return f"{ADDRESS}/{name}"

    def digest(self, reference: str) -> str:
        """Return the digest by which a registry knows an image."""
        return self.skopeo("inspect", "--format", "{{.Digest}}", f"docker://{reference}").strip()

    def manifest(self, reference: str) -> str:
        """Return an image's manifest, byte for byte."""
        return self.skopeo("inspect", "--raw", f"docker://{reference}")

    def configuration(self, reference: str) -> dict[str, Any]:
        """Return an image's configuration."""
        return dict(json.loads(self.skopeo("inspect", "--config", "--raw", f"docker://{reference}")))

    def podman_tree(self, reference: str, *options: str) -> Path:
        """Pull an image with podman, and return where its tree is mounted."""
        image = self.podman("pull", "--quiet", *options, reference).strip()
        return Path(self.podman("image", "mount", image).strip())

    def archive(self, reference: str, form: str) -> Path:
        """Copy an image out of the registry into a `docker-archive` or `oci-archive`; return its path."""
        path = self.directory / f"{form}.tar"
        self.copy(f"docker://{reference}", f"{form}:{path}:{reference if form == 'docker-archive' else 'name'}")
        return path

    def podman_loaded_tree(self, archive: Path) -> Path:
        """Load an image's archive into podman, and return where the tree is mounted."""
        loaded = self.podman("load", "--quiet", "--input", archive).strip().rpartition(": ")[2]
        return Path(self.podman("image", "mount", loaded).strip())

    def umoci_tree(self, reference: str) -> Path:
        """Fetch an image with skopeo, unpack it with umoci, and return where its tree is."""
        self._clear()
        self.copy(f"docker://{reference}", f"oci:{self.directory}/for-umoci:1")
        self.umoci("unpack", "--image", f"{self.directory}/for-umoci:1", self.directory / "by-umoci")
        return self.directory / "by-umoci/rootfs"

    def forget(self) -> None:
        """Take everything out of podman's store, and what umoci unpacked."""
        self._clear()
        self.podman("image", "unmount", "--all", "--force")
        self.podman("rmi", "--all", "--force")

    def _clear(self) -> None:
        for name in ("for-umoci", "by-umoci"):
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def _configure(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        words = {"directory": self.directory, "address": ADDRESS}
        (self.directory / "registry.yml").write_text(REGISTRY.format(**words))
        (self.directory / "registries.conf").write_text(REGISTRIES.format(**words))
        (self.directory / "containers.conf").write_text(CONTAINERS.format(**words))
        (self.directory / "storage.conf").write_text(STORAGE.format(driver="overlay", name="buildah", **words))

    def environment(self) -> dict[str, str]:
        """Return the variables by which podman and buildah find their settings."""
        names = {
            "CONTAINERS_CONF": "containers.conf",
            "CONTAINERS_REGISTRIES_CONF": "registries.conf",
            "CONTAINERS_STORAGE_CONF": "storage.conf",
        }
        return {name: f"{self.directory}/{file}" for name, file in names.items()}

    def _output(self, *command: str | Path) -> str:
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment()},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _serve(self) -> None:
        with open(self.directory / "registry.log", "wb") as log:
            command = ["docker-registry", "serve", str(self.directory / "registry.yml")]
            self._registry = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while not _answers(f"http://{ADDRESS}/v2/"):
            if time.monotonic() > deadline or self._registry.poll() is not None:
                raise RuntimeError(f"docker-registry: {(self.directory / 'registry.log').read_text()}")
            time.sleep(0.02)

    def _mounts(self) -> list[str]:
        """Return what the tools have mounted below the directories here, and left."""
        places = (f"{self.directory}/", f"{self._store or self.directory}/")
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            points = [line.split()[4] for line in file]
        return [point for point in points if point.startswith(places)]


class Docker:
    """A docker daemon with everything of its own, without a network; its images lie in overlays in `data`."""

    def __init__(self, directory: str | Path, data: str | Path | None = None) -> None:
        self.directory = Path(directory)
        self.data = self.directory / "data" if data is None else Path(data)
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "settings").write_text("{}")
        with open(self.directory / "log", "wb") as log:
            self._daemon = subprocess.Popen(["dockerd", *self._words()], stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while self._run("version").returncode != 0:
            if time.monotonic() > deadline or self._daemon.poll() is not None:
                raise RuntimeError(f"dockerd: {(self.directory / 'log').read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait()

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self._daemon is not None
        return self._daemon.pid

    def command(self, *words: str | Path) -> list[str | Path]:
        """Return the words that run the client."""
        return ["docker", "--host", f"unix://{self.directory}/socket", *words]

    def __call__(self, *words: str | Path) -> str:
        """Run a command of the client; return what it prints."""
        done = self._run(*words)
        if done.returncode != 0:
            raise RuntimeError(f"docker {' '.join(map(str, words))}: exit code {done.returncode}: {done.stderr}")
        return done.stdout

    @contextmanager
    def tree(self, reference: str) -> Iterator[Path]:
        """Show the tree of an image that is there."""
        layers = json.loads(self("image", "inspect", "--format", "{{json .GraphDriver.Data}}", reference))
        below = ":".join(layers[name] for name in ("UpperDir", "LowerDir") if name in layers)
        empty = self.directory / "empty"
        place = self.directory / "tree"
        for path in (empty, place):
            path.mkdir(exist_ok=True)
        words = ["mount", "-t", "overlay", "-o", f"ro,lowerdir={below}:{empty}", "tree", str(place)]
        # fsconfig(2), which newer mounts prefer, takes 255 bytes for an option.
        subprocess.run(words, env={**os.environ, "LIBMOUNT_FORCE_MOUNT2": "always"}, check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)

    def _run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=TIMEOUT_S)

    def _words(self) -> Iterator[str]:
        yield from ("--host", f"unix://{self.directory}/socket", "--config-file", f"{self.directory}/settings")
        yield from ("--data-root", str(self.data), "--exec-root", f"{self.directory}/run")
        yield from ("--pidfile", f"{self.directory}/pid", "--storage-driver", "overlay2")
        yield from ("--bridge", "none", "--iptables=false", "--ip-forward=false")


def missing() -> list[str]:
    """Return the programs that are not there."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
