"""The address on which a server of this machine listens."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from core.errors import UsageError, printable


def is_local(host: str) -> bool:
    """Whether `host` is a loopback name or address."""
    name = host.strip().strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def free_port(host: str, port: int) -> int:
    """`port`, or a free one for 0. Raises UsageError if it is in use."""
    if not 0 <= port <= 65535:
        raise UsageError(f"--port must be between 0 and 65535, not {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    except OSError as error:
        raise UsageError(f"--host {printable(host)} is not an address of this machine: {error.strerror}") from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise UsageError(f"{printable(host)}:{port} cannot be used: {reason}; choose another --port") from error
        return int(probe.getsockname()[1])
