"""Policy: what a person asks for, done with the ports and nothing else.

Every public function takes `kernel: Kernel, settings: Settings` first, returns values, prints
nothing, and raises `BockerError` (or lets a bug through). Names on the command line (`reference`)
are resolved here, never before. Import what a command needs from its own module; this one imports
nothing, as `run` and `exec` pay for each module.

    run.run(kernel, settings, RunRequest(...), console) -> int
        The exit code of the program. Errors before it started: ProgramNotStarted carries 126 or
        127; for every other BockerError the command line answers 125 (`errors.RUN_FAILED`).
    execute.execute(kernel, settings, ExecRequest(...), console) -> int
        The same in a running container; the errors carry their own exit codes.
    logs.logs(kernel, settings, LogsRequest(...), console) -> None
    listing.containers(kernel, settings) -> tuple[ContainerRecord, ...]     ascending ids
    listing.images(kernel, settings) -> tuple[ImageSummary, ...]            ascending ids
    images.init(kernel, settings, directory, tag=None, source=None) -> ImageId
    images.commit(kernel, settings, container, target) -> Committed(image, replaced)
        `replaced`: print `Removed: IMAGE` before `Created: IMAGE`.
    removal.remove(kernel, settings, references, force=False) -> tuple[Removal, ...]
        One Removal(reference, removed, error) a word, in their order: `removed` is the id's text,
        or None with the BockerError that stopped this one. All words are resolved first.
    repair.cleanup(kernel, settings) -> Cleaned(lines, errors)
        Lines to print (`Removed: ps_42045`), none when there was nothing to clean up; and why other things could
        not be done.
    setup.check(kernel, settings, interpreter_mount=None) -> tuple[Need, ...]   Need(name, met, detail)
    setup.setup(kernel, settings, SetupOptions(...)) -> tuple[str, ...]     lines: what it did
    setup.undo(kernel, settings, delete_data=False) -> tuple[str, ...]      lines: what it took back

`console` is a `console.Console`: where a program's output goes.
"""
