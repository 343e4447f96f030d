"""The contracts of all ports, on the real kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bocker.core.settings import Settings
from bocker.linux import LinuxKernel
from bocker.linux.http import LinuxHttp
from tests.contracts.accounts import AccountsContract
from tests.contracts.ambient import AmbientContract
from tests.contracts.archives import ArchivesContract
from tests.contracts.blobs import BlobsContract
from tests.contracts.cgroups import CgroupsContract
from tests.contracts.firewall import FirewallContract
from tests.contracts.host import HostContract
from tests.contracts.http import HttpContract
from tests.contracts.namespaces import NamespacesContract
from tests.contracts.network import NetworkContract
from tests.contracts.processes import ProcessesContract
from tests.contracts.records import RecordsContract
from tests.contracts.storage import StorageContract
from tests.contracts.subjects import SubjectsContract
from tests.patience import patience
from tests.system import world
from tests.system.fresh_world import fresh_world
from tests.system.http_server import HttpServer
from tests.system.linux_lab import LinuxLab
from tests.system.linux_stage import LinuxStage


@pytest.fixture
def settings(sandbox_settings: Settings, fresh_network: None) -> Iterator[Settings]:
    """A store, a state folder and control groups of the test's own."""
    with fresh_world(sandbox_settings) as fresh:
        yield fresh


@pytest.fixture
def lab(settings: Settings) -> Iterator[LinuxLab]:
    made = LinuxLab(settings)
    yield made
    made.close()


@pytest.fixture
def stage(kernel: LinuxKernel, settings: Settings) -> Iterator[LinuxStage]:
    made = LinuxStage(kernel, settings)
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    made = HttpServer(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh_network(sandbox_settings: Settings, nothing_left: world.World) -> Iterator[None]:
    """Take away the links, names and tables that a contract made: it cleans nothing up itself."""
    before = nothing_left
    yield
    after = world.look(sandbox_settings, "namespace name", "link", "firewall rule")
    for name in after["namespace name"] - before["namespace name"]:
        _remove_namespace(f"{sandbox_settings.namespaces}/{name}")
    for link in after["link"] - before["link"]:
        subprocess.run(("ip", "link", "delete", link), check=False, capture_output=True)  # its peer's end was its own
    if after["firewall rule"] != before["firewall rule"]:
        _remove_tables(keep=sandbox_settings.table)


def _remove_namespace(path: str) -> None:
    if not os.path.islink(path):
        subprocess.run(("umount", "--lazy", path), check=True)
    os.unlink(path)


def _remove_tables(keep: str) -> None:
    listed = subprocess.run(("nft", "list", "tables", "ip"), check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        if line.split()[-1] != keep:
            subprocess.run(("nft", "delete", *line.split()), check=True)


class TestAccounts(AccountsContract): ...


class TestAmbient(AmbientContract): ...


class TestArchives(ArchivesContract): ...


class TestBlobs(BlobsContract): ...


class TestCgroups(CgroupsContract): ...


class TestFirewall(FirewallContract): ...


class TestHost(HostContract): ...


class TestHttp(HttpContract):
    @pytest.fixture
    def kernel(self, kernel: LinuxKernel) -> Iterator[LinuxKernel]:
        """With less patience: half a minute of silence is long in a test."""
        kernel.http = LinuxHttp(silence_s=max(1.0, patience(0.25)))
        yield kernel
        kernel.http.close()


class TestNamespaces(NamespacesContract): ...


class TestNetwork(NetworkContract): ...


class TestProcesses(ProcessesContract): ...


class TestRecords(RecordsContract): ...


class TestStorage(StorageContract): ...


class TestSubjects(SubjectsContract): ...
