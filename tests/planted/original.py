"""The original script's defects, brought back where the rules, the engine or the registry decide (docs/bash-bugs.md).

A bug's kind is the defect's id, and what finds it are the tests that are named after it.
"""

from __future__ import annotations

from tests.planted.bug import Bug

CORE, ENGINE, IMAGES = "tests/unit/core", "tests/unit/engine", "tests/unit/images"


def brought_back(name: str, defect: str, file: str, before: str, after: str, *files: str) -> Bug:
    """Return a defect as a bug, which the tests of these files find that have its id in their name."""
    return Bug(name, defect, f"bocker/{file}.py", before, after, (*files, "-k", f"{defect}_"))


BUGS = (
    brought_back(
        "any-word-names-something",
        "D1",
        "core/reference",
        "    return text.startswith(prefix) and digits.isascii() and digits.isdigit() and len(digits) <= 6\n",
        "    return True\n",
        f"{CORE}/test_reference.py",
        f"{ENGINE}/test_removal.py",
    ),
    brought_back(
        "a-snapshot-over-what-is-there",
        "D3",
        "engine/run",
        "            _pass_over(job, container)\n            return None\n",
        "            store.delete_subvolume(job.kernel, str(container))\n",
        f"{ENGINE}/test_bash_bugs.py",
    ),
    brought_back(
        "a-commit-deletes-first",
        "D6",
        "engine/building",
        "            kernel.storage.exchange(aside_of(image), str(image))\n        except",
        "            store.delete_subvolume(kernel, str(image))\n"
        "            kernel.storage.publish(aside_of(image), str(image))\n        except",
        f"{ENGINE}/test_images.py",
    ),
    brought_back(
        "rm-of-what-runs",
        "D10",
        "engine/removal",
        "            if not force and not is_orphan(kernel, record):\n",
        "            if False:\n",
        f"{ENGINE}/test_removal.py",
    ),
    brought_back(
        "a-copy-that-failed-is-created",
        "D12",
        "engine/images",
        "            except (Missing, Invalid) as error:\n                if error.errno == errno.EINVAL:\n",
        "            except Exception:\n                return\n                if True:\n",
        f"{ENGINE}/test_images.py",
    ),
    brought_back(
        "commands-drive-the-terminal",
        "S13",
        "core/words",
        "    if text.isprintable():\n        return text\n    return",
        "    return text\n    return",
        f"{CORE}/test_text.py",
        "tests/unit/cli/test_output.py",
    ),
    brought_back(
        "the-callers-environment-gets-in",
        "S15",
        "engine/plan",
        "    own = (PATH, ",
        '    own = (PATH, "SSH_AUTH_SOCK=/tmp/agent", ',
        f"{ENGINE}/test_plan.py",
    ),
    brought_back(
        "a-limit-is-any-text",
        "S17",
        "core/limits",
        "    return text.isascii() and text.isdigit() and len(text) <= 20\n",
        "    return True\n",
        f"{CORE}/test_limits.py",
        "tests/unit/cli/test_main.py",
    ),
    brought_back(
        "no-bound-on-processes",
        "S21",
        "core/limits",
        "DEFAULT_PIDS = ",
        "DEFAULT_PIDS = None and ",
        f"{ENGINE}/test_plan.py",
    ),
    brought_back(
        "an-address-without-its-zeros",
        "W1",
        "core/addresses",
        "        return Interface(self.subnet.network + container.host_part, self.subnet.prefix_length)\n",
        '        number = int(str(container.number)[2:].replace("0", "") or "0")\n'
        "        return Interface(self.subnet.network + number, self.subnet.prefix_length)\n",
        f"{CORE}/test_addresses.py",
        f"{ENGINE}/test_bash_bugs.py",
    ),
    brought_back(
        "a-mac-in-decimal",
        "W2",
        "core/addresses",
        '    return f"02:42:ac:11:{high:02x}:{low:02x}"\n',
        '    return f"02:42:ac:11:{high:02}:{low:02}"\n',
        f"{CORE}/test_addresses.py",
    ),
    brought_back(
        "run-always-succeeds",
        "W3",
        "engine/relay",
        "    return ending.code if ending.code is not None else",
        "    return 0 if ending.code is not None else",
        "tests/unit/cli/test_commands.py",
        f"{ENGINE}/test_run.py",
    ),
    brought_back(
        "words-are-flattened",
        "W8",
        "core/words",
        "    if len(words) == 1 and not is_plain(words[0]):\n"
        '        return (SHELL, "-c", words[0])\n    return words\n',
        '    return (SHELL, "-c", " ".join(words))\n',
        f"{CORE}/test_text.py",
    ),
    brought_back(
        "a-container-passes-for-an-image",
        "W10",
        "core/ids",
        "        return isinstance(other, type(self)) and self.number == other.number\n",
        "        return isinstance(other, Id) and self.number == other.number\n",
        f"{CORE}/test_ids.py",
    ),
    brought_back(
        "rm-leaves-groups",
        "L2",
        "engine/removal",
        "    harmless(kernel.cgroups.remove, str(container))\n",
        "",
        f"{ENGINE}/test_removal.py",
    ),
    brought_back(
        "signals-stay-with-the-engine",
        "L3",
        "engine/relay",
        "            self.kernel.processes.signal(self.process.identity, number)\n",
        "            pass\n",
        f"{ENGINE}/test_run.py",
    ),
    brought_back(
        "ids-that-are-taken-are-not-passed-over",
        "L6",
        "engine/claims",
        "        yield kind(number)\n",
        "        yield kind(number)\n        return\n",
        f"{ENGINE}/test_bash_bugs.py",
        f"{ENGINE}/test_images.py",
    ),
    brought_back(
        "a-full-pool-does-not-begin-again",
        "L5",
        "core/ids",
        "    for candidates in (range(start, highest + 1), range(lowest, start)):\n",
        "    for candidates in (range(start, highest + 1),):\n",
        f"{CORE}/test_ids.py",
    ),
    brought_back(
        "rm-removes-the-first-only",
        "U5",
        "engine/removal",
        "for reference in dict.fromkeys(references)]",
        "for reference in references[:1]]",
        f"{ENGINE}/test_removal.py",
    ),
    brought_back(
        "layers-newest-first",
        "P2",
        "registry/config",
        "    return tuple(map(Layer, blobs, diff_ids, config.chain_ids))\n",
        "    return tuple(map(Layer, blobs, diff_ids, config.chain_ids))[::-1]\n",
        "tests/unit/registry/test_config.py",
        f"{IMAGES}/test_pull.py",
    ),
    brought_back(
        "no-digest-is-compared",
        "P4",
        "registry/client",
        "    if expected and parse_digest(expected) != found:\n",
        "    if False:\n",
        f"{IMAGES}/test_pull.py",
    ),
    brought_back(
        "no-tag-is-no-tag",
        "P9",
        "core/reference",
        "        return text, DEFAULT_TAG\n",
        '        return text, "newest"\n',
        f"{CORE}/test_reference.py",
    ),
)
