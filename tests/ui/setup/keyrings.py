"""A fake of the system's keyring, which keeps keys in memory only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError


class FakeKeyring(KeyringBackend):
    """A fake: nothing is encrypted, and nothing outlives the test."""

    priority: ClassVar[float] = 5  # type: ignore[assignment]
    locked = False

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    @property
    def name(self) -> str:  # type: ignore[override]
        return "fake keyring of the tests"

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check(password)
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("not found")

    def _check(self, password: str = "") -> None:
        if self.locked:
            raise KeyringLocked(f"locked, and this line holds {password}")


class NoKeyring(FakeKeyring):
    """A fake of a machine without a keyring, such as a server: keyring's own backend for that has priority 0."""

    priority: ClassVar[float] = 0  # type: ignore[assignment]


@contextmanager
def in_use(backend: FakeKeyring) -> Iterator[FakeKeyring]:
    """`backend` is the system's keyring inside the block."""
    before = keyring.get_keyring()
    keyring.set_keyring(backend)
    try:
        yield backend
    finally:
        keyring.set_keyring(before)
