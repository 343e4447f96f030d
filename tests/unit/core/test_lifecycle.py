from __future__ import annotations

import itertools

import pytest

from bocker.core import lifecycle
from bocker.core.errors import IllegalTransition


@pytest.mark.parametrize(("state", "event"), list(itertools.product(lifecycle.STATES, lifecycle.EVENTS)))
def test_a_step_is_in_the_table_or_refused_by_name(state: str, event: str) -> None:
    expected = lifecycle.TRANSITIONS.get((state, event))
    if expected is None:
        with pytest.raises(IllegalTransition) as refused:
            lifecycle.after("ps_42002", state, event)
        assert (refused.value.state, refused.value.event) == (state, event)
    else:
        assert lifecycle.after("ps_42002", state, event) == expected


def test_the_table_is_the_one_that_the_documentation_draws() -> None:
    assert sorted((state, event, after) for (state, event), after in lifecycle.TRANSITIONS.items()) == [
        ("created", "lose", "dead"),
        ("created", "remove", "gone"),
        ("created", "start", "running"),
        ("dead", "remove", "gone"),
        ("exited", "remove", "gone"),
        ("paused", "exit", "exited"),
        ("paused", "lose", "dead"),
        ("paused", "unpause", "running"),
        ("running", "exit", "exited"),
        ("running", "lose", "dead"),
        ("running", "pause", "paused"),
    ]


def test_D10_nothing_that_is_alive_is_removed() -> None:
    assert not [state for state in lifecycle.ALIVE if (state, lifecycle.REMOVE) in lifecycle.TRANSITIONS]


def test_whatever_is_not_finished_can_be_lost() -> None:
    assert all((state, lifecycle.LOSE) in lifecycle.TRANSITIONS for state in lifecycle.UNFINISHED)
    assert not [
        state for state in set(lifecycle.STATES) - lifecycle.UNFINISHED if (state, "lose") in lifecycle.TRANSITIONS
    ]
