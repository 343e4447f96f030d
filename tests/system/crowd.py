"""People at one store, each in a terminal of his own, who type what comes to their minds.

    crowd = Crowd(bocker, address, directory, seed=3)
    crowd.work(people=20, commands=50)
    crowd.complaints()

What each types is drawn from his own seeded chance, with names from pools so small that they meet: when it
happens is up to the machine. Some programs are killed. `done` is what was typed and answered.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs

from tests.patience import patience
from tests.system.program import Bocker

CONTAINERS = ("ada", "bert", "cleo", "dora", "emil")
IMAGES = ("base", "one:1", "two:1", "two:2", "three")
FILES = ("first", "second", "third")
TIMEOUT_S = patience(180)
KILLED = 0.08  # of the commands
KILLED_WITHIN_S = 0.4
STAY = "300"
SHOUT = "echo hi; echo $HOSTNAME > /mine"
# 137, 143: somebody has removed or stopped the container. 126, 127: its program is gone with a commit that has none.
RUN_CODES = frozenset({0, 125, 137, 143})
CODES = {"run": RUN_CODES, "exec": frozenset({0, 1, 137, 143})}
OTHERS = frozenset({0, 1})
# What no person should read: a defect's words, and the kernel's in place of ours.
NO_ANSWER = re.compile(r"Traceback|internal error|\(\w+\.\w+ .*: E[A-Z]+\b")


@attrs.frozen
class Done:
    """A command, when it ran, and what it answered. code: None where it did not end in time."""

    who: int
    words: tuple[str, ...]
    began_s: float
    ended_s: float
    code: int | None
    out: str
    err: str
    was_killed: bool = False

    def __str__(self) -> str:
        ended = "killed" if self.was_killed else self.code
        return f"{self.began_s:8.3f} {self.ended_s:8.3f} {self.who:2} {ended} {' '.join(self.words)} {self.err.strip()}"


class Crowd:
    """So many people, and what they did."""

    def __init__(self, bocker: Bocker, address: str, directory: Path, root: Path, seed: int) -> None:
        self.bocker = bocker
        self.done: list[Done] = []
        self._address = address
        self._directory = directory
        self._root = root
        self._seed = seed
        self._began = time.monotonic()
        self._running: list[tuple[int, tuple[str, ...], float, subprocess.Popen[bytes]]] = []
        self._words: tuple[tuple[int, Callable[[random.Random], tuple[str, ...]]], ...] = self._table()

    def work(self, people: int, commands: int) -> None:
        """Let all of them do their commands at once."""
        threads = [threading.Thread(target=self._person, args=(who, commands)) for who in range(people)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def go_home(self) -> None:
        """Wait for what still runs; somebody has to have removed it."""
        for who, words, began_s, process in self._running:
            self._answer(who, words, began_s, process, False)
        self._running.clear()

    def complaints(self) -> list[str]:
        """Return the answers that no person should get."""
        return [self._around(one) for one in self.done if not is_an_answer(one)] + self._given_twice()

    def counts(self) -> str:
        """Return how often each command was tried, succeeded, and was killed."""
        tried = Counter(one.words[0] for one in self.done)
        went = Counter(one.words[0] for one in self.done if one.code == 0)
        shares = ", ".join(f"{verb} {went[verb]}/{number}" for verb, number in sorted(tried.items()))
        return f"{len(self.done)} commands, {sum(one.was_killed for one in self.done)} of them killed; {shares}"

    def _person(self, who: int, commands: int) -> None:
        chance = random.Random(self._seed * 1000 + who)
        makers = [maker for weight, maker in self._words for _ in range(weight)]
        for _ in range(commands):
            words = chance.choice(makers)(chance)
            kill_after_s = chance.uniform(0, KILLED_WITHIN_S) if chance.random() < KILLED else None
            began_s = self._now()
            process = self.bocker.start(*words)
            if kill_after_s is not None:
                time.sleep(kill_after_s)
                process.send_signal(signal.SIGKILL)
            if stays(words) and kill_after_s is None:
                self._running.append((who, words, began_s, process))
            else:
                self._answer(who, words, began_s, process, kill_after_s is not None)

    def _answer(
        self, who: int, words: tuple[str, ...], began_s: float, process: subprocess.Popen[bytes], was_killed: bool
    ) -> None:
        code: int | None
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
            code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            code = None
        was_killed = was_killed and code == -signal.SIGKILL
        texts = (part.decode("utf-8", "replace") for part in (out, err))
        self.done.append(Done(who, words, began_s, self._now(), code, *texts, was_killed))

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _around(self, bad: Done) -> str:
        """Return a command with all that were typed meanwhile."""
        near = [one for one in self.done if one.began_s <= bad.ended_s and one.ended_s >= bad.began_s]
        others = [one for one in near if one != bad and not stays(one.words)]
        return "\n".join([f"{bad} {bad.out!r}", *(f"    {one}" for one in others)])

    def _given_twice(self) -> list[str]:
        """Return the ids of new images that were given again, and nobody had removed the first one in between."""
        new = sorted((one for one in self.done if one.words[0] in {"init", "import"}), key=lambda one: one.ended_s)
        last: dict[str, Done] = {}
        found = []
        for one in new:
            for line in re.findall(r"Created: (\S+)", one.out):
                if line in last and not self._was_removed(line, last[line].began_s, one.ended_s):
                    found.append(f"{line} was given twice:\n{last[line]}\n{one}")
                last[line] = one
        return found

    def _was_removed(self, image: str, since_s: float, until_s: float) -> bool:
        meanwhile = [one for one in self.done if one.began_s < until_s and one.ended_s > since_s]
        return any(one.was_killed or re.search(rf"(?<!Created: ){image}\b", one.out) for one in meanwhile)

    def _table(self) -> tuple[tuple[int, Callable[[random.Random], tuple[str, ...]]], ...]:
        """Return how likely each command is, and how it is made up."""

        def container(chance: random.Random) -> str:
            return chance.choice(CONTAINERS)

        def image(chance: random.Random) -> str:
            return chance.choice(IMAGES)

        def file(chance: random.Random) -> str:
            return str(self._directory / chance.choice(FILES))

        def anything(chance: random.Random) -> str:
            return chance.choice((container, image))(chance)

        return (
            (6, lambda chance: ("run", "--rm", image(chance), "sh", "-c", SHOUT)),
            (6, lambda chance: ("run", "--name", container(chance), image(chance), "sh", "-c", SHOUT)),
            (2, lambda chance: ("run", image(chance), "sh", "-c", SHOUT)),
            (5, lambda chance: ("run", "--name", container(chance), image(chance), "sleep", STAY)),
            (2, lambda chance: ("run", "--rm", "--name", container(chance), image(chance), "sleep", STAY)),
            (5, lambda chance: ("exec", container(chance), "echo", "hi")),
            (3, lambda chance: ("ps",)),
            (2, lambda chance: ("ps", "--format", "json")),
            (3, lambda chance: ("images",)),
            (3, lambda chance: ("logs", container(chance))),
            (3, lambda chance: ("inspect", anything(chance))),
            (2, lambda chance: ("history", image(chance))),
            (1, lambda chance: ("df", "-v")),
            (4, lambda chance: ("commit", container(chance), image(chance))),
            (3, lambda chance: ("tag", image(chance), image(chance))),
            (4, lambda chance: ("init", str(self._root), "-t", image(chance))),
            (4, lambda chance: ("pull", "-q", f"{self._address}/test/app:{chance.choice('12')}")),
            (2, lambda chance: ("tag", f"{self._address}/test/app:{chance.choice('12')}", image(chance))),
            (1, lambda chance: ("push", "-q", f"{self._address}/test/app:{chance.choice('12')}")),
            (4, lambda chance: ("rm", anything(chance))),
            (5, lambda chance: ("rm", "-f", container(chance))),
            (3, lambda chance: ("rm", container(chance), container(chance))),
            (4, lambda chance: ("rmi", image(chance))),
            (4, lambda chance: ("stop", "-t", chance.choice("012"), container(chance))),
            (2, lambda chance: ("save", "-q", "-o", file(chance) + ".tar", image(chance))),
            (2, lambda chance: ("load", "-q", "-i", file(chance) + ".tar")),
            (2, lambda chance: ("export", "-o", file(chance) + ".flat", container(chance))),
            (2, lambda chance: ("import", file(chance) + ".flat", image(chance))),
            (1, lambda chance: ("prune", "-f")),
            (1, lambda chance: ("prune", "-af", "--containers", "--downloads")),
            (3, lambda chance: ("cleanup",)),
        )


def stays(words: tuple[str, ...]) -> bool:
    """Tell whether a command goes on until somebody ends it."""
    return words[0] == "run" and words[-1] == STAY


def is_an_answer(one: Done) -> bool:
    """Tell whether a command ended as it may, with words for a person."""
    if one.was_killed:
        return True
    if one.code not in CODES.get(one.words[0], OTHERS) or NO_ANSWER.search(one.err):
        return False
    if one.code == 0 and SHOUT in one.words:
        return one.out == "hi\n"
    said = [line for line in one.err.splitlines() if line]
    return one.code == 0 or bool(said) or one.words[0] in {"run", "exec"}
