"""The program behind `Lab.spawn`: does what its standard input says, a line each, and answers in a line."""

import os
import sys

PAGE_BYTES = 4096
eaten = []


def eat(size_bytes):
    memory = bytearray(int(size_bytes))
    memory[::PAGE_BYTES] = b"x" * len(range(0, len(memory), PAGE_BYTES))
    eaten.append(memory)
    return 0


def fork():
    read_end, write_end = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        return error.errno
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)  # ends when the parent does
        os._exit(0)
    os.close(read_end)
    return 0


def open_device(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return error.errno
    return 0


VERBS = {"eat": eat, "fork": fork, "open": open_device}
os.chroot(sys.argv[1])
os.chdir("/")
print(0, flush=True)
for line in sys.stdin:
    verb, *arguments = line.split()
    print(VERBS[verb](*arguments), flush=True)
