"""These run in the virtual machine itself, with its systemd and the bocker that its provisioning installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.program import Bocker, make_busybox_root

IMAGE = "vm:small"


def pytest_configure() -> None:
    if not os.path.isdir("/run/systemd/system") or os.geteuid() != 0 or not os.path.isdir("/opt/made"):
        raise pytest.UsageError("use: tox run -e vagrant")


@pytest.fixture(scope="session")
def bocker() -> Bocker:
    return Bocker(Path("/usr/local/bin/bocker"))


@pytest.fixture(scope="session")
def image(bocker: Bocker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image that stays in the machine, over the reboot too."""
    if bocker("tag", IMAGE, IMAGE).code:
        root = tmp_path_factory.mktemp("busybox") / "root"
        root.mkdir()
        make_busybox_root(root)
        bocker.created("init", str(root), "-t", IMAGE)
    return IMAGE
