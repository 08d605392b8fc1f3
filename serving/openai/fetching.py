"""Get a picture from the web for a request: allowed hosts only, public addresses only, no redirects, bounded.

The address that was checked is the one that is connected to, so a name that changes its address gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.errors import UsageError, printable
from core.images.picture import MAX_BYTES
from core.net.remote import without_credentials

SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Calls itself a `serving.openai.conversation.Fetch`."""

    hosts: Sequence[str]
    """Allowed hosts: example.org, *.example.org, or * for all."""
    private: bool = False
    """Also addresses that are not public; for tests and closed networks."""
    most: int = MAX_BYTES

    def __call__(self, url: str) -> bytes:
        """The bytes of a picture. Raises UsageError, one line that holds nothing of what the server at `url` sent."""
        import httpx

        shown = f"'{printable(without_credentials(url[:300].partition('?')[0]), 80)}'"
        try:
            address = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            raise UsageError(f"{shown} is not a web address") from None
        host = address.host.rstrip(".").lower()
        if address.userinfo or not host or not any(_matches(host, pattern) for pattern in self.hosts):
            raise UsageError(f"this server does not open {shown}: its host is not among those allowed with --fetch")
        pinned = address.copy_with(host=self._public_address(host, shown))
        headers = {"host": address.netloc.decode("ascii"), "accept": "image/*"}
        try:
            with (
                httpx.Client(trust_env=False, follow_redirects=False, timeout=SECONDS) as client,
                client.stream("GET", pinned, headers=headers, extensions={"sni_hostname": host}) as answer,
            ):
                if answer.status_code != 200:
                    raise UsageError(
                        f"{shown} was answered with status {answer.status_code}; redirects are not followed"
                    )
                return self._bounded(answer, shown)
        except httpx.HTTPError as error:
            raise UsageError(f"{shown} could not be opened: {type(error).__name__}") from None

    def _public_address(self, host: str, shown: str) -> str:
        try:
            found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError):
            found = set()
        if not found:
            raise UsageError(f"{shown}: the host is unknown")
        if not self.private and not all(_is_public(address) for address in found):
            raise UsageError(f"this server does not open {shown}: its address is not a public one")
        return sorted(found, key=lambda address: (":" in address, address))[0]

    def _bounded(self, answer: Any, shown: str) -> bytes:
        data = bytearray()
        for piece in answer.iter_bytes():
            data += piece
            if len(data) > self.most:
                raise UsageError(f"{shown} is larger than the {self.most:,} bytes allowed")
        return bytes(data)


def _matches(host: str, pattern: str) -> bool:
    pattern = pattern.lower()
    return pattern in ("*", host) or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _is_public(address: str) -> bool:
    one = ipaddress.ip_address(address.partition("%")[0])
    one = getattr(one, "ipv4_mapped", None) or one
    return one.is_global and not one.is_multicast
