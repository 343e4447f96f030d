"""bocker: a container engine for one Linux host, small enough to read in an afternoon.

The rooms, from the inside out (`docs/concepts.md` tells the story):

- `core`    values and rules: no input or output, no clock, no chance;
- `kernel`  the ports: what bocker asks of a kernel, as abstract classes;
- `linux`   the real kernel behind the ports;
- `fakes`   a kernel in memory behind the same ports;
- `engine`  policy: what a container and an image are, and what happens to them;
- `registry` the formats of images and the rules for speaking with registries;
- `cli`     what a person types.
"""

__version__ = "0.1.0"
