"""What the model generates at each checkpoint: the same few pictures of the data, described as training progresses.

    RUN/samples.jsonl      one line per checkpoint and picture: step, number, key, says, text (the target)
    RUN/samples/0.jpg      the pictures, small

It is meant to be read beside the loss. It changes no number of the training, which continues if it fails.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image
from torch import Tensor

from core.datasets.samples.sample import BrokenLog, Sample
from core.errors import printable
from core.files.journal import replaced
from plugins.minigpt4.runtime.pixels import pixels
from training.checkpoints import SAMPLES
from training.data.stream import open_stream
from training.packing import Words
from training.recipes import Recipe
from training.tasks import SampleWording, TrainingTask, words_of

if TYPE_CHECKING:
    from training.feed import Feed

LONGEST: Final = 80  # tokens of a description
SHOWN: Final = 320  # pixels of a stored picture's longer side


class Samples:
    """The pictures that are described, chosen when they are first needed: the same ones whenever a run resumes."""

    def __init__(self, run: Path, recipe: Recipe, feed: Feed) -> None:
        self.run, self.recipe, self.feed = run, recipe, feed
        self._chosen: list[tuple[Sample, Words]] = []
        self._broken = False

    def write(self, task: TrainingTask, step: int) -> None:
        """Describe each picture with `task` and append the texts to samples.jsonl."""
        if self._broken:
            return
        try:
            if not self._chosen:
                self._choose()
            says = [say(task, self.feed.wording, words, self._inputs(task, sample)) for sample, words in self._chosen]
            with (self.run / SAMPLES).open("a", encoding="utf-8", errors="backslashreplace") as file:
                for number, ((sample, _), text) in enumerate(zip(self._chosen, says, strict=True)):
                    line = {"step": step, "number": number, "key": sample.key, "says": text, "text": sample.text}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except Exception as error:  # noqa: BLE001 - what is only meant to be read must not stop a training
            self._broken = True
            print(f"note: no samples at the checkpoints: {printable(error, 200)}", file=sys.stderr, flush=True)

    def _choose(self) -> None:
        recipe, features = self.recipe, self.feed.features
        with open_stream(
            recipe.data, seed=recipe.seed, epochs=1, shuffle_buffer=0, broken=BrokenLog(max_share=1.0)
        ) as stream:
            for sample in stream:
                if features is not None and sample.sha256 not in features:
                    continue
                number = len(self._chosen)
                words = words_of(self.feed.wording, sample, f"sample {number}")
                self._store(sample, number)
                self._chosen.append((sample, words))
                if number + 1 == recipe.samples:
                    break

    def _store(self, sample: Sample, number: int) -> None:
        small = sample.open().image.copy()
        small.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
        folder = self.run / "samples"
        folder.mkdir(exist_ok=True)
        with replaced(folder / f"{number}.jpg") as file:
            small.save(file, "JPEG", quality=85)

    def _inputs(self, task: TrainingTask, sample: Sample) -> Tensor:
        """Return (1, tokens, width): the projection's input."""
        device = next(task.language_projection.parameters()).device
        if self.feed.features is not None:
            features: Tensor = self.feed.features.get(sample.sha256)
            return features[None].to(device)
        checked = self.feed.checked
        return task.encode(pixels([sample.open()], checked.image_size, checked.mean, checked.std).to(device))


@torch.no_grad()
def say(task: TrainingTask, wording: SampleWording, words: Words, features: Tensor) -> str:
    """Return what the model generates after the prompt in `words`, with greedy decoding.

    `features` (1, tokens, width) are of the picture. Leaves the task in training mode.
    """
    model, tokenizer = task.language_model, wording.tokenizer
    task.eval()
    try:
        ends: list[Any] = [tokenizer.eos_token_id]
        end = tokenizer(wording.end, add_special_tokens=False).input_ids if wording.end else []
        ends += end if len(end) == 1 else []  # decoding leaves a special one out
        generated = model.generate(
            **task.generation_inputs(words, features),
            do_sample=False,
            max_new_tokens=min(LONGEST, wording.recipe.max_target_tokens),
            eos_token_id=ends,
            pad_token_id=tokenizer.eos_token_id,
        )
        text: str = tokenizer.decode(generated[0], skip_special_tokens=True)
        return " ".join((text.partition(wording.end)[0] if wording.end else text).split())
    finally:
        task.learning()
