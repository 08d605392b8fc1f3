"""What the model says at each checkpoint: the same few pictures of the data, described as training goes on.

    RUN/samples.jsonl      one line per checkpoint and picture: step, number, key, says, text (what is to be learned)
    RUN/samples/0.jpg      the pictures, small

It is for people who read it beside the loss. It changes no number of the training, and where it cannot be done the
training goes on without it.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image
from torch import Tensor

from core.datasets.samples.sample import BrokenLog, Sample
from core.errors import printable
from plugins.minigpt4.runtime.pixels import pixels
from training.checkpoints import SAMPLES, log_entries, write_whole
from training.data.stream import open_stream
from training.packing import Words
from training.recipes import Recipe
from training.stages import StageTask, Wording

if TYPE_CHECKING:
    from training.feed import Feed

LONGEST: Final = 80  # tokens of what is said
SHOWN: Final = 320  # pixels of a kept picture's longer side


class Samples:
    """The pictures that are described, chosen when they are first needed: the same ones however often a run goes on."""

    def __init__(self, run: Path, recipe: Recipe, feed: Feed) -> None:
        self.run, self.recipe, self.feed = run, recipe, feed
        self._chosen: list[tuple[Sample, Words]] | None = None
        self._broken = False

    def write(self, task: StageTask, step: int) -> None:
        """Let `task` say something of each picture and append it to samples.jsonl."""
        if self._broken:
            return
        try:
            if self._chosen is None:
                self._chosen = self._choose()
            said = [say(task, self.feed.wording, words, self._inputs(task, sample)) for sample, words in self._chosen]
            with (self.run / SAMPLES).open("a", encoding="utf-8", errors="backslashreplace") as file:
                for number, ((sample, _), text) in enumerate(zip(self._chosen, said, strict=True)):
                    line = {"step": step, "number": number, "key": sample.key, "says": text, "text": sample.text}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except Exception as error:  # noqa: BLE001 - what is only for reading must not stop a training
            self._broken = True
            print(f"note: no samples at the checkpoints: {printable(error, 200)}", file=sys.stderr, flush=True)

    def _choose(self) -> list[tuple[Sample, Words]]:
        recipe, kept = self.recipe, self.feed.features
        stream = open_stream(
            recipe.data, seed=recipe.seed, epochs=1, shuffle_buffer=0, broken=BrokenLog(max_share=1.0), decode=True
        )
        found: list[tuple[Sample, Words]] = []
        try:
            for sample in stream:
                if kept is not None and sample.sha256 not in kept:
                    continue
                words = self.feed.wording.words(sample.text, sample.instruction, f"sample {len(found)}")
                self._keep(sample, len(found))
                found.append((sample, words))
                if len(found) == recipe.samples:
                    break
        finally:
            stream.close()
        return found

    def _keep(self, sample: Sample, number: int) -> None:
        small = sample.open().image.copy()
        small.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        small.save(out, "JPEG", quality=85)
        folder = self.run / "samples"
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{number}.jpg", out.getvalue())

    def _inputs(self, task: StageTask, sample: Sample) -> Tensor:
        """(1, tokens, width): what the projection takes in."""
        device = next(task.language_projection.parameters()).device
        if self.feed.features is not None:
            kept: Tensor = self.feed.features.get(sample.sha256)
            return kept[None].to(device)
        checked = self.feed.checked
        return task.look(pixels([sample.open()], checked.image_size, checked.mean, checked.std).to(device))


@torch.no_grad()
def say(task: StageTask, wording: Wording, words: Words, features: Tensor, longest: int = LONGEST) -> str:
    """What the model as it is now says after the prompt in `words`, the likeliest word each time.

    `features` (1, tokens, width) are of the picture. Leaves the task in training mode.
    """
    model, tokenizer = task.language_model, wording.tokenizer
    task.eval()
    try:
        embed = model.get_input_embeddings()
        device = embed.weight.device
        before, after = (
            embed(torch.tensor(part, dtype=torch.long, device=device)) for part in (words.before, words.after)
        )
        given = torch.cat([before, task.project(features)[0].to(before.dtype), after])[None]
        ends = {tokenizer.eos_token_id}
        if wording.end in tokenizer.all_special_tokens:  # decoding leaves it out
            ends.add(tokenizer.convert_tokens_to_ids(wording.end))
        past: Any = None
        said: list[int] = []
        text = ""
        for _ in range(min(longest, wording.recipe.max_target_tokens)):
            told = model(inputs_embeds=given, past_key_values=past, use_cache=True)
            past = told.past_key_values
            token = int(told.logits[0, -1].argmax())
            if token in ends:
                break
            said.append(token)
            text = tokenizer.decode(said, skip_special_tokens=True)
            if wording.end and wording.end in text:
                text = text.partition(wording.end)[0]
                break
            given = embed(torch.tensor([[token]], device=device))
        return " ".join(text.split())
    finally:
        task.learning()


def forget_after(run: Path, step: int) -> None:
    """Leave what was said up to `step`; checkpoints that will be written again say it again."""
    file = run / SAMPLES
    if file.exists():
        kept = [line for line in log_entries(file) if line["step"] <= step]
        write_whole(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept).encode())
    with suppress(OSError):
        file.with_name(f"{SAMPLES}.part").unlink(missing_ok=True)
