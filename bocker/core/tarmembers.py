"""Archives of files that are looked up by name, as images are saved in: what they hold, and how they are laid out."""

from __future__ import annotations

from bocker.core import tarstream
from bocker.core.tarstream import BadArchive, Entry, components

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_NAME_BYTES = 4096  # as long as a path may be: PATH_MAX
LINKS = frozenset({tarstream.SYMLINK, tarstream.HARD_LINK})


def name_of(entry: Entry) -> str:
    """Return the name that an entry has below the archive's root, without `.`, `..` and slashes at its ends."""
    return _text(components(entry.name))


def target_of(entry: Entry) -> str:
    """Return the name that a link leads to: a symbolic one from its directory, a hard one from the root."""
    relative = entry.kind == tarstream.SYMLINK and not entry.link.startswith(b"/")
    above = components(entry.name)[:-1] if relative else []
    return _text(components(b"/".join((*above, entry.link))))


def laid_out(files: Iterable[tuple[str, int]]) -> Iterator[Entry]:
    """Give the entries of an archive of files, by name and size, each directory before the first name in it.

    Raise ValueError for a name that is not its own shortest form below the root.
    """
    made: set[bytes] = set()
    for text, size_bytes in files:
        name = text.encode("utf-8", "surrogateescape")
        parts = components(name)
        if not parts or b"/".join(parts) != name or b"\0" in name:
            raise ValueError(f"{text!r} names no file")
        for count in range(1, len(parts)):
            directory = b"/".join(parts[:count])
            if directory not in made:
                made.add(directory)
                yield Entry(tarstream.DIRECTORY, directory, 0o755, 0, 0, 0)
        yield Entry(tarstream.FILE, name, 0o644, 0, 0, 0, size_bytes, ((0, size_bytes),) if size_bytes else ())


def _text(parts: list[bytes]) -> str:
    name = b"/".join(parts)
    if not name:
        raise BadArchive("a file, or a link, without a name")
    return name.decode("utf-8", "surrogateescape")
