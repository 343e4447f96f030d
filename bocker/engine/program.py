"""What runs in a container and as what: what was asked for, over what the image's configuration says.

Everything is checked here, before anything is made.
"""

from __future__ import annotations

from bocker.core.errors import InvalidValue, UsageError
from bocker.core.value import Value
from bocker.core.words import printable, program_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.core.model import ContainerRecord, ImageContent
    from bocker.engine.execute import ExecRequest
    from bocker.engine.run import RunRequest

HOSTNAME = "HOSTNAME"


class Program(Value):
    """A program and its surroundings.

    words: what is executed; command: what a list shows, before one word went to a shell. environment:
    NAME=VALUE beyond the defaults of `plan`. An empty user is root, an empty working directory `/`.
    """

    words: tuple[str, ...]
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""


def of_image(request: RunRequest, content: ImageContent) -> Program:
    """Return the program of a new container. Raise UsageError when there is nothing to run, and
    InvalidValue for what can't be passed on."""
    words, command = _words(request, content)
    if not words:
        raise UsageError(f"'{request.image}' has no command of its own", "say what to run: bocker run IMAGE COMMAND")
    check_texts(content.volumes)
    below = tuple(entry for entry in content.environment if _is_for_us(entry))
    named = (f"{HOSTNAME}={request.hostname}", *request.environment) if request.hostname else request.environment
    return _checked(
        request,
        Program(
            words,
            command,
            overlaid(below, named),
            request.working_directory or from_root(content.working_directory),
            request.user or content.user,
        ),
    )


def of_record(request: ExecRequest, record: ContainerRecord) -> Program:
    """Return a further program of a container: in the surroundings of the first, unless it was asked otherwise.

    Raise InvalidValue for what can't be passed on.
    """
    words = program_words(request.words)
    return _checked(
        request,
        Program(
            words,
            words,
            overlaid(record.environment, request.environment),
            request.working_directory or record.working_directory,
            request.user or record.user,
        ),
    )


def _is_for_us(entry: str) -> bool:
    """Tell whether a variable of an image's is taken over: NAME=VALUE, and the host name is the container's own."""
    name, equals, _ = entry.partition("=")
    return bool(name and equals) and name != HOSTNAME


def _words(request: RunRequest, content: ImageContent) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is executed and what is shown, by docker's rules: words replace the image's command and
    are handed to its entrypoint; another entrypoint drops the image's command.

    One word that is a line is the shell's, as the original had it, but only where there is no
    entrypoint: an entrypoint gets what was typed.
    """
    own = request.entrypoint is None
    entrypoint = content.entrypoint if request.entrypoint is None else request.entrypoint
    command = request.words or (content.command if own else ())
    shown = (*entrypoint, *command)
    if entrypoint or not request.words:
        return shown, shown
    return program_words(request.words), shown


def overlaid(below: tuple[str, ...], above: tuple[str, ...]) -> tuple[str, ...]:
    """Return NAME=VALUE entries, each name once: the last counts. A NAME without `=` takes it out."""
    entries = {entry.partition("=")[0]: entry for entry in below}
    for entry in above:
        name, equals, _ = entry.partition("=")
        if equals:
            entries[name] = entry
        else:
            entries.pop(name, None)
    return tuple(entries.values())


def from_root(path: str) -> str:
    """Return a path of the image's configuration as an absolute one; an empty path stays empty."""
    return path if not path or path.startswith("/") else f"/{path}"


def directories_of(volumes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the directories that an image wants to be there for its volumes."""
    paths = dict.fromkeys("/" + volume.strip("/") for volume in volumes)
    return tuple(path for path in paths if path != "/")


def _checked(request: RunRequest | ExecRequest, program: Program) -> Program:
    if request.working_directory and not request.working_directory.startswith("/"):
        shown = printable(request.working_directory)
        raise InvalidValue(f"The working directory '{shown}' is no absolute path", "begin it with /")
    for entry in request.environment:
        if not entry.partition("=")[0]:
            raise InvalidValue(f"'{printable(entry)}' is no variable of the environment", "write it like NAME=VALUE")
    check_texts((*program.words, *program.environment, program.working_directory, program.user))
    return program


def check_texts(texts: tuple[str, ...]) -> None:
    """Raise InvalidValue for a text that the kernel can't take: what a person types is none, an image may have one."""
    for text in texts:
        try:
            is_taken = b"\0" not in text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            is_taken = False
        if not is_taken:
            raise InvalidValue(f"'{printable(text)}' can not be passed to a program: it holds what is no text")
