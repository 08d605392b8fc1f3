"""Both models of a batch, by name: a value that can be sent to another process and loads them there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.interview.calls import check_language
from agents.interview.protocol import InterviewOptions
from core.registry import get_registry
from core.settings import Settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.vision import VisionBackend


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads the questioner first, which is quick and has the more ways to be named wrongly."""

    vision: str
    questioner: str
    seed: int | None
    options: InterviewOptions
    settings: Settings

    def __call__(self) -> tuple[VisionBackend, BaseChatModel]:
        """Both. Raises InquisightError."""
        questioner = self.load_questioner()
        return self.load_vision(), questioner

    def load_questioner(self) -> BaseChatModel:
        """The model that asks. Raises InquisightError."""
        from agents.llm.questioners import load_questioner

        # The pipeline keeps the pace itself, for plugins' questioners too.
        settings = self.settings.model_copy(update={"requests_per_second": None})
        questioner = load_questioner(self.questioner, settings, seed=self.seed)
        check_language(self.options, questioner)
        return questioner

    def load_vision(self) -> VisionBackend:
        """The model that sees. Raises InquisightError."""
        return get_registry().create_vision(self.vision)
