"""Objects that are used in a `with` block."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager


class Closing(AbstractContextManager):  # type: ignore[type-arg]
    """A context manager whose block ends with `close`."""

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Free what is held."""
