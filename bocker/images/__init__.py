"""Images that come in and go out: the engine's images put together with the registry's protocol and formats.

The room above `engine` and `registry` (decision 22). Every public function takes `kernel: Kernel, settings:
Settings` first, returns values, prints nothing, tells a `watch.Watch` how it gets on, and raises `BockerError`.
None of it is imported by `run` and `exec`.

    pull.pull(kernel, settings, PullRequest(name, platform, remote), watch) -> Pulled(image, digest, fresh)
    push.push(kernel, settings, PushRequest(reference, name, platform, remote), watch) -> Pushed(digest, size_bytes)
    save.save(kernel, settings, SaveRequest(references, platform, remote, path), watch) -> None
    load.load(kernel, settings, LoadRequest(path, platform), watch) -> tuple[Loaded(image, tags), ...]
    flat.export(kernel, settings, container, path) -> None
    flat.import_archive(kernel, settings, ImportRequest(path, tag, changes)) -> ImageId
    history.history(kernel, settings, reference) -> tuple[Step, ...]            the newest first
    inspect: what is known of images and containers, in docker's shape
    space.usages(kernel, settings) -> tuple[Usage, ...]                         what takes the space
    prune.plan / prune.prune(kernel, settings, Sought(...)) -> Plan / Pruned    what can be given back
    accounts.login / accounts.logout                                            a person's credentials

An image that comes in is `assembly`'s: layer by layer, each kept; what `pull` and `load` do alike is in `incoming`.
One that was made here is `seal`'s, when it is first to go out: its layer, its configuration, its manifest.
"""
