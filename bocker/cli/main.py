"""The way in: words to a verb's handler, errors to one line and an exit code.

`main` returns the exit code and never raises; the two ways to start bocker, `launch` for the
installed launcher and `console_script` for pip's, leave by `os._exit`, as there is nothing to
tidy up and the interpreter's own tidying costs a millisecond.
"""

from __future__ import annotations

import os
import sys

from bocker.cli import settings as settings_module
from bocker.cli.output import complain, error_line, say
from bocker.cli.parser import Arguments, Globals, parse_arguments, parse_globals, unknown_verb
from bocker.cli.verbs import HELP, Verb, find
from bocker.core.errors import FAILED, USAGE, BockerError, NotPrivileged, ProgramNotStarted, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from bocker.cli.settings import Configuration
    from bocker.core.settings import Settings
    from bocker.kernel import Kernel

    KernelFactory = Callable[[Settings], Kernel]

SIGNALLED = 128
SIGINT = 2
NOBODY_READS = 141  # what a shell shows for a program that SIGPIPE ended


class Call:
    """One command: its arguments, the settings, and the kernel, made when it is asked for."""

    __slots__ = ("_factory", "_kernel", "arguments", "configuration", "environ", "interpreter_mount")

    def __init__(
        self,
        arguments: Arguments,
        configuration: Configuration,
        environ: Mapping[str, str],
        factory: KernelFactory,
        interpreter_mount: str | None = None,
    ) -> None:
        self.arguments = arguments
        self.configuration = configuration
        self.environ = environ
        self.interpreter_mount = interpreter_mount
        self._factory = factory
        self._kernel: Kernel | None = None

    @property
    def kernel(self) -> Kernel:
        """The kernel. Raise BockerError when this user may not use it."""
        if self._kernel is None:
            self._kernel = self._factory(self.configuration.settings)
        return self._kernel

    def has(self, switch: str) -> bool:
        """Tell whether a switch such as `quiet` was given."""
        return switch in self.arguments.switches

    def value(self, flag: str) -> str | None:
        """Return the value given to a flag, the last where it was given more than once; None when it was not given."""
        return self.values(flag)[-1] if flag in self.arguments.values else None

    def values(self, flag: str) -> tuple[str, ...]:
        """Return all values given to a flag that may be given more than once."""
        return self.arguments.values.get(flag, ())


def main(
    argv: tuple[str, ...],
    environ: Mapping[str, str] | None = None,
    kernel_factory: KernelFactory | None = None,
    installed: bool = True,
) -> int:
    """Carry out a command line (without the program's name) and return the exit code.

    kernel_factory: makes the kernel from the settings; this machine's when None. installed: the
    interpreter is bocker's own copy; otherwise `run` and `exec` change to the one that `setup` protected.
    """
    debug = "--debug" in argv or "-D" in argv
    verb: Verb | None = None
    try:
        given = parse_globals(argv)
        debug = given.debug
        verb = find(given.rest[0]) if given.rest else None
        return _dispatch(given, verb, os.environ if environ is None else environ, kernel_factory, installed)
    except BaseException as error:
        if debug:
            _show_traceback()
        return _report(_interrupt_in(error) or error, verb)


def launch() -> NoReturn:
    """Run as the installed launcher does."""
    sys.unraisablehook = _raise_later
    os._exit(main(tuple(sys.argv[1:])))


def console_script() -> NoReturn:
    """Run as pip's console script does: from an interpreter that is not ours alone."""
    sys.unraisablehook = _raise_later
    os._exit(main(tuple(sys.argv[1:]), installed=False))


def _raise_later(lost: Any) -> None:
    from bocker.cli.interrupts import raise_later

    raise_later(lost)


def _dispatch(
    given: Globals, verb: Verb | None, environ: Mapping[str, str], factory: KernelFactory | None, installed: bool
) -> int:
    if given.version:
        from bocker import __version__

        say(f"bocker {__version__}")
        return 0
    if given.help:
        from bocker.cli.help import overview

        say(overview())
        return 0
    if verb is None:
        raise unknown_verb(given.rest[0])
    arguments = parse_arguments(verb, given.rest[1:])
    if HELP.name in arguments.switches:
        from bocker.cli.help import of_verb

        say(of_verb(verb))
        return 0
    configuration = settings_module.load(environ, given.assigned)
    interpreter_mount = None if installed else f"{configuration.settings.runtime}/interpreter"
    if factory is None:
        _choose_interpreter(verb, arguments, interpreter_mount)
    call = Call(arguments, configuration, environ, factory or _linux_kernel, interpreter_mount)
    return int(_handler(verb)(call))


def _handler(verb: Verb) -> Callable[[Call], int]:
    module: Any = __import__(f"bocker.cli.commands.{verb.name}", fromlist=("main",))
    handler: Callable[[Call], int] = module.main
    return handler


def _linux_kernel(settings: Settings) -> Kernel:
    if os.geteuid() != 0:
        import shlex

        words = " ".join(shlex.quote(word) for word in sys.argv[1:])
        refusal = NotPrivileged()
        refusal.hint = f"use: sudo bocker {words}"
        raise refusal
    from bocker.linux import LinuxKernel

    return LinuxKernel(settings)


def _choose_interpreter(verb: Verb, arguments: Arguments, protected: str | None) -> None:
    """Go on in another interpreter where this one will not do.

    A container can reach the interpreter of its engine as `/proc/self/exe` and write it once the
    engine was killed, so programs are started by the one that `setup` made unwritable (where there
    is none, `run` refuses by itself). And `setup --undo` can't unmount what it runs from.
    """
    starts = verb.program or "check" in arguments.switches
    if protected and starts and not _is_unwritable() and os.path.isfile(protected):
        _change_interpreter(protected)
    if "undo" in arguments.switches and _is_unwritable():
        base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        if base != sys.executable:
            _change_interpreter(base)


def _is_unwritable() -> bool:
    return bool(os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY)


def _change_interpreter(path: str) -> NoReturn:
    start = f"import sys; sys.path[:] = {sys.path!r}; from bocker.cli.main import console_script; console_script()"
    os.execv(path, [path, "-I", "-S", "-c", start, *sys.argv[1:]])


def _interrupt_in(error: BaseException) -> BaseException | None:
    """Return the interrupt that Python before 3.12 has wrapped, as it came while a class was made."""
    cause = error.__cause__
    return cause if type(error) is RuntimeError and isinstance(cause, KeyboardInterrupt) else None


def _report(error: BaseException, verb: Verb | None) -> int:
    """Say on one line what went wrong and return the exit code."""
    failed = verb.failed if verb else FAILED
    if isinstance(error, BockerError):
        complain(error_line(error))
        return _exit_code(error, verb)
    if isinstance(error, BrokenPipeError):
        return NOBODY_READS
    if isinstance(error, KeyboardInterrupt):
        return SIGNALLED + getattr(error, "number", SIGINT)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else failed
    if isinstance(error, MemoryError):
        complain("bocker: out of memory")
    elif isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        complain(f"bocker: {where}{error.strerror}; for more use: bocker --debug")
    else:
        complain(f"bocker: internal error: {type(error).__name__}: {error}; for more use: bocker --debug")
    return failed


def _exit_code(error: BockerError, verb: Verb | None) -> int:
    if isinstance(error, ProgramNotStarted):
        return error.exit_code
    if isinstance(error, UsageError):
        return verb.misused if verb else USAGE
    return verb.failed if verb else error.exit_code


def _show_traceback() -> None:
    import traceback

    for line in traceback.format_exc().splitlines():
        complain(line)
