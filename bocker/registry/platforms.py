"""Platforms: `linux/arm64/v8`, and which of those that an index offers runs on the one that is wanted.

The words are Go's; they are made uniform as containerd does it (github.com/containerd/platforms), so that
`aarch64`, `arm64` and `arm64/v8` are one.
"""

from __future__ import annotations

import re

import attrs

from bocker.core.errors import InvalidValue
from bocker.registry.errors import one_line

LINUX = "linux"
_WORD = re.compile(r"[A-Za-z0-9_.-]+")
_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "loongarch64": ("loong64", ""),
}
_DEFAULT_VARIANTS = {("amd64", "v1"): "", ("arm64", "v8"): "", ("arm", ""): "v7"}
_LOWEST = {"amd64": 2, "arm": 5}


@attrs.frozen
class Platform:
    """An operating system and a processor. An empty variant is the oldest that the architecture has."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(word for word in (self.os, self.architecture, self.variant) if word)

    @property
    def is_unknown(self) -> bool:
        """Tell whether this stands for no platform: builders mark their attestations so."""
        return "unknown" in (self.os, self.architecture)

    def accepts(self) -> tuple[Platform, ...]:
        """Return what runs here, the best first: an arm/v7 runs v6 and v5 too, an amd64/v3 runs v2 and any."""
        return tuple(attrs.evolve(self, variant=variant) for variant in self._variants())

    def _variants(self) -> tuple[str, ...]:
        lowest, level = _LOWEST.get(self.architecture), self.variant[1:]
        oldest = () if self.architecture == "arm" else ("",)
        if lowest and level in tuple("23456789"):
            return (*(f"v{number}" for number in range(int(level), lowest - 1, -1)), *oldest)
        major = self.variant.partition(".")[0]
        return tuple(dict.fromkeys((self.variant, major, *oldest)))


def uniform(os: str, architecture: str, variant: str = "") -> Platform:
    """Return the platform that these words mean, whoever's words they are."""
    architecture = architecture.lower()
    architecture, implied = _ALIASES.get(architecture, (architecture, ""))
    variant = variant.lower() or implied
    if variant[:1].isdigit():
        variant = f"v{variant}"
    return Platform(os.lower(), architecture, _DEFAULT_VARIANTS.get((architecture, variant), variant))


def platform_of_machine(machine: str) -> Platform:
    """Return the platform of a Linux host from the word that uname(2) has for its machine."""
    return uniform(LINUX, machine)


def parse_platform(text: str) -> Platform:
    """Read `linux/arm64/v8`, `linux/amd64` or `arm64`; raise InvalidValue."""
    words = text.split("/")
    if len(words) > 3 or not all(_WORD.fullmatch(word) for word in words):
        raise InvalidValue(f"'{one_line(text)}' is no platform", "write it like linux/arm64 or linux/arm/v7")
    found = uniform(*words) if len(words) > 1 else uniform(LINUX, words[0])
    if found.os != LINUX or found.architecture == LINUX:
        raise InvalidValue(f"'{one_line(text)}' is no platform of Linux", "write it like linux/arm64 or linux/arm/v7")
    return found
