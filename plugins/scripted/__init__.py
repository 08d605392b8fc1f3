"""The `scripted` questioner: a rule-based baseline that needs no model, no key and no network.

It parses the answers for things and asks for number, colour, place, material, action and surroundings, each once. It
follows up on new things, and summarises the certain answers; the summary states nothing that was not answered. Use it
to compare vision models under equal questions, to run offline, and to measure what a language model adds as a
questioner. It asks and writes in English only.

`reading.py` (with `lexicon.py` and `topics.py`) parses answers, `knowledge.py` stores the facts, `asking.py` chooses
questions, `writing.py` writes the summary, `video.py` does both for videos, and `model.py` is the LangChain model.
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
        description="rule-based baseline; no model, no key, no network",
    )


def __getattr__(name: str) -> Any:
    if name == "ScriptedQuestioner":  # on demand: listing plugins must not import langchain
        from plugins.scripted.model import ScriptedQuestioner

        return ScriptedQuestioner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
