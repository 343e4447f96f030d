"""Records of a later format: whoever wrote them knows more, so nobody older reads or changes anything."""

from __future__ import annotations

import pytest

from bocker.core.errors import NewerStore
from tests.unit.images.meetings import COMMANDS
from tests.unit.images.test_crashes import everything

WITHOUT_THE_STORE = {"login", "logout"}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_THE_STORE))
def test_every_command_refuses_a_newer_store_and_touches_nothing(name: str) -> None:
    bench = everything()
    bench.kernel.records.write("store/format", b"2\n")
    bench.world.settle()
    before = bench.world.dump()
    with pytest.raises(NewerStore, match="format 2"):
        COMMANDS[name](bench)
    bench.world.settle()
    assert bench.world.dump() == before
