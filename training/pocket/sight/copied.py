"""Find the tokens that answers only ever copy: parts of names that stand in the sight, the facts or the question.

A language model of this size sometimes reads "crate" and writes "lizard". Where a picture holds no such token, pocket
may not write it (`pocket_copied` of its configuration, `PocketEngine.forbidden`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from plugins.pocket.asked import Vocabulary
from plugins.pocket.colours import COLOURS
from plugins.pocket.sight import Sight, entries, tokens_of
from training.pocket.sight.questions import Asked, SightQuestions
from training.pocket.sight.samples import random_sight
from training.pocket.sight.scene_words import WORDS
from training.pocket.vocabulary import imagenet

SAMPLES = 3000  # sights, each with several questions


def copied_tokens(tokenizer: Any, samples: int = SAMPLES) -> list[int]:
    """Ids of tokens that names need and that no answer holds unless the picture's symbols or the question hold them."""
    rng = random.Random(41)
    others = sorted({phrase.split(" ", 1)[1] for phrase, _, _ in imagenet()})
    vocabulary = Vocabulary(WORDS)
    found = ids_in(tokenizer, (f" {name}" for name in (*others, *vocabulary.subjects)))
    for _ in range(samples):
        sight = random_sight(rng, others)
        palette = rng.sample(COLOURS, 2)
        for asked in SightQuestions(sight, palette, vocabulary, others).pairs(rng, 8):
            found -= ids_in(tokenizer, [f" {asked.answer}"]) - shown(tokenizer, sight, asked)
    return sorted(found)


def ids_in(tokenizer: Any, texts: Iterable[str]) -> set[int]:
    """All token ids of these texts."""
    return {one for text in texts for one in tokenizer(text, add_special_tokens=False).input_ids}


def shown(tokenizer: Any, sight: Sight, asked: Asked) -> set[int]:
    """The tokens that stand before an answer."""
    question = f" {asked.question or ''}"
    return set(tokens_of(tokenizer, [*entries(sight), *asked.facts])[0]) | ids_in(tokenizer, [question])
