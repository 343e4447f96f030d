"""The same programs on the real kernel and on the fake one: every result or errno is the same."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import traceback

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as options

from bocker.core.settings import Settings
from bocker.fakes import World
from bocker.linux import LinuxKernel, syscalls
from tests.differential import BRIDGE_MAC, GATEWAY, Program, outcomes, pasted, programs
from tests.system.fresh_world import fresh_world


@pytest.mark.long
def test_random_programs_agree(sandbox_settings: Settings, request: pytest.FixtureRequest) -> None:
    """Storage, records, links, namespaces, groups and firewall: what one answers, the other answers."""
    number = request.config.getoption("--programs")

    @options(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=number < 1000,  # the usual number is the same programs each time
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(programs())
    def agree(program: Program) -> None:
        expected = on_linux(sandbox_settings, program)
        actual = on_fake(program)
        assert actual == expected, f"\n{pasted(program)}\n" + "\n".join(
            f"{step}: Linux {real}, fake {fake}"
            for step, real, fake in zip(program, expected, actual, strict=True)
            if real != fake
        )

    agree()


def on_fake(program: Program) -> list[str]:
    settings = Settings()
    world = World().prepare(settings)
    kernel = world.kernel(settings)
    kernel.firewall.remove(settings.table)
    return outcomes(kernel, program)


def on_linux(settings: Settings, program: Program) -> list[str]:
    """Run a program in a network and mount namespace of its own, by a child that ends with it."""
    with fresh_world(settings) as fresh:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _tell(writer, fresh, program)
        os.close(writer)
        with open(reader, "rb") as answer:
            told = answer.read()
        os.waitpid(child, 0)
        shutil.rmtree(fresh.state, ignore_errors=True)
        result: list[str] | str = pickle.loads(told)
        assert isinstance(result, list), result
        return result


def _tell(writer: int, settings: Settings, program: Program) -> None:
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
        result: object = outcomes(_prepared(settings), program)
    except BaseException:
        result = traceback.format_exc()
    with open(writer, "wb") as answer:
        answer.write(pickle.dumps(result))
    os._exit(0)


def _prepared(settings: Settings) -> LinuxKernel:
    """Make the same of an empty network as the fake's host has: a loopback and a bridge that are up."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    os.makedirs(settings.namespaces, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "names", settings.namespaces], check=True)
    kernel = LinuxKernel(settings)
    kernel.network.set_up("lo", True)
    kernel.network.create_bridge(settings.bridge, BRIDGE_MAC)
    kernel.network.add_address(settings.bridge, GATEWAY)
    kernel.network.set_up(settings.bridge, True)
    return kernel
