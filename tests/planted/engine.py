"""Mistakes in the engine and in the rules: those that its authors feared, and some that they made."""

from __future__ import annotations

from tests.planted.bug import (
    CHECK_BEFORE_USE,
    FORGOTTEN_FSYNC,
    FORGOTTEN_STEP,
    LOST_UNDO,
    WRONG_MASK,
    WRONG_ORDER,
    Bug,
)

RUN, BUILDING, TAGS, REMOVAL = (f"bocker/engine/{name}.py" for name in ("run", "building", "tags", "removal"))
PLAN, SETUP, IMAGES = (f"bocker/engine/{name}.py" for name in ("plan", "setup", "images"))
REPAIR, STORE, RESOLVE = (f"bocker/engine/{name}.py" for name in ("repair", "store", "resolve"))
SWEEP = "tests/unit/engine/test_sweep.py"
CRASHES = "tests/unit/images/test_crashes.py"
HARDER_CRASHES = "tests/unit/engine/test_crashes.py"
TWO = "tests/unit/images/test_two_engines.py"
RACES = "tests/unit/engine/test_races.py"
LIFE = "tests/unit/engine/test_lifecycle_machine.py"
IMAGE_LIFE = "tests/unit/images/test_image_machine.py"

BUGS = (
    Bug(
        "run-keeps-the-snapshot",
        LOST_UNDO,
        RUN,
        "undo.act(lambda: kernel.storage.snapshot(str(job.image), root), store.delete_subvolume, kernel, root)",
        "kernel.storage.snapshot(str(job.image), root)",
        (SWEEP, "-k", "leaves_nothing and run"),
    ),
    Bug(
        "run-keeps-the-group",
        LOST_UNDO,
        RUN,
        "undo.act(lambda: kernel.cgroups.create(spec.group), kernel.cgroups.remove, spec.group)",
        "kernel.cgroups.create(spec.group)",
        (SWEEP, "-k", "leaves_nothing and run"),
    ),
    Bug(
        "a-lost-answer-is-not-undone",
        LOST_UNDO,
        "bocker/engine/undo.py",
        "            if type(error) is KernelError:\n                self.push(step, *arguments)\n            raise",
        "            raise",
        (SWEEP, "-k", "leaves_nothing and run"),
    ),
    Bug(
        "a-published-image-is-not-taken-back",
        LOST_UNDO,
        BUILDING,
        "        undo.push(store.delete_subvolume, kernel, str(image))\n",
        "",
        (SWEEP, "-k", "leaves_nothing and init"),
    ),
    Bug(
        "an-exchange-is-not-taken-back",
        LOST_UNDO,
        BUILDING,
        "        undo.push(kernel.storage.exchange, aside_of(image), str(image))\n",
        "",
        (SWEEP, "-k", "leaves_nothing and commit"),
    ),
    Bug(
        "rm-looks-before-it-locks",
        CHECK_BEFORE_USE,
        REMOVAL,
        "        meant = resolve.find_image(kernel, reference)\n        if meant is None:  # somebody was faster\n",
        "        meant = image\n        if meant is None:\n",
        (RACES,),
    ),
    Bug(
        "rmi-looks-before-it-locks",
        CHECK_BEFORE_USE,
        TAGS,
        "            if resolve.find_image(kernel, reference) != image:"
        "  # a tag moved meanwhile, or somebody was faster\n                continue\n",
        "",
        (TWO, "-k", "rmi"),
    ),
    Bug(
        "prune-looks-before-it-locks",
        CHECK_BEFORE_USE,
        TAGS,
        "        if image not in store.image_ids(kernel) or not (tagged_too or _has_no_tag(kernel, image)):\n"
        "            return False\n",
        "",
        (RACES,),
    ),
    Bug(
        "a-name-is-looked-up-before-it-is-locked",
        CHECK_BEFORE_USE,
        RUN,
        "    with kernel.records.lock(store.NAMES_LOCK):\n        owner = resolve.named(kernel, name)\n",
        "    owner = resolve.named(kernel, name)\n    with kernel.records.lock(store.NAMES_LOCK):\n",
        (RACES,),
    ),
    Bug(
        "a-tag-goes-to-an-image-that-is-gone",
        CHECK_BEFORE_USE,
        TAGS,
        "        if not store.has_subvolume(kernel, str(image)):\n"
        "            raise NoSuchImage(reference)\n        with",
        "        with",
        (TWO, "-k", "tag"),
    ),
    Bug(
        "the-dead-are-judged-by-an-old-record",
        CHECK_BEFORE_USE,
        REPAIR,
        "        try:\n            current = store.load_container(kernel, container)\n"
        "        except Missing:\n            return None\n        return bury(",
        "        current = record\n        return bury(",
        (RACES,),
    ),
    Bug(
        "strays-are-looked-for-once",
        CHECK_BEFORE_USE,
        STORE,
        "    for _ in range(2):\n        stray = stray and",
        "    for _ in range(1):\n        stray = stray and",
        (RACES,),
    ),
    Bug(
        "created-is-said-before-it-is-on-disk",
        FORGOTTEN_FSYNC,
        BUILDING,
        "        undo.push(store.delete_subvolume, kernel, str(image))\n        kernel.storage.sync()\n",
        "        undo.push(store.delete_subvolume, kernel, str(image))\n",
        (HARDER_CRASHES, "-k", "reported"),
    ),
    Bug(
        "an-image-has-its-name-before-its-files",
        FORGOTTEN_FSYNC,
        BUILDING,
        "    kernel.storage.sync()  # its size, too, is known only when it is on disk\n",
        "",
        (HARDER_CRASHES, "-k", "any_instant or kernel_wrote"),
    ),
    Bug(
        "tags-are-written-without-a-sync",
        FORGOTTEN_FSYNC,
        TAGS,
        "store.encode(ImageTags(str(image), tags)), durable=True)",
        "store.encode(ImageTags(str(image), tags)))",
        (HARDER_CRASHES, "-k", "power"),
    ),
    Bug(
        "a-tag-is-taken-without-a-sync",
        FORGOTTEN_FSYNC,
        RESOLVE,
        "store.encode(kept), durable=True)",
        "store.encode(kept))",
        (HARDER_CRASHES, "-k", "two_commands"),
    ),
    Bug(
        "the-content-is-written-without-a-sync",
        FORGOTTEN_FSYNC,
        BUILDING,
        "store.encode(content), durable=True)",
        "store.encode(content))",
        (HARDER_CRASHES, "-k", "power"),
    ),
    Bug(
        "the-record-of-setup-is-not-synced",
        FORGOTTEN_FSYNC,
        SETUP,
        "            self.kernel.state.write(KEY, jsontext.dumps(to_data(record)), durable=True)",
        "            self.kernel.state.write(KEY, jsontext.dumps(to_data(record)))",
        (HARDER_CRASHES, "tests/unit/engine/test_setup.py"),
    ),
    Bug(
        "undo-in-the-order-of-doing",
        WRONG_ORDER,
        "bocker/engine/undo.py",
        "= self._steps.pop()",
        "= self._steps.pop(0)",
        ("tests/unit/engine/test_undo.py",),
    ),
    Bug(
        "the-record-goes-first",
        WRONG_ORDER,
        REMOVAL,
        "    harmless(kernel.namespaces.remove, addresses.namespace_of(container))\n"
        "    harmless(kernel.cgroups.remove, str(container))\n",
        "    harmless(kernel.records.remove, store.container_key(container))\n"
        "    harmless(kernel.namespaces.remove, addresses.namespace_of(container))\n"
        "    harmless(kernel.cgroups.remove, str(container))\n",
        (CRASHES, "-k", "rm or run"),
    ),
    Bug(
        "an-image-loses-its-record-first",
        WRONG_ORDER,
        REMOVAL,
        "    gone = gone_of(image)\n    uuid = None\n",
        "    gone = gone_of(image)\n    uuid = None\n    harmless(kernel.records.remove, store.image_key(image))\n",
        (CRASHES, "-k", "rm"),
    ),
    Bug(
        "a-tag-is-taken-before-it-is-given",
        WRONG_ORDER,
        TAGS,
        """            tags = resolve.tags_of(kernel, image)
            if name not in tags:
                _change(kernel, image, tags, (*tags, name), undo)
            for holder, theirs in resolve.others_with(kernel, name, image):
                _change(kernel, holder, theirs, resolve.without(theirs, name), undo)
""",
        """            tags = resolve.tags_of(kernel, image)
            for holder, theirs in resolve.others_with(kernel, name, image):
                _change(kernel, holder, theirs, resolve.without(theirs, name), undo)
            if name not in tags:
                _change(kernel, image, tags, (*tags, name), undo)
""",
        (CRASHES, "-k", "tag"),
    ),
    Bug(
        "setup-makes-before-it-notes",
        WRONG_ORDER,
        SETUP,
        """            self.note(bridge=name, subnet=str(self.subnet))
            network.create_bridge(name, BRIDGE_MAC)
""",
        """            network.create_bridge(name, BRIDGE_MAC)
            self.note(bridge=name, subnet=str(self.subnet))
""",
        (HARDER_CRASHES, "-k", "setup"),
    ),
    Bug(
        "old-layers-stay-after-a-commit",
        FORGOTTEN_STEP,
        IMAGES,
        "        collect(kernel)  # layers that only the content before had\n",
        "",
        ("tests/unit/images/test_pull.py", "-k", "layers"),
    ),
    Bug(
        "the-older-image-has-the-tag",
        WRONG_ORDER,
        RESOLVE,
        "    return max(holders, key=lambda image: (_created_ns(kernel, image), image.number))",
        "    return min(holders, key=lambda image: (_created_ns(kernel, image), image.number))",
        (CRASHES,),
    ),
    Bug(
        "the-newest-number-has-the-tag",
        WRONG_ORDER,
        RESOLVE,
        "key=lambda image: (_created_ns(kernel, image), image.number))",
        "key=lambda image: image.number)",
        ("tests/unit/engine/test_images.py",),
    ),
    Bug(
        "a-right-too-many",
        WRONG_MASK,
        PLAN,
        '    "AUDIT_WRITE",\n)',
        '    "AUDIT_WRITE",\n    "SYS_PTRACE",\n)',
        ("tests/unit/engine/test_plan.py",),
    ),
    Bug(
        "every-disk-can-be-opened",
        WRONG_MASK,
        PLAN,
        'DeviceRule("b", None, None, "m")',
        'DeviceRule("b", None, None, "rwm")',
        ("tests/unit/engine/test_plan.py",),
    ),
    Bug(
        "setuid-works-in-shared-memory",
        WRONG_MASK,
        PLAN,
        'Mount("tmpfs", "/dev/shm", flags=("nosuid", "noexec", "nodev")',
        'Mount("tmpfs", "/dev/shm", flags=("noexec", "nodev")',
        ("tests/unit/engine/test_plan.py",),
    ),
    Bug(
        "a-path-is-not-masked",
        WRONG_MASK,
        PLAN,
        '    "/proc/kcore",\n',
        "",
        ("tests/unit/engine/test_plan.py",),
    ),
    Bug(
        "a-store-with-setuid-is-good-enough",
        WRONG_MASK,
        SETUP,
        'RESTRICTIONS = frozenset({"nosuid", "nodev"})',
        'RESTRICTIONS = frozenset({"nodev"})',
        ("tests/unit/engine/test_setup.py",),
    ),
    Bug(
        "signals-above-15-are-cut",
        WRONG_MASK,
        "bocker/engine/relay.py",
        "SIGNALLED + (ending.signal or 0)",
        "SIGNALLED | (ending.signal or 0) & 0x0F",
        ("tests/unit/engine/test_run.py",),
    ),
)
