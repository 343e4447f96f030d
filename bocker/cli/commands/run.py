"""`bocker run`: a program in a new container."""

from __future__ import annotations

from bocker.cli.console import StandardStreams
from bocker.core.limits import Limits, parse_cpu_shares, parse_cpus, parse_megabytes, parse_memory, parse_pids
from bocker.engine.run import RunRequest, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bocker.cli.main import Call


def main(call: Call) -> int:
    """Run the program to its end and return its exit code."""
    image, *command = call.arguments.words
    request = RunRequest(
        image,
        tuple(command),
        limits=limits(call),
        name=call.value("name"),
        remove_on_exit=call.has("rm"),
        standard_input=call.has("interactive"),
    )
    if call.arguments.values:
        request = with_surroundings(call, request)
    return run(call.kernel, call.configuration.settings, request, StandardStreams())


def with_surroundings(call: Call, request: RunRequest) -> RunRequest:
    """Return the request with what was typed in place of the image's configuration."""
    from bocker.cli.surroundings import environment, labels

    entrypoint = call.value("entrypoint")
    return request.replace(
        environment=environment(call),
        working_directory=call.value("workdir") or "",
        user=call.value("user") or "",
        entrypoint=None if entrypoint is None else (entrypoint,) if entrypoint else (),
        stop_signal=call.value("stop-signal") or "",
        labels=labels(call),
        hostname=call.value("hostname") or "",
    )


def limits(call: Call) -> Limits:
    """Read the limits: flags over settings over defaults. Raise InvalidValue naming the source."""
    shares, memory = call.configuration.cpu_share, call.configuration.mem_limit
    found = Limits(parse_cpu_shares(shares.text, shares.source), parse_megabytes(memory.text, memory.source))
    if (text := call.value("cpu-shares")) is not None:
        found = found.replace(cpu_shares=parse_cpu_shares(text, "--cpu-shares"))
    if (text := call.value("memory")) is not None:
        found = found.replace(memory_bytes=parse_memory(text, "--memory"))
    if (text := call.value("pids-limit")) is not None:
        found = found.replace(pids=parse_pids(text, "--pids-limit"))
    if (text := call.value("cpus")) is not None:
        processors = call.kernel.host.facts().processors
        found = found.replace(cpu_quota_us=parse_cpus(text, "--cpus", processors))
    return found
