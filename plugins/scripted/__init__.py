"""The `scripted` questioner: it asks about what was named, and needs no model, no key and no network.

A baseline, not a fake: it reads the answers, picks out the things in them, asks for number, colour, place,
material, action and surroundings, each once, follows up on whatever is new, and writes a summary of the
certain answers. It knows grammar where a language model knows the world, so its questions are predictable
and its summary states nothing that was not answered. Use it to compare vision models under equal questions,
to run offline, and to see what a language model adds as a questioner. It asks and writes in English only.

Reading is in `reading.py` (with `lexicon.py` and `topics.py`), what was learned in `knowledge.py`, the choice of
questions in `asking.py`, the summary in `writing.py`, both about a video in `video.py`, and the LangChain model around
them in `model.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.hookspecs import hookimpl

if TYPE_CHECKING:
    from core.registry import Register
    from plugins.scripted.model import ScriptedQuestioner

__all__ = ["ScriptedQuestioner"]


@hookimpl
def register_questioners(register: Register) -> None:
    register(
        "scripted",
        "plugins.scripted.model:create",
        description="asks about what was named, by rules; no model, no key, no network",
    )


def __getattr__(name: str) -> Any:
    if name == "ScriptedQuestioner":  # on demand: listing plugins must not import langchain
        from plugins.scripted.model import ScriptedQuestioner

        return ScriptedQuestioner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
