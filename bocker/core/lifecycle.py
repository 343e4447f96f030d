"""The life of a container: one table, one pure function.

created --start--> running --exit--> exited
                   running --pause--> paused --unpause--> running
created, running, paused --lose--> dead      (the engine was killed: no exit code is known)
created, exited, dead --remove--> (gone)
"""

from __future__ import annotations

from bocker.core.errors import IllegalTransition

CREATED = "created"
RUNNING = "running"
PAUSED = "paused"
EXITED = "exited"
DEAD = "dead"
GONE = "gone"
STATES = (CREATED, RUNNING, PAUSED, EXITED, DEAD)

START = "start"
PAUSE = "pause"
UNPAUSE = "unpause"
EXIT = "exit"
LOSE = "lose"
REMOVE = "remove"
EVENTS = (START, PAUSE, UNPAUSE, EXIT, LOSE, REMOVE)

TRANSITIONS = {
    (CREATED, START): RUNNING,
    (CREATED, LOSE): DEAD,
    (CREATED, REMOVE): GONE,
    (RUNNING, PAUSE): PAUSED,
    (RUNNING, EXIT): EXITED,
    (RUNNING, LOSE): DEAD,
    (PAUSED, UNPAUSE): RUNNING,
    (PAUSED, EXIT): EXITED,
    (PAUSED, LOSE): DEAD,
    (EXITED, REMOVE): GONE,
    (DEAD, REMOVE): GONE,
}

ALIVE = frozenset({RUNNING, PAUSED})
UNFINISHED = frozenset({CREATED, RUNNING, PAUSED})  # somebody holds its lock, or it is lost


def after(subject: str, state: str, event: str) -> str:
    """Return the state that `event` leads to; raise IllegalTransition where the table has none."""
    found = TRANSITIONS.get((state, event))
    if found is None:
        raise IllegalTransition(subject, state, event)
    return found
