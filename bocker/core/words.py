"""Words a person gives a program: unchanged, or handed to the image's shell. And safe to show."""

from __future__ import annotations

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=,-")
SHELL = "/bin/sh"


def program_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is executed for `words`.

    One word that is not plain (`'sleep 5 && ps aux'`) goes to the image's `/bin/sh -c`, as the
    original did; two or more reach the program byte for byte (defect W8 of the original).
    """
    if len(words) == 1 and not is_plain(words[0]):
        return (SHELL, "-c", words[0])
    return words


def is_plain(word: str) -> bool:
    """Tell whether a word means itself to a shell and can be a program's name or path."""
    return bool(word) and _PLAIN.issuperset(word)


def shown(words: tuple[str, ...]) -> str:
    """Return a command on one line, with control characters and broken bytes escaped (S13)."""
    return " ".join(printable(word) for word in words)


def printable(text: str) -> str:
    r"""Return `text` with everything that could drive a terminal or forge a row as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode brings it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
