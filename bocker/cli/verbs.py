"""The commands of bocker in one table: what the parser accepts and what the help says.

argparse costs fourteen milliseconds to import, twice what the interpreter takes to start, so the
table is plain values and `parser` is small (`docs/decisions/0010-a-parser-of-our-own.md`).
"""

from __future__ import annotations

from bocker.core.errors import FAILED, RUN_FAILED, USAGE
from bocker.core.value import Value


class Flag(Value):
    """A flag of a verb. `value` is the word that help shows for its value, None for a switch."""

    name: str
    help: str
    short: str | None = None
    value: str | None = None


class Verb(Value):
    """A command: `words` are what it takes beside flags, `least` and `most` how many of them.

    `most` None means any number. `program`: the command starts a program in a container, so flags
    end at the first word and the rest is the program's. `failed` and `misused` are the exit codes
    of a refusal and of words that make no sense.
    """

    name: str
    words: str
    help: str
    least: int = 0
    most: int | None = 0
    flags: tuple[Flag, ...] = ()
    program: bool = False
    failed: int = FAILED
    misused: int = USAGE
    examples: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The one line that shows how the command is written."""
        parts = ("bocker", self.name, "[OPTIONS]" if self.flags else "", self.words)
        return " ".join(part for part in parts if part)


HELP = Flag("help", "Show how the command is written", "h")
QUIET = Flag("quiet", "Print ids only", "q")
FORMAT = Flag("format", "json: one object a line; table: aligned columns; or a template ({{.ID}})", value="FORMAT")
NO_TRUNC = Flag("no-trunc", "Do not shorten anything")
INTERACTIVE = Flag("interactive", "Pass standard input on to the program", "i")
CHANGE = Flag("change", "Line of a Dockerfile that changes the configuration; more than once", "c", "INSTRUCTION")
OUTPUT = Flag("output", "File to write, in place of standard output", "o", "FILE")
NO_PROGRESS = Flag("quiet", "Show no progress", "q")
PLATFORM = Flag("platform", "Platform, where there are several (linux/arm64)", value="OS/ARCHITECTURE")
SURROUNDINGS = (
    Flag("env", "Set a variable; NAME alone takes yours; may be given more than once", "e", "NAME=VALUE"),
    Flag("env-file", "Read variables from a file, a line each", value="FILE"),
    Flag("workdir", "Directory to work in", "w", "DIRECTORY"),
    Flag("user", "Name or number, and group, of the container's own", "u", "USER[:GROUP]"),
)

VERBS = (
    Verb(
        "setup",
        "",
        "Make what containers need on this host: a btrfs store, a bridge, forwarding, masquerading",
        flags=(
            Flag("check", "Report each need with its state and change nothing"),
            Flag("undo", "Take back exactly what setup changed; images and containers stay"),
            Flag("delete-data", "With --undo: delete the images and containers too"),
            Flag("storage", "File that holds the store, if none is mounted (/var/lib/bocker/btrfs.img)", value="FILE"),
            Flag("size", "Size of that file (10G)", value="SIZE"),
            Flag("subnet", "Subnet of a new bridge (10.0.0.0/24)", value="SUBNET"),
        ),
        examples=("bocker setup", "bocker setup --check", "bocker setup --undo"),
    ),
    Verb(
        "init",
        "DIRECTORY",
        "Make an image from a directory",
        least=1,
        most=1,
        flags=(Flag("tag", "Name the image", "t", "NAME:TAG"),),
        examples=("bocker init ./rootfs", "bocker init ./rootfs -t debian:12"),
    ),
    Verb(
        "pull",
        "NAME [TAG]",
        "Bring an image from a registry",
        least=1,
        most=2,
        flags=(PLATFORM, Flag("quiet", "Print the id only, and no progress", "q")),
        examples=("bocker pull debian:12", "bocker pull localhost:5000/app@sha256:0123…"),
    ),
    Verb(
        "images",
        "[NAME[:TAG]]",
        "List images",
        most=1,
        flags=(
            QUIET,
            NO_TRUNC,
            FORMAT,
            Flag("digests", "Show the digests that registries have them by"),
            Flag("filter", "Only some: dangling=true (without a tag), reference=PATTERN", "f", "FILTER"),
        ),
        examples=("bocker images", "bocker images --format json", "bocker images -q -f dangling=true"),
    ),
    Verb(
        "run",
        "IMAGE [COMMAND] [ARG...]",
        "Run a command in a new container",
        least=1,
        most=None,
        flags=(
            INTERACTIVE,
            Flag("rm", "Remove the container when its program ends"),
            Flag("name", "Name the container", value="NAME"),
            *SURROUNDINGS,
            Flag("entrypoint", "Program in place of the image's entrypoint; '' for none", value="PROGRAM"),
            Flag("hostname", "Host name inside", value="NAME"),
            Flag("label", "Label the container; may be given more than once", "l", "NAME=VALUE"),
            Flag("stop-signal", "Signal that stop sends (TERM, or the image's)", value="SIGNAL"),
            Flag("memory", "Limit of memory, and of memory and swap together (512m)", "m", "SIZE"),
            Flag("cpus", "Number of processors (1.5)", value="NUMBER"),
            Flag("cpu-shares", "Share of processor time, relative to 1024", "c", "NUMBER"),
            Flag("pids-limit", "Limit of processes; -1 for none", value="NUMBER"),
        ),
        program=True,
        failed=RUN_FAILED,
        misused=RUN_FAILED,
        examples=("bocker run --rm debian:12 cat /etc/os-release", "bocker run img_42002 'sleep 5 && ps aux'"),
    ),
    Verb(
        "ps",
        "",
        "List containers, running or not",
        flags=(Flag("all", "List every container; ps always does", "a"), QUIET, NO_TRUNC, FORMAT),
        examples=("bocker ps", "bocker ps -q", "bocker ps --format 'table {{.ID}}\\t{{.Status}}'"),
    ),
    Verb(
        "exec",
        "CONTAINER COMMAND [ARG...]",
        "Run a command in a running container",
        least=2,
        most=None,
        flags=(INTERACTIVE, *SURROUNDINGS),
        program=True,
        examples=("bocker exec ps_42045 ps aux", "echo 'id -u' | bocker exec -i web sh"),
    ),
    Verb(
        "logs",
        "CONTAINER",
        "Print what a container wrote",
        least=1,
        most=1,
        flags=(
            Flag("follow", "Go on until the container ends", "f"),
            Flag("timestamps", "Print the time of each line", "t"),
            Flag("tail", "Only the last lines", "n", "NUMBER"),
            Flag("since", "Only what was written after a moment (10m, 2026-11-21T00:49:01Z)", value="TIME"),
        ),
        examples=("bocker logs ps_42045", "bocker logs -f --tail 10 web"),
    ),
    Verb(
        "stop",
        "CONTAINER...",
        "End containers: by their stop signal, then by force",
        least=1,
        most=None,
        flags=(
            Flag("signal", "Signal to send in place of the container's own", "s", "SIGNAL"),
            Flag("time", "Seconds to wait before a container is killed (10); -1 for ever", "t", "SECONDS"),
        ),
        examples=("bocker stop web", "bocker stop -t 2 ps_42045 ps_42046"),
    ),
    Verb(
        "commit",
        "CONTAINER IMAGE",
        "Make an image from a container; an image that exists is replaced in one step",
        least=2,
        most=2,
        flags=(
            CHANGE,
            Flag("message", "What was done, for the history", "m", "TEXT"),
            Flag("author", "Who made the image", "a", "NAME"),
        ),
        examples=("bocker commit ps_42045 debian:mine", "bocker commit -c 'CMD [\"sh\"]' web img_42002"),
    ),
    Verb(
        "tag",
        "IMAGE NAME[:TAG]",
        "Give an image one more name",
        least=2,
        most=2,
        examples=("bocker tag img_42002 localhost:5000/app:1",),
    ),
    Verb(
        "push",
        "NAME[:TAG]",
        "Send an image to a registry",
        least=1,
        most=1,
        flags=(NO_PROGRESS,),
        examples=("bocker push localhost:5000/app:1",),
    ),
    Verb(
        "save",
        "IMAGE...",
        "Write images to an archive, for docker, podman and skopeo too",
        least=1,
        most=None,
        flags=(OUTPUT, NO_PROGRESS),
        examples=("bocker save -o app.tar app:1", "bocker save app:1 | gzip > app.tar.gz"),
    ),
    Verb(
        "load",
        "",
        "Bring the images of an archive here, docker's or OCI's",
        flags=(Flag("input", "File to read, in place of standard input", "i", "FILE"), PLATFORM, NO_PROGRESS),
        examples=("bocker load -i app.tar", "zcat app.tar.gz | bocker load"),
    ),
    Verb(
        "export",
        "CONTAINER",
        "Write all files of a container to an archive",
        least=1,
        most=1,
        flags=(OUTPUT,),
        examples=("bocker export -o root.tar web",),
    ),
    Verb(
        "import",
        "FILE|- [NAME:TAG]",
        "Make an image from an archive of files",
        least=1,
        most=2,
        flags=(CHANGE, Flag("message", "Where it is from, for the history", "m", "TEXT")),
        examples=("bocker import root.tar app:1", "bocker export web | bocker import - app:1"),
    ),
    Verb(
        "history",
        "IMAGE",
        "Show how an image came about",
        least=1,
        most=1,
        flags=(QUIET, NO_TRUNC, FORMAT),
        examples=("bocker history debian:12",),
    ),
    Verb(
        "inspect",
        "NAME...",
        "Show all that is known of images and containers",
        least=1,
        most=None,
        flags=(
            Flag("format", "Template in place of JSON ({{.State.Pid}})", "f", "TEMPLATE"),
            Flag("type", "Only an image, or only a container", value="image|container"),
        ),
        examples=("bocker inspect web debian:12", "bocker inspect -f '{{.NetworkSettings.IPAddress}}' web"),
    ),
    Verb(
        "rmi",
        "IMAGE...",
        "Take names from images; an image goes with its last one",
        least=1,
        most=None,
        flags=(Flag("force", "An image that has several names goes by its id", "f"),),
        examples=("bocker rmi debian:12",),
    ),
    Verb(
        "rm",
        "ID...",
        "Remove containers and images",
        least=1,
        most=None,
        flags=(Flag("force", "Kill a running container first", "f"),),
        examples=("bocker rm ps_42045", "bocker rm -f web img_42002"),
    ),
    Verb(
        "df",
        "",
        "Show what takes the space",
        flags=(Flag("verbose", "Show each image and each container", "v"), FORMAT),
        examples=("bocker df", "bocker df -v"),
    ),
    Verb(
        "prune",
        "",
        "Give space back: images without a tag, and what belongs to no image",
        flags=(
            Flag("all", "Images with tags too, where no container was made of them", "a"),
            Flag("containers", "Containers that have ended too"),
            Flag("downloads", "Downloads that a registry has too; push and save then fetch them again"),
            Flag("force", "Do not ask", "f"),
            Flag("dry-run", "Say what would go, and change nothing"),
        ),
        examples=("bocker prune", "bocker prune -af --containers", "bocker prune --dry-run"),
    ),
    Verb(
        "login",
        "[HOST]",
        "Keep a name and a password for a registry, docker.io if none is named",
        most=1,
        flags=(
            Flag("username", "The user's name", "u", "NAME"),
            Flag("password", "The password, which others on this host can see then", "p", "PASSWORD"),
            Flag("password-stdin", "Read the password from standard input"),
        ),
        examples=("bocker login registry.example.org:5000", "pass registry | bocker login -u me --password-stdin"),
    ),
    Verb(
        "logout",
        "[HOST]",
        "Forget the name and the password for a registry",
        most=1,
        examples=("bocker logout registry.example.org:5000",),
    ),
    Verb("cleanup", "", "Repair and remove what a crash left behind", examples=("bocker cleanup",)),
    Verb("help", "[COMMAND]", "Show the commands, or one of them", most=1, examples=("bocker help run",)),
)


def find(name: str) -> Verb | None:
    """Return the verb called `name`, None when there is none."""
    for verb in VERBS:
        if verb.name == name:
            return verb
    return None
