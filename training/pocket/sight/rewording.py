"""The same question in other words: with the thing first, or with words before and behind it."""

from __future__ import annotations

import random
import re
import tomllib
from pathlib import Path
from typing import Final

_TEXT: Final = tomllib.loads(Path(__file__).parents[1].joinpath("data", "sight.toml").read_text("utf-8"))["reworded"]
REWORDED: Final = 0.4  # share of the questions
_FORMS: Final = {  # what a question must look like, by the table of its other forms
    "colour": re.compile(r"^(?:what|which) colou?r (?P<be>is|are) (?P<name>the [a-z -]++)\?"),
    "place": re.compile(r"^where (?P<be>is|are) (?P<name>the [a-z -]++)\?"),
    "number": re.compile(r"^how many (?P<name>[a-z -]+) (?:are there|do you see|can you see)\?"),
    "presence": re.compile(r"^(?:is|are) there (?P<name>an? [a-z -]+?)(?: in the picture| here)?\?"),
}


def reworded(rng: random.Random, question: str) -> str:
    """Sometimes the question in other words."""
    if rng.random() >= REWORDED or not question.endswith("?"):
        return question
    for kind, form in _FORMS.items():
        if (match := form.fullmatch(question)) and rng.random() < 0.7:
            groups = match.groupdict("")
            it = {"is": "it", "are": "they"}.get(groups.get("be", ""), "it")
            question = rng.choice(_TEXT[kind]).format(name=groups["name"], be=groups.get("be", ""), it=it)
            break
    if rng.random() < 0.6:
        question = f"{rng.choice(_TEXT['before'])} {question}"
    elif rng.random() < 0.3:
        question = f"{question.rstrip('?')}{rng.choice(_TEXT['behind'])}"
    return question
