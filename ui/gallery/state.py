"""The state of the page Gallery for one visitor; it survives a reload."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.settings import get_settings
from ui.gallery.runs.request import RunRequest
from ui.state.items import DialogueSettings
from ui.state.options import get_options

if TYPE_CHECKING:
    from ui.state.session import Visitor


@dataclass
class GalleryPageState:
    """The state of the page Gallery."""

    typed: str = ""
    """The folder of this machine, as typed."""
    place: str = "folder"
    dialogue: DialogueSettings = field(default_factory=DialogueSettings)
    rounds: int = field(default_factory=lambda: get_settings().rounds)
    price_in: float | None = None
    price_out: float | None = None
    replace: bool = False
    style: str = "description"
    purpose: str = ""
    prefix: str = ""
    suffix: str = ""
    trigger: str = ""
    max_chars: int | None = None

    def request(self) -> RunRequest:
        """The run that the form describes."""
        one = self.dialogue
        return RunRequest(
            vision=one.vision,
            questioner=one.questioner,
            witnesses=tuple(one.witnesses),
            rounds=self.rounds,
            audit=one.audit,
            style=self.style,
            purpose=self.purpose.strip(),
            prefix=self.prefix,
            suffix=self.suffix,
            trigger=self.trigger.strip(),
            max_chars=self.max_chars,
            language=one.language.strip(),
            seed=one.seed,
            price_in=self.price_in,
            price_out=self.price_out,
            replace=self.replace,
        )


def page_state(me: Visitor) -> GalleryPageState:
    """The visitor's state of the page; at first with the folder that the dashboard was started with."""

    def make() -> GalleryPageState:
        options = get_options()
        given = options.folder is not None and options.may_use_server_paths
        return GalleryPageState(typed=str(options.folder) if given else "")

    return me.keep("gallery", make)
