"""A plugin for the tests of `--engine ray`: the fake eye of `making.py` in a worker of its own process.

It writes down that it was opened and who looked at what, and at pictures of a certain colour it waits for a file, or
dies.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from core import EncodedImage, Picture, Register, hookimpl
from tests.agents.batch.making import HashedEye

WAITS_FROM = 40  # as `making.make_pictures` numbers them: these wait for $GATE, where it is set
DIES_AT = 47  # kills its process, unless $DIED is there or not set


class WatchedEye(HashedEye):
    def __init__(self, argument: str | None = None) -> None:
        super().__init__(argument)
        self.note("opened")

    def note(self, what: str) -> None:
        with Path(os.environ["LOOKS"]).open("a") as log:
            log.write(f"{os.getpid()} {what}\n")

    @property
    def name(self) -> str:
        return "watched"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        for picture in pictures:
            number = picture.image.getpixel((0, 0))[0]
            died = os.environ.get("DIED")
            if number == DIES_AT and died and not Path(died).exists():
                Path(died).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            self.note(picture.sha256)
            gate = os.environ.get("GATE")
            end = time.monotonic() + 600
            while number >= WAITS_FROM and gate and not Path(gate).exists() and time.monotonic() < end:
                time.sleep(0.05)
        return super().encode(pictures)


def broken(argument: str | None = None) -> WatchedEye:
    raise ValueError("a bug in a plugin\nwith many lines")


@hookimpl
def register_vision_backends(register: Register) -> None:
    register("watched", WatchedEye, description="For tests.")
    register("bug", broken, description="For tests.")


def install(folder: Path) -> Path:
    """Make `folder`, which then belongs on PYTHONPATH, offer it."""
    info = folder / "ray_eye-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ray-eye\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[inquisight]\nray_eye = tests.agents.batch.ray_cluster.ray_eye\n", "utf-8")
    return folder
