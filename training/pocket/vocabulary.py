"""pocket's tokenizer, and the tokens of the vision model's hints."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from core.datasets.text_lines import split_lines
from plugins.imagenet import tower
from plugins.pocket import modeling
from plugins.pocket.colours import COLOURS
from plugins.pocket.transformers_model import PocketForConditionalGeneration
from training.pocket.photo_questions import Hints, PhotoQuestions
from training.pocket.scene_questions import SceneQuestions
from training.pocket.wording import DO_NOT_KNOW, NOT_A_THING, STRANGER, UNANSWERABLE

IMAGENET = Path(tower.__file__).with_name("classes.tsv")
IMAGE = "<image>"
HINT_WORDS = (
    *(f"<seen{i}>" for i in range(3)),
    *(f"<sure{i}>" for i in range(3)),
    *(f"<group{i}>" for i in range(2)),
    *(f"<place{i}>" for i in range(9)),
    *(f"<set{i}>" for i in range(3)),
    "<none>",
)
CHAT = ("###", "Human:", "Assistant:", "<Img>", "</Img>")
VOCABULARY = 4096
SETTINGS = ("", "indoors", "outdoors")
CONFIDENCE = ("none", "maybe", "sure")
COLUMNS = ("left", "middle", "right")
ROWS = ("top", "centre", "bottom")


@lru_cache(maxsize=1)
def imagenet() -> list[tuple[str, str, str]]:
    """(phrase, group, setting) of the 1,000 classes, in the tower's order; all with articles."""
    rows = [line.split("\t") for line in split_lines(IMAGENET.read_text(encoding="utf-8")) if not line.startswith("#")]
    return [(row[2], row[3], row[4]) for row in rows]


def groups() -> list[str]:
    """The names of the groups with their articles; the first is empty."""
    bare = sorted({group for _, group, _ in imagenet() if group})
    return ["", *(f"{'an' if word[0] in 'aeiou' else 'a'} {word}" for word in bare)]


def fill_class_tables(vision: modeling.PocketVision) -> None:
    """Write the group and the setting of each class into the vision model's buffers."""
    rows = {words.split(" ", 1)[1]: row for row, words in enumerate(groups()) if words}
    for index, (_, group, setting) in enumerate(imagenet()):
        vision.group_of[index] = rows.get(group, 0)
        vision.setting_of[index] = SETTINGS.index(setting)


def corpus(truths: list[dict[str, Any]], names: list[tuple[str, str]]) -> Iterator[str]:
    """The training text of the tokenizer: every name often enough to become a token, and sample answers."""
    rng = random.Random(0)
    classes = [phrase for phrase, _, _ in imagenet()]
    bare = [phrase.split(" ", 1)[1] for phrase in classes]
    for _ in range(12):
        yield from (f" {name}" for name, _ in names)
        yield from (f" {name}" for name in bare)
        yield from (f" {word}" for word in (*groups(), *NOT_A_THING, *DO_NOT_KNOW, *COLOURS))
        yield from UNANSWERABLE
    for truth in truths[:6000]:
        if truth["background"] != "photograph":
            for question, answer, _ in SceneQuestions(truth, names).pairs(rng, 6, chat=True):
                yield f"{question or ''} {answer}"
    for _ in range(3000):
        named = "sure", rng.choice(classes), True, rng.choice(groups()[1:])
        hints = Hints(*named, "left", "top", "outdoors", ("brown", "green"), ("grey",))
        for question, answer, _ in PhotoQuestions(hints, names, bare).pairs(rng, 5, chat=True):
            yield f"{question or ''} {answer}"


def train_tokenizer(text: Iterator[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE over lower-cased text; every name becomes one token, and nothing is out of vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", IMAGE, *CHAT, *HINT_WORDS, *(f"<{colour}>" for colour in COLOURS)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=4,
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", padding_side="left"
    )
    fast.add_special_tokens({"additional_special_tokens": [IMAGE, *CHAT]})
    return fast


def fill_hint_tables(model: PocketForConditionalGeneration, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write the tokens of the hints into the model's buffers."""
    vision = model.vision_model
    none = tokenizer.convert_tokens_to_ids("<none>")
    words = [*HINT_WORDS, *(f"<{colour}>" for colour in COLOURS)]
    [plain] = tokenizer(" plain", add_special_tokens=False).input_ids
    model.hint_words.copy_(torch.tensor([*tokenizer.convert_tokens_to_ids(words), plain]))

    def ids(text: str, length: int) -> torch.Tensor:
        found = tokenizer(f" {text}", add_special_tokens=False).input_ids if text else []
        if len(found) > length:
            raise ValueError(f"{text!r} takes {len(found)} tokens, a hint holds {length}: enlarge the vocabulary")
        return torch.tensor(found + [none] * (length - len(found)))

    fill_class_tables(vision)
    vision.group_ids.fill_(none)
    for row, name in enumerate(["", *model.config.pocket_names, STRANGER]):
        found = tokenizer(f" {name}", add_special_tokens=False).input_ids[: modeling.NAME_TOKENS] if name else []
        vision.name_ids[row] = torch.tensor(found + [none] * (modeling.NAME_TOKENS - len(found)))
    for row, group in enumerate(groups()):
        vision.group_ids[row] = ids(group, modeling.GROUP_TOKENS)
    for row, (phrase, _, _) in enumerate(imagenet()):
        vision.phrase_ids[row] = ids(phrase, modeling.GUESS_TOKENS)


def hints(facts: list[int]) -> Hints:
    """The facts of the vision model (see `PocketVision.facts`) in words."""
    _level, confidence, index, group, column, row, setting, *colours = facts
    phrase, bare_group, _ = imagenet()[index]
    words = [COLOURS[c - 1] for c in colours[:3] if c], [COLOURS[c - 1] for c in colours[3:5] if c]
    named = f"{'an' if bare_group[0] in 'aeiou' else 'a'} {bare_group}" if bare_group else ""
    return Hints(
        CONFIDENCE[confidence],
        phrase if confidence else "",
        bool(group),
        named,
        COLUMNS[column],
        ROWS[row],
        SETTINGS[setting],
        tuple(words[0]),
        tuple(words[1]),
    )
