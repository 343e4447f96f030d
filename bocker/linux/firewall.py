"""Masquerading by nftables, through the library that the `nft` program is made of.

libnftables takes the program's own language and runs one text as one transaction. `nft` 1.0.6 has
no `destroy`, so a table is added (nothing happens when it is there), deleted and made again in one.
Source: libnftables(3), libnftables-json(5).
"""

from __future__ import annotations

import errno
import os

from bocker.core.addresses import Subnet, parse_address
from bocker.kernel.firewall import Firewall
from bocker.linux.errors import ToolError, translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIBRARY = "libnftables.so.1"
_JSON_OUTPUT = 1 << 4
_NETLINK_NETFILTER = 12
_NO_SUCH_FAMILY = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)
_TOLD_ERRORS = (errno.ENOENT, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, *_NO_SUCH_FAMILY)
_REMOVE = """
add table ip {table}
delete table ip {table}
"""
_REPLACE = (
    _REMOVE
    + """
table ip {table} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {subnet} oifname != "{bridge}" masquerade
    }}
}}
"""
)


class LinuxFirewall(Firewall):
    """The ip family of nftables, in the network namespace that the program is in."""

    __slots__ = ("_library",)

    def __init__(self, library: str = LIBRARY) -> None:
        self._library = library

    def ensure_masquerade(self, table: str, subnet: Subnet, bridge: str) -> None:
        """See the port."""
        with translated("firewall.ensure_masquerade", table):
            self._run(_REPLACE.format(table=_word(table), subnet=subnet, bridge=_word(bridge)))

    def masqueraded(self, table: str) -> Subnet | None:
        """See the port."""
        with translated("firewall.masqueraded", table):
            try:
                listed = self._list(f"list table ip {_word(table)}")
            except ToolError as error:
                if error.errno == errno.ENOENT:
                    return None
                raise
        return next(filter(None, (_subnet_of(item["rule"]["expr"]) for item in listed if "rule" in item)), None)

    def remove(self, table: str) -> None:
        """See the port."""
        with translated("firewall.remove", table):
            self._run(_REMOVE.format(table=_word(table)))

    def tables(self) -> tuple[str, ...]:
        """See the port."""
        with translated("firewall.tables", ""):
            listed = self._list("list tables ip")
        return tuple(sorted(item["table"]["name"] for item in listed if "table" in item))

    def _list(self, command: str) -> list[dict[str, Any]]:
        import json

        listed: list[dict[str, Any]] = json.loads(self._run(command, _JSON_OUTPUT))["nftables"]
        return listed

    def _run(self, commands: str, flags: int = 0) -> bytes:
        """Run commands as one transaction in a context of their own and return what they say."""
        library = _load(self._library)
        context = library.nft_ctx_new(0)
        try:
            library.nft_ctx_output_set_flags(context, flags)
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            if library.nft_run_cmd_from_buffer(context, commands.encode()):
                raise _failure(os.fsdecode(library.nft_ctx_get_error_buffer(context)))
            said: bytes = library.nft_ctx_get_output_buffer(context)
            return said
        finally:
            library.nft_ctx_free(context)


def _load(name: str) -> Any:
    """Load the library; raise OSError with ENOSYS where it, or the kernel's part, is missing."""
    import ctypes
    import socket

    try:  # without the kernel's part, nft_ctx_new ends the whole program
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER).close()
        library = ctypes.CDLL(name)
    except OSError as error:
        raise OSError(errno.ENOSYS, "no nftables") from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    for function in (library.nft_ctx_get_output_buffer, library.nft_ctx_get_error_buffer):
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    for function in (library.nft_ctx_buffer_output, library.nft_ctx_buffer_error, library.nft_ctx_free):
        function.argtypes = [ctypes.c_void_p]
    return library


def _failure(text: str) -> ToolError:
    """The library answers in words only, the errno's own among them."""
    number = next((number for number in _TOLD_ERRORS if os.strerror(number) in text), errno.EINVAL)
    return ToolError(errno.EOPNOTSUPP if number in _NO_SUCH_FAMILY else number, " ".join(text.split()))


def _word(name: str) -> str:
    """Return a name that means only itself in the library's language; raise OSError for another."""
    if not name.isascii() or not name.replace("_", "a").replace("-", "a").replace(".", "a").isalnum():
        raise OSError(errno.EINVAL, "not a plain name")
    return name


def _subnet_of(expressions: list[dict[str, Any]]) -> Subnet | None:
    """Return the source subnet of a rule that masquerades, None for any other rule."""
    if not any("masquerade" in expression for expression in expressions):
        return None
    for match in (expression["match"] for expression in expressions if "match" in expression):
        if match["left"] == {"payload": {"protocol": "ip", "field": "saddr"}} and "prefix" in match["right"]:
            prefix = match["right"]["prefix"]
            return Subnet(parse_address(prefix["addr"]), prefix["len"])
    return None
