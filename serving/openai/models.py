"""The models that a server offers: each vision model, and the interview with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from agents.interview.driver import interview_picture
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from core.errors import UsageError, printable
from core.images.picture import Picture
from core.registry import get_registry
from serving.openai.names import public_name
from serving.queued import QueuedVision, Seen, queued

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

INTERVIEW: Final = "interview/"


@dataclass(frozen=True, slots=True)
class InterviewModel:
    """Interviews of a questioner and a vision model, as a model that describes pictures."""

    vision: QueuedVision
    questioner: BaseChatModel
    options: InterviewOptions
    prompts: Prompts

    def interview(self, picture: Picture, *, seed: int | None, limit: int | None) -> Iterator[Any]:
        """Yield the events of an interview. `limit`: most tokens of the description."""
        options = self.options if limit is None else replace(self.options, summary_tokens=limit)
        return interview_picture(picture, self.vision, self.questioner, options, prompts=self.prompts, seed=seed)


class Offer:
    """The models of a server by their ids, in the order of --vision."""

    def __init__(self, visions: Sequence[QueuedVision], questioner: BaseChatModel, options: InterviewOptions) -> None:
        prompts = Prompts.load()
        self.visions = {public_name(vision.name): vision for vision in visions}
        if len(self.visions) < len(visions):
            raise UsageError(f"two vision models have the same name here: {', '.join(v.name for v in visions)}")
        self._interviews = {
            f"{INTERVIEW}{name}": InterviewModel(vision, questioner, options, prompts)
            for name, vision in self.visions.items()
        }

    @property
    def ids(self) -> list[str]:
        """Ids of all models."""
        return [*self.visions, *self._interviews]

    def find(self, name: str) -> QueuedVision | InterviewModel | None:
        """The model with that id, or None."""
        return self.visions.get(name) or self._interviews.get(name)

    def unknown(self, name: str) -> str:
        """One line about a model that is not offered."""
        return f"the model '{printable(name, 60)}' is not offered here; this server has {', '.join(self.ids)}"

    def close(self) -> None:
        """Free the models."""
        for vision in self.visions.values():
            vision.close()


def load_visions(names: Sequence[str], *, batch: int, images: int, seen: Seen) -> list[QueuedVision]:
    """Load each vision model once. Raises RegistryError or BackendError."""
    registry = get_registry()
    return [
        queued(registry.create_vision(name), batch=batch, images=images, seen=seen) for name in dict.fromkeys(names)
    ]
