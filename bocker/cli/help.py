"""The help, made from the table of verbs and the table of settings."""

from __future__ import annotations

from bocker.cli.settings import CONFIG_FILE, MEANINGS, PREFIX
from bocker.cli.verbs import HELP, VERBS, Flag, Verb

GLOBAL_FLAGS = (
    Flag("debug", "Show the traceback of an error", "D"),
    Flag("version", "Print the version", "v"),
    HELP,
)
EXAMPLES = (
    ("bocker setup", "once on a host, and after a boot"),
    ("bocker init ./rootfs -t debian:12", "an image from a directory"),
    ("bocker run debian:12 sh -c 'echo hello'", "a container from the image"),
    ("bocker run debian:12 'sleep 5 && ps aux'", "one word goes to the image's shell"),
    ("bocker ps", "its id, and how it ended"),
    ("bocker commit ps_42002 debian:mine", "what it left behind, as an image"),
    ("bocker rm ps_42002", ""),
)


def overview() -> str:
    """Return the help of bocker as a whole."""
    verbs = [(verb.name, verb.help) for verb in VERBS]
    examples = [f"  {command:<42}{'# ' + remark if remark else ''}".rstrip() for command, remark in EXAMPLES]
    return "\n".join(
        (
            "Usage:  bocker [OPTIONS] COMMAND",
            "",
            "A container engine for one Linux host.",
            "",
            "Commands:",
            *_aligned(verbs),
            "",
            "Options:",
            *_aligned([*map(_flag_row, GLOBAL_FLAGS), ("    --NAME=VALUE", "A setting, such as --mem-limit=256")]),
            "",
            f"Settings, as variables of the environment ({CONFIG_FILE} takes them in small letters, without {PREFIX}):",
            *_aligned(
                [(PREFIX + name.upper(), f"{meaning} ({default})") for name, (meaning, default) in MEANINGS.items()]
            ),
            "",
            "Examples:",
            *examples,
            "",
            "Run 'bocker COMMAND --help' for more on a command.",
        )
    )


def of_verb(verb: Verb) -> str:
    """Return the help of one command."""
    return "\n".join(
        (
            f"Usage:  {verb.usage}",
            "",
            verb.help + ".",
            "",
            "Options:",
            *_aligned([_flag_row(flag) for flag in (*verb.flags, HELP)]),
            "",
            "Examples:",
            *(f"  {example}" for example in verb.examples),
        )
    )


def _flag_row(flag: Flag) -> tuple[str, str]:
    short = f"-{flag.short}, " if flag.short else "    "
    return f"{short}--{flag.name}{' ' + flag.value if flag.value else ''}", flag.help


def _aligned(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(first) for first, _ in rows)
    return [f"  {first:<{width}}  {second}" for first, second in rows]
