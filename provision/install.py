#!/usr/bin/python3
"""Installs bocker for this host: a prefix with everything in it, and a launcher.

    /usr/bin/python3 provision/install.py [--prefix DIR] [--launcher FILE] [--uninstall]

The prefix holds `bin/python3`, a copy of the interpreter; `site`, bocker itself, compiled; and
`packages`, what it needs from PyPI, at the versions of `requirements/run.lock`. A unit for systemd
that runs `bocker setup` at boot comes along (docs/virtual-machine.md). The launcher names
them by their literal paths and starts the interpreter with `-IS`: nothing of the caller's
environment counts, and `site` is not imported.

Why a copy of the interpreter: `bocker setup` mounts it read-only on itself, as a container that
reaches `/proc/self/exe` could otherwise write the host's interpreter after its engine was killed.

The standard library of the same release is all this needs. Twice in a row is as good as once.
"""

from __future__ import annotations
import __future__

import argparse
import ast
import compileall
import glob
import marshal
import os
import py_compile
import shutil
import subprocess
import sys
from types import CodeType

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREFIX = "/usr/local/lib/bocker"
LAUNCHER = "/usr/local/bin/bocker"
UNIT = "/usr/local/lib/systemd/system/bocker.service"
ENABLED = "/etc/systemd/system/multi-user.target.wants/bocker.service"
LOCK = f"{SOURCE}/requirements/run.lock"
MANIFEST = "installed"
PIP_WHEELS = ("/usr/share/python-wheels/pip-*.whl", f"{os.path.dirname(os.__file__)}/ensurepip/_bundled/pip-*.whl")
# What the commands that must start quickly import beside their own module; the rest comes when it is asked for.
CGROUPS = "2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "1"
HOT = {
    "run": "linux.cgroups_v{cgroups} linux.ambient linux.cgroups linux.container linux.host linux.namespaces "
    "linux.network linux.processes linux.records linux.storage engine.removal",
    "exec": "linux.cgroups_v{cgroups} linux.ambient linux.cgroups linux.host linux.processes linux.records",
    "ps": "linux.ambient linux.processes linux.records",
    "images": "linux.ambient linux.records linux.storage",
}
IMPORT_PROBE = """
import sys
from importlib.machinery import SourceFileLoader
run = SourceFileLoader.exec_module
def told(self, module):
    run(self, module)
    if module.__name__.partition(".")[0] == "bocker":
        print(module.__name__)
SourceFileLoader.exec_module = told
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    __import__(name)
"""
STARTER = """\
#!{prefix}/bin/python3 -IS
import marshal, posix, sys
sys.path += ["{prefix}/site", "{prefix}/packages"]
try:
    descriptor = posix.open("{prefix}/bundle", posix.O_RDONLY | posix.O_CLOEXEC)
    loader, index, groups, start = marshal.loads(posix.pread(descriptor, {head_bytes}, 0))
    exec(loader)
    install(descriptor, index, groups, start)
    from bocker.cli.main import launch
    launch()
except KeyboardInterrupt:  # while it is loaded; what comes after that is told by `main`
    posix._exit(130)
"""


def main() -> int:
    """Install, or uninstall; return the exit code."""
    options = read_options()
    try:
        if options.uninstall:
            uninstall(options.prefix)
        elif options.download:
            run_pip("download", "--dest", options.download)
        else:
            install(options.prefix, options.launcher, options.wheels, options.cgroups)
    except (OSError, subprocess.CalledProcessError, Refused) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


class Refused(Exception):
    """Something that this does not do; nothing was changed."""


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", default=PREFIX, help=f"where everything goes ({PREFIX})")
    parser.add_argument("--launcher", default=LAUNCHER, help=f"the program that people type ({LAUNCHER})")
    wheels = os.environ.get("BOCKER_WHEELS")
    parser.add_argument("--wheels", metavar="DIR", default=wheels, help="take packages from DIR only ($BOCKER_WHEELS)")
    parser.add_argument("--download", metavar="DIR", help="only fetch the packages, for --wheels")
    parser.add_argument("--cgroups", choices=("1", "2"), default=CGROUPS, help=f"made for this version ({CGROUPS})")
    parser.add_argument("--uninstall", action="store_true", help="remove what was installed in the prefix")
    return parser.parse_args()


def install(prefix: str, launcher: str, wheels: str | None, cgroups: str) -> None:
    """Build the prefix aside, put it in its place by renaming, and write the launcher and the unit last."""
    check_ground(prefix, launcher)
    aside = f"{prefix}.new"
    unit = UNIT if prefix == PREFIX else f"{prefix}/{os.path.basename(UNIT)}"
    try:
        head_bytes = build(aside, prefix, wheels, cgroups)
        write_manifest(aside, launcher, unit)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    was_protected = is_mounted(f"{prefix}/bin/python3")
    put_in_place(aside, prefix)
    if was_protected:
        protect(f"{prefix}/bin/python3")
    write_launcher(prefix, launcher, head_bytes)
    write_unit(unit, launcher)
    print(f"Installed: {launcher}, {prefix}")


def build(aside: str, prefix: str, wheels: str | None, cgroups: str) -> int:
    """Make what the prefix will hold, but its list of files; return the size of the bundle's head in bytes."""
    shutil.rmtree(aside, ignore_errors=True)
    os.makedirs(f"{aside}/bin")
    copy_interpreter(aside)
    copy_program(aside, prefix)
    head_bytes = bundle_program(aside, prefix, cgroups)
    add_packages(aside, prefix, wheels)
    return head_bytes


def check_ground(prefix: str, launcher: str) -> None:
    """Refuse an interpreter or a place that the launcher's first line can't name."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the host's own interpreter may be older
        raise Refused(f"{sys.executable} is older than Python 3.11")
    if sys.prefix != sys.base_prefix:
        raise Refused("this is a virtual environment's interpreter; use the system's: /usr/bin/python3")
    for path in (prefix, launcher):
        if not os.path.isabs(path) or not path.isascii() or not path.isprintable() or set(path) & set(" \"'\\"):
            raise Refused(f"'{path}' must be an absolute path without blanks and quotes")
    if len(prefix) > 100:
        raise Refused(f"'{prefix}' is too long for a script's first line")
    if os.path.exists(prefix) and not os.path.exists(f"{prefix}/{MANIFEST}") and os.listdir(prefix):
        raise Refused(f"'{prefix}' holds something else")


def copy_interpreter(aside: str) -> None:
    """Copy this interpreter; `pyvenv.cfg` tells the copy where its standard library is."""
    shutil.copy2(os.path.realpath(sys.executable), f"{aside}/bin/python3")
    with open(f"{aside}/pyvenv.cfg", "w", encoding="utf-8") as file:
        file.write(f"home = {os.path.dirname(sys.executable)}\n")


def copy_program(aside: str, prefix: str) -> None:
    """Copy and compile bocker. The compiled files never look at the sources' times again, so a copy
    of the prefix whose times were lost is as fast."""
    target = f"{aside}/site/bocker"
    shutil.copytree(f"{SOURCE}/bocker", target, ignore=shutil.ignore_patterns("__pycache__"))
    compile_all(target, f"{prefix}/site/bocker")


def bundle_program(aside: str, prefix: str, cgroups: str) -> int:
    """Write all of bocker's code into one file, without docstrings; return the size of its head in bytes.

    The head is the loader's code, the places of modules and of groups, and the head's own size,
    padded. The sources stay where they are, for tracebacks and for people. Bocker works with both
    versions of control groups; what `cgroups` names is what lies ready.
    """
    codes, places, groups, body = {}, {}, {}, bytearray()
    for path in sorted(glob.glob(f"{aside}/site/bocker/**/*.py", recursive=True)):
        relative = os.path.relpath(path, f"{aside}/site")
        name = relative[: -len(".py")].replace("/", ".").removesuffix(".__init__")
        codes[name] = (name, path.endswith("/__init__.py"), compiled(path, f"{prefix}/site/{relative}"))
    for name, (_, is_package, code) in codes.items():
        places[name] = (*added(body, code), is_package)
    for verb, roots in HOT.items():
        words = roots.format(cgroups=cgroups)
        groups[verb] = added(body, tuple(codes[name] for name in import_order(f"{aside}/site", verb, words)))
    loader = compiled(f"{SOURCE}/provision/loader.py", f"{prefix}/loader")
    head_bytes = len(marshal.dumps((loader, places, groups, 1 << 30)))
    with open(f"{aside}/bundle", "wb") as file:
        file.write(marshal.dumps((loader, places, groups, head_bytes)).ljust(head_bytes) + body)
    return head_bytes


def added(body: bytearray, value: CodeType | tuple[object, ...]) -> tuple[int, int]:
    """Add a value to the end; return its offset and its length."""
    data = marshal.dumps(value)  # type: ignore[arg-type]
    body += data
    return len(body) - len(data), len(data)


def import_order(site: str, verb: str, roots: str) -> list[str]:
    """Return the modules of bocker's that a command imports, each after those that it needs."""
    modules = ["bocker.cli.main", f"bocker.cli.commands.{verb}", *(f"bocker.{root}" for root in roots.split())]
    command = [sys.executable, "-I", "-S", "-B", "-c", IMPORT_PROBE, site, *modules]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def compiled(path: str, shown: str) -> CodeType:
    """Compile a file without its docstrings; tracebacks show it as `shown`.

    What `from __future__ import annotations` does is done here, so that no command imports that module.
    """
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), shown)
    tree.body = [node for node in tree.body if getattr(node, "module", "") != "__future__"]
    code: CodeType = compile(tree, shown, "exec", __future__.annotations.compiler_flag, dont_inherit=True, optimize=2)
    return code


def compile_all(directory: str, final: str) -> None:
    """Compile every file below `directory`, which will be called `final`."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(directory, ddir=final, quiet=1, force=True, invalidation_mode=mode):
        raise Refused(f"'{directory}' does not compile")


def add_packages(aside: str, prefix: str, wheels: str | None) -> None:
    """Install what bocker needs from PyPI, or from a folder, each file checked against the lock."""
    target = f"{aside}/packages"
    source = () if wheels is None else ("--no-index", "--find-links", wheels)
    run_pip("install", "--target", target, "--no-compile", "--root-user-action=ignore", *source)
    shutil.rmtree(f"{target}/bin", ignore_errors=True)  # programs whose first line names the place aside
    compile_all(target, f"{prefix}/packages")


def run_pip(command: str, *options: str) -> None:
    """Let pip fetch what the lock names, and nothing that is not in it."""
    pip = [sys.executable, f"{pip_wheel()}/pip", "--quiet", "--quiet", "--disable-pip-version-check", command]
    locked = ["--no-deps", "--require-hashes", "--requirement", LOCK]
    done = subprocess.run([*pip, *locked, *options], check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Refused(f"pip could not get what {LOCK} names (its exit code is {done.returncode})")


def pip_wheel() -> str:
    """Return the pip that came with the interpreter, as a wheel that can be run."""
    for pattern in PIP_WHEELS:
        found = sorted(glob.glob(pattern))
        if found:
            return found[-1]
    raise Refused("there is no pip here; on Debian: apt-get install python3-venv")


def write_manifest(aside: str, launcher: str, unit: str) -> None:
    """Write down every file, so that uninstalling removes these and no others."""
    files = [os.path.relpath(f"{folder}/{name}", aside) for folder, _, names in os.walk(aside) for name in names]
    with open(f"{aside}/{MANIFEST}", "w", encoding="utf-8") as file:
        file.writelines(f"{name}\n" for name in (launcher, unit, *sorted(files), MANIFEST))


def put_in_place(aside: str, prefix: str) -> None:
    """Rename the new prefix to its place. Containers that run keep the interpreter they have."""
    old = f"{prefix}.old"
    shutil.rmtree(old, ignore_errors=True)
    if os.path.exists(prefix):
        unprotect(f"{prefix}/bin/python3")
        os.rename(prefix, old)
    os.rename(aside, prefix)
    shutil.rmtree(old, ignore_errors=True)


def write_launcher(prefix: str, launcher: str, head_bytes: int) -> None:
    """Write the launcher at one instant."""
    os.makedirs(os.path.dirname(launcher), exist_ok=True)
    aside = f"{launcher}.new"
    with open(aside, "w", encoding="utf-8") as file:
        file.write(STARTER.format(prefix=prefix, head_bytes=head_bytes))
        os.fchmod(file.fileno(), 0o755)
    os.rename(aside, launcher)


def write_unit(unit: str, launcher: str) -> None:
    """Write the unit of systemd that makes again at a boot what the boot forgot; enabling it is the host's."""
    os.makedirs(os.path.dirname(unit), exist_ok=True)
    with open(f"{SOURCE}/provision/{os.path.basename(UNIT)}", encoding="utf-8") as source:
        text = source.read().replace(LAUNCHER, launcher)
    with open(unit, "w", encoding="utf-8") as file:
        file.write(text)


def disable_unit() -> None:
    """Take away the link by which systemd was told to start the unit, and its directories if they are empty."""
    if os.path.islink(ENABLED) and not os.path.exists(ENABLED):
        os.unlink(ENABLED)
    for folder in (os.path.dirname(UNIT), os.path.dirname(os.path.dirname(UNIT))):
        if os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)


def uninstall(prefix: str) -> None:
    """Remove what the manifest names, then the directories that are empty."""
    try:
        with open(f"{prefix}/{MANIFEST}", encoding="utf-8") as file:
            launcher, *files = file.read().splitlines()
    except FileNotFoundError:
        raise Refused(f"bocker is not installed in '{prefix}'") from None
    unprotect(f"{prefix}/bin/python3")
    for path in (launcher, *(os.path.join(prefix, name) for name in files)):
        if os.path.lexists(path):
            os.unlink(path)
    disable_unit()
    for folder, _, _ in os.walk(prefix, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)
    left = f"; left: {prefix}, which holds other things" if os.path.exists(prefix) else ""
    print(f"Removed: {launcher}, {prefix}{left}")


def is_mounted(path: str) -> bool:
    """Tell whether something is mounted at exactly `path`."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split(" ")[4] == path for line in file)


def protect(path: str) -> None:
    """Mount a file read-only on itself, as `bocker setup` does."""
    subprocess.run(["mount", "--bind", path, path], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)


def unprotect(path: str) -> None:
    """Take such mounts away. Lazily: a container that runs holds its own, and it stays read-only."""
    while is_mounted(path):
        subprocess.run(["umount", "--lazy", path], check=True)


if __name__ == "__main__":
    sys.exit(main())
